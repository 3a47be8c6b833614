import MarketCore
import Protocol
import Testing

@Suite struct RegisterTests {
    @Test(arguments: LedgerKind.allCases) func theSameLeaseAgainGivesTheSameAnswer(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let device = try bench.device()
        let lease = try bench.draw()
        let first = try bench.register(device, lease)
        #expect(try bench.register(device, lease) == first)
        #expect(try bench.free() == 9)
        #expect(first.account?.password.reveal().count == 20)
    }

    @Test(arguments: LedgerKind.allCases) func whyADeviceWaitsIsKeptUntilItRegisters(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let device = try bench.device()
        let answer = try bench.market.note(WaitRequest(reason: "holds vfat"), from: device.id, at: bench.now)
        #expect(answer == WaitAnswer(time: bench.now, checkInSeconds: 600))
        #expect(try bench.ledger.device(device.id)?.waiting == DeviceRecord.Waiting(reason: "holds vfat", told: bench.now))
        _ = try bench.register(device, try bench.draw())
        #expect(try bench.ledger.device(device.id)?.waiting == nil)
    }

    @Test(arguments: LedgerKind.allCases) func aNewLeaseReplacesAnOfferedOne(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, old, first) = try bench.offered()
        let second = try bench.register(device, try bench.draw())
        #expect(try bench.ledger.lease(old)?.reason == .replaced)
        #expect(try bench.free() == 9)
        #expect(second.account != first.account)
        #expect(Set(second.terms.tunnel.ports.all).isDisjoint(with: first.terms.tunnel.ports.all), "freed ports rest")
    }

    @Test(arguments: LedgerKind.allCases) func aNewLeaseNeverReplacesARentedOne(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        _ = try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now)
        let next = try bench.draw()
        #expect(refusal { () throws(MarketError) in try bench.register(device, next) } == .conflict)
        #expect(try bench.ledger.lease(lease)?.state == .rented)
        bench.wait(60)
        #expect(try bench.register(device, next).terms.state == .offered)
        #expect(try bench.ledger.lease(lease)?.reason == .expired)
        #expect(try bench.free() == 9)
    }

    @Test(arguments: LedgerKind.allCases) func aRefusedRegisterChangesNothing(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, _, _) = try bench.offered()
        _ = try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now)
        let before = try bench.ledger.device(device.id)
        let next = try bench.draw()
        #expect(refusal { () throws(MarketError) in try bench.register(device, next, key: 7) } == .conflict)
        #expect(try bench.ledger.device(device.id) == before)
    }

    @Test(arguments: LedgerKind.allCases) func anotherDevicesLeaseOrKeyIsAConflict(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (_, lease, _) = try bench.offered()
        let other = try bench.device("other")
        let fresh = try bench.draw()
        #expect(refusal { () throws(MarketError) in try bench.register(other, lease, key: 2) } == .conflict)
        #expect(refusal { () throws(MarketError) in try bench.register(other, fresh, key: 1) } == .conflict)
    }

    @Test(arguments: LedgerKind.allCases) func anEndedLeaseAnswersEnded(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, first) = try bench.offered()
        _ = try bench.market.end(device, at: bench.now)
        let again = try bench.register(device, lease)
        #expect(again.terms.state == .ended)
        #expect(again.terms.tunnel == first.terms.tunnel)
        #expect(again.account == nil)
        #expect(try bench.free() == 12)
    }

    @Test(arguments: LedgerKind.allCases) func withoutThreeFreePortsNothingIsOffered(kind: LedgerKind) throws {
        let bench = try Bench(kind, ports: 20_000...20_004)
        _ = try bench.offered()
        let other = try bench.device("other")
        let lease = try bench.draw()
        #expect(refusal { () throws(MarketError) in try bench.register(other, lease, key: 2) } == .unavailable)
        #expect(try bench.ledger.lease(lease) == nil)
        #expect(try bench.free() == 2)
    }

    @Test(arguments: LedgerKind.allCases) func onlyTheRightKeyIsLetIn(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let added = try bench.market.addDevice(owner: "ada", name: nil, at: bench.now)
        let stranger = try #require(DeviceID("00000000-0000-4000-8000-000000000000"))
        #expect(try bench.market.authenticate(added.device.id, key: added.key.reveal()) == added.device)
        let wrong = [UInt8](repeating: 0x30, count: 64)
        #expect(refusal { () throws(MarketError) in try bench.market.authenticate(added.device.id, key: wrong) } == .unauthorized)
        #expect(refusal { () throws(MarketError) in try bench.market.authenticate(stranger, key: added.key.reveal()) } == .unauthorized)
    }
}
