import MarketCore
import Protocol
import Testing

@Suite("a device's key can be replaced and revoked") struct DeviceKeyTests {
    /// A device that has its key, and a lease that it offers.
    private func offered(_ bench: Bench) throws -> (device: DeviceRecord, key: [UInt8], lease: LeaseID) {
        let added = try bench.market.addDevice(owner: "ada", name: "pi", at: bench.now)
        let lease = try bench.draw()
        try bench.register(added.device, lease)
        try bench.checkIn(added.device, lease)
        return (added.device, added.key.reveal(), lease)
    }

    @Test(arguments: LedgerKind.allCases) func anotherKeyTakesThePlaceOfTheOld(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, old, lease) = try offered(bench)
        let fresh = try bench.market.rekey(device)
        #expect(fresh.reveal() != old && fresh.reveal().count == 64)
        #expect(try bench.market.authenticate(device.id, key: fresh.reveal()).id == device.id)
        #expect(refusal { () throws(MarketError) in try bench.market.authenticate(device.id, key: old) } == .unauthorized)
        #expect(try bench.ledger.lease(lease)?.state == .offered, "the lease goes on")
    }

    @Test(arguments: LedgerKind.allCases) func aRevokedDeviceIsLetInNowhere(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (added, key, lease) = try offered(bench)
        let free = try bench.free()
        try bench.market.revoke(added, at: bench.now)
        let zeros = [UInt8](repeating: 0, count: 32)
        for attempt in [key, [], zeros] {
            #expect(refusal { () throws(MarketError) in try bench.market.authenticate(added.id, key: attempt) } == .unauthorized)
        }
        #expect(try bench.market.authorizedKeys(for: Bench.key(1), at: bench.now) == nil)
        #expect(try bench.ledger.lease(lease)?.state == .ended, "what it offered is offered no more")
        #expect(try bench.free() == free + 3)
        let device = try #require(try bench.ledger.device(added.id))
        #expect(device.isRevoked)
        #expect(refusal { () throws(MarketError) in try bench.market.revoke(device, at: bench.now) } == .conflict)
        let fresh = try bench.market.rekey(device)
        #expect(try bench.market.authenticate(device.id, key: fresh.reveal()).id == device.id, "another key lets it in again")
    }

    @Test(arguments: LedgerKind.allCases) func aRentedDeviceIsNotRevoked(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        _ = try bench.market.rent(device, seconds: 3_600, sshKeys: [], at: bench.now)
        #expect(refusal { () throws(MarketError) in try bench.market.revoke(device, at: bench.now) } == .conflict)
        #expect(try bench.ledger.device(device.id)?.isRevoked == false)
        #expect(try bench.ledger.lease(lease)?.state == .rented)
        _ = try bench.market.end(device, at: bench.now)
        try bench.market.revoke(device, at: bench.now)
        #expect(try bench.ledger.device(device.id)?.isRevoked == true)
    }
}
