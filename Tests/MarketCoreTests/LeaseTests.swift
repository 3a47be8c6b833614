import MarketCore
import Protocol
import Testing

@Suite struct LeaseTests {
    @Test(arguments: LedgerKind.allCases) func aRentalIsToldOnce(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, answer) = try bench.offered()
        let rental = try bench.market.rent(device, seconds: 3_600, sshKeys: [Bench.key(9)], at: bench.now)
        #expect(rental.password == answer.account?.password)
        #expect(rental.expires.seconds == bench.now.seconds + 3_600)
        let kept = try #require(try bench.ledger.lease(lease))
        #expect(kept.account.password == nil)
        #expect(kept.account.hash.count == 48)
        #expect(try bench.register(device, lease).account == nil)
        #expect(try bench.checkIn(device, lease).sshKeys == [Bench.key(9)])
    }

    @Test(arguments: LedgerKind.allCases) func onlyAReadyDeviceIsRented(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let device = try bench.device()
        func rent() -> Refusal.Code? {
            refusal { () throws(MarketError) in try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now) }
        }
        #expect(rent() == .conflict, "nothing registered")
        let lease = try bench.draw()
        try bench.register(device, lease)
        #expect(rent() == .conflict, "never checked in")
        try bench.checkIn(device, lease, .building)
        #expect(rent() == .conflict, "not offered")
        try bench.checkIn(device, lease, .offered, .down)
        #expect(rent() == .conflict, "tunnel down")
        try bench.checkIn(device, lease)
        bench.wait(1_501)
        #expect(rent() == .conflict, "silent for more than two and a half check-ins")
        try bench.checkIn(device, lease)
        #expect(rent() == nil)
        #expect(rent() == .conflict, "rented")
    }

    @Test(arguments: LedgerKind.allCases) func aCheckInAfterTheEndEndsTheLease(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        _ = try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now)
        bench.wait(59)
        #expect(try bench.checkIn(device, lease, .leased).state == .rented)
        bench.wait(1)
        #expect(try bench.checkIn(device, lease, .leased).state == .ended)
        #expect(try bench.free() == 12)
    }

    @Test(arguments: LedgerKind.allCases) func theSweepEndsWhatIsOverdue(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        _ = try bench.offered("other", key: 2)
        _ = try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now)
        #expect(try bench.market.sweep(at: bench.now) == 0)
        bench.wait(60)
        #expect(try bench.market.sweep(at: bench.now) == 1)
        #expect(try bench.ledger.lease(lease)?.reason == .expired)
        #expect(try bench.free() == 9)
    }

    @Test(arguments: LedgerKind.allCases) func extendMovesTheEndForwardOnly(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        let start = bench.now.seconds
        #expect(refusal { () throws(MarketError) in try bench.market.extend(device, seconds: 60, at: bench.now) } == .conflict)
        _ = try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now)
        #expect(try bench.market.extend(device, seconds: 40, at: bench.now).expires?.seconds == start + 100)
        #expect(try bench.checkIn(device, lease).expires?.seconds == start + 100)
        let tooFar = UnixTime.longestLease
        #expect(refusal { () throws(MarketError) in try bench.market.extend(device, seconds: tooFar, at: bench.now) } == .badRequest)
        #expect(refusal { () throws(MarketError) in try bench.market.extend(device, seconds: -1, at: bench.now) } == .badRequest)
    }

    @Test(arguments: LedgerKind.allCases) func extendIsRefusedWhenTheDeviceMayNotHearOfIt(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        _ = try bench.market.rent(device, seconds: 100, sshKeys: [], at: bench.now)
        bench.wait(64)
        let extended = try bench.market.extend(device, seconds: 10, at: bench.now)
        bench.wait(11)
        #expect(refusal { () throws(MarketError) in try bench.market.extend(device, seconds: 60, at: bench.now) } == .conflict)
        #expect(try bench.ledger.lease(lease)?.expires == extended.expires)
    }

    @Test(arguments: LedgerKind.allCases) func aMarketThatStartsRentsNothingOutBeforeItHearsTheDevice(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        try bench.market.reopen()
        #expect(refusal { () throws(MarketError) in try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now) } == .conflict)
        try bench.checkIn(device, lease)
        #expect(try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now).lease == lease)
        try bench.market.reopen()
        #expect(try bench.ledger.lease(lease)?.sighting.tunnel == .up, "a rented one is left alone")
    }

    @Test(arguments: LedgerKind.allCases) func aCheckInThatWasOvertakenSaysNothing(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        try bench.checkIn(device, lease, .suspended, .down, uptime: 1_000)
        bench.wait(20)
        #expect(try bench.checkIn(device, lease, .offered, .up, uptime: 970).lease == lease, "it is answered all the same")
        #expect(refusal { () throws(MarketError) in try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now) } == .conflict)
        // After a restart what was said before it is over, however long it took.
        try bench.checkIn(device, lease, .suspended, .down, start: 2, uptime: 15)
        bench.wait(90)
        try bench.checkIn(device, lease, .offered, .up, start: 1, uptime: 5_000)
        #expect(refusal { () throws(MarketError) in try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now) } == .conflict)
        // A card that was put back to what it was counts anew from there; its device is heard again after an hour.
        bench.wait(3_600)
        try bench.checkIn(device, lease, .offered, .up, start: 1, uptime: 9_000)
        #expect(try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now).lease == lease)
    }

    @Test(arguments: LedgerKind.allCases) func aDeviceOfAnUnknownLeaseIsToldTheTime(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let device = try bench.device()
        let unknown = try bench.draw()
        do throws(MarketError) {
            try bench.checkIn(device, unknown)
            Issue.record("it was answered")
        } catch { #expect(error == .refused(Refusal(.notFound, "this device has no lease \(unknown.text)", time: bench.now))) }
    }

    @Test(arguments: LedgerKind.allCases) func endEndsOnce(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        #expect(try bench.market.end(device, at: bench.now).reason == .ended)
        #expect(refusal { () throws(MarketError) in try bench.market.end(device, at: bench.now) } == .conflict)
        #expect(try bench.checkIn(device, lease, .erasing).state == .ended)
    }

    @Test(arguments: LedgerKind.allCases) func nobodyChecksInForAnotherDevice(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (_, lease, _) = try bench.offered()
        let other = try bench.device("other")
        let unknown = try bench.draw()
        #expect(refusal { () throws(MarketError) in try bench.checkIn(other, lease) } == .notFound)
        #expect(refusal { () throws(MarketError) in try bench.checkIn(other, unknown) } == .notFound)
    }

    @Test(arguments: LedgerKind.allCases) func aReceiptIsKeptOnceAndEndsTheLease(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        let receipt = bench.receipt(device, lease)
        let first = try bench.market.keepReceipt(receipt, from: device.id, at: bench.now)
        #expect(try bench.market.keepReceipt(receipt, from: device.id, at: bench.now) == first)
        #expect(try bench.ledger.lease(lease)?.reason == .erased)
        #expect(try bench.free() == 12)
        let other = bench.receipt(device, lease, bytes: 2)
        #expect(refusal { () throws(MarketError) in try bench.market.keepReceipt(other, from: device.id, at: bench.now) } == .conflict)
        #expect(try bench.ledger.receipt(of: lease)?.receipt == receipt)
    }

    @Test(arguments: LedgerKind.allCases) func aReceiptMustBeTheDevicesOwn(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        let (other, otherLease, _) = try bench.offered("other", key: 2)
        func keep(_ receipt: Receipt, _ device: DeviceRecord) -> Refusal.Code? {
            refusal { () throws(MarketError) in try bench.market.keepReceipt(receipt, from: device.id, at: bench.now) }
        }
        #expect(keep(bench.receipt(device, lease, key: 2), device) == .badRequest, "signed with another key")
        #expect(keep(bench.receipt(device, lease), other) == .badRequest, "about another device")
        #expect(keep(bench.receipt(device, otherLease), device) == .notFound, "another device's lease")
        var forged = bench.receipt(device, lease)
        forged.statement += " "
        forged.lease = otherLease
        #expect(keep(forged, device) == .badRequest, "about another lease")
        #expect(try bench.ledger.lease(lease)?.state == .offered)
    }
}
