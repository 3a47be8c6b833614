import MarketCore
import Protocol
import Testing

@Suite("a device's key can be replaced and revoked") struct DeviceKeyTests {
    @Test(arguments: LedgerKind.allCases) func anotherKeyTakesThePlaceOfTheOld(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let added = try bench.market.addDevice(owner: "ada", name: "pi", at: bench.now)
        let lease = try bench.draw()
        try bench.register(added.device, lease)
        try bench.checkIn(added.device, lease)
        let fresh = try bench.market.rekey(added.device)
        #expect(fresh.reveal() != added.key.reveal() && fresh.reveal().count == 64)
        #expect(try bench.market.authenticate(added.device.id, key: fresh.reveal()).id == added.device.id)
        let old = added.key.reveal()
        #expect(refusal { () throws(MarketError) in try bench.market.authenticate(added.device.id, key: old) } == .unauthorized)
        #expect(try bench.ledger.lease(lease)?.state == .offered, "the lease goes on")
    }

    @Test(arguments: LedgerKind.allCases) func aRevokedDeviceIsLetInNowhere(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let added = try bench.market.addDevice(owner: "ada", name: "pi", at: bench.now)
        let lease = try bench.draw()
        try bench.register(added.device, lease)
        try bench.checkIn(added.device, lease)
        let free = try bench.free()
        try bench.market.revoke(added.device, at: bench.now)
        let key = added.key.reveal()
        let zeros = [UInt8](repeating: 0, count: 32)
        for attempt in [key, [], zeros] {
            #expect(refusal { () throws(MarketError) in try bench.market.authenticate(added.device.id, key: attempt) } == .unauthorized)
        }
        #expect(try bench.market.authorizedKeys(for: Bench.key(1), at: bench.now) == nil)
        #expect(try bench.ledger.lease(lease)?.state == .ended, "what it offered is offered no more")
        #expect(try bench.free() == free + 3)
        let device = try #require(try bench.ledger.device(added.device.id))
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
