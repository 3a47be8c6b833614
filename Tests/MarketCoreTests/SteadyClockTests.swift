import JSON
import MarketCore
import Protocol
import Testing

@Suite struct SteadyClockTests {
    /// 2027, a thousand seconds after boot.
    let first = SteadyClock.Reading(clock: 1_800_000_000, uptime: 1_000)

    /// So long after the first reading, with a clock that is so far ahead of an honest one.
    func reading(after seconds: Int64, ahead lead: Int64 = 0) -> SteadyClock.Reading {
        SteadyClock.Reading(clock: first.clock + seconds + lead, uptime: first.uptime + seconds)
    }

    @Test(arguments: [0, 300, -300] as [Int64]) func aClockThatIsCorrectedIsFollowed(lead: Int64) {
        let clock = SteadyClock(from: first)
        let now = reading(after: 86_400, ahead: lead)
        #expect(!clock.isOff(now))
        #expect(clock.time(now).seconds == now.clock)
    }

    @Test(arguments: [301, 346_000_000, -301, -1_800_000_000] as [Int64]) func aClockThatJumpsIsNot(lead: Int64) {
        let clock = SteadyClock(from: first)
        let now = reading(after: 86_400, ahead: lead)
        #expect(clock.isOff(now) && clock.lead(now) == lead)
        #expect(clock.time(now).seconds == first.clock + 86_400)
        #expect(clock.time(reading(after: 86_500)).seconds == first.clock + 86_500, "mended, it is followed again")
    }

    @Test func aClockThatCreepsIsNotFollowedFar() {
        let clock = SteadyClock(from: first)
        for hour in 1...100 as ClosedRange<Int64> {
            let now = reading(after: hour * 3_600, ahead: hour * 60)
            #expect(abs(clock.time(now).seconds - first.clock - hour * 3_600) <= SteadyClock.tolerance)
        }
    }

    @Test(arguments: LedgerKind.allCases) func aJumpTo2038EndsNoLease(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, _) = try bench.offered()
        _ = try bench.market.rent(device, seconds: 3_600, sshKeys: [], at: bench.now)
        let clock = SteadyClock(from: SteadyClock.Reading(clock: bench.now.seconds, uptime: 50))
        func sweep(after seconds: Int64, ahead lead: Int64) throws -> Int {
            let reading = SteadyClock.Reading(clock: bench.now.seconds + seconds + lead, uptime: 50 + seconds)
            return try bench.market.sweep(at: clock.time(reading))
        }
        #expect(try sweep(after: 60, ahead: 346_000_000) == 0)
        #expect(try bench.ledger.lease(lease)?.state == .rented)
        #expect(try sweep(after: 3_599, ahead: -346_000_000) == 0)
        #expect(try sweep(after: 3_600, ahead: 346_000_000) == 1, "its own end comes all the same")
    }

    @Test func theCountOutlivesTheProgramButNotTheBoot() throws {
        let clock = SteadyClock(from: first)
        let json = try JSON.parse(clock.json(boot: "one").encoded())
        let now = reading(after: 60, ahead: 346_000_000)
        #expect(try SteadyClock(json, boot: "one", now: now) == clock)
        #expect(throws: JSONError.self) { try SteadyClock(json, boot: "two", now: now) }
        let earlier = SteadyClock.Reading(clock: first.clock, uptime: first.uptime - 1)
        #expect(throws: JSONError.self) { try SteadyClock(json, boot: "one", now: earlier) }
    }
}
