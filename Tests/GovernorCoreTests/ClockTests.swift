import JSON
import Protocol
import Testing

@testable import GovernorCore

/// The market's clock in the device.
@Suite struct MarketClockTests {
    private func clock(_ time: Int64 = noon, at seconds: Int64 = 100) -> MarketClock {
        var clock = MarketClock()
        _ = clock.take(UnixTime(time), at: .seconds(seconds))
        return clock
    }

    @Test func `before the first answer no time is known`() {
        #expect(MarketClock().time(at: .seconds(1)) == nil && MarketClock().instant(of: UnixTime(noon)) == nil)
    }

    @Test func `it goes on by the time since boot`() {
        #expect(clock().time(at: .seconds(160)) == UnixTime(noon + 60))
        #expect(clock().instant(of: UnixTime(noon + 60)) == .seconds(160))
    }

    @Test func `a moment before the boot can be told`() { #expect(clock().instant(of: UnixTime(noon - 500)) == .seconds(-400)) }

    @Test(arguments: [(Int64(0), true), (300, true), (302, false), (10_000_000, false), (-301, true), (-1_000_000, true)])
    func `what is believed, in seconds ahead`(ahead: Int64, believed: Bool) {
        var clock = clock()
        let verdict = clock.take(UnixTime(noon + 1_000 + ahead), at: .seconds(1_100))
        #expect(verdict == (believed ? .believed : .jumped))
        #expect(clock.time(at: .seconds(1_100)) == UnixTime(noon + 1_000 + (believed ? ahead : 0)))
    }

    @Test func `a clock that fell back may be mended`() {
        var clock = clock()
        let fallen = clock.take(UnixTime(noon - 86_400), at: .seconds(200))
        let mended = clock.take(UnixTime(noon + 200), at: .seconds(300))
        #expect(fallen == .believed && mended == .believed)
        #expect(clock.time(at: .seconds(300)) == UnixTime(noon + 200))
    }

    @Test func `falling back does not open a door to jump ahead`() {
        var clock = clock()
        let fallen = clock.take(UnixTime(noon - 86_400), at: .seconds(200))
        let jumped = clock.take(UnixTime(noon + 501), at: .seconds(300))
        #expect(fallen == .believed && jumped == .jumped)
    }

    @Test func `the ends of sane time do not trap`() {
        var clock = clock(UnixTime.sane.lowerBound, at: 0)
        let verdict = clock.take(UnixTime(UnixTime.sane.upperBound), at: .seconds(1))
        #expect(verdict == .jumped)
        #expect(clock.instant(of: UnixTime(UnixTime.sane.upperBound)) != nil)
    }
}

/// A market whose clock runs ahead a little with every answer.
@Suite struct CreepingClockTests {
    @Test func `many small steps ahead do not add up to a jump`() {
        var clock = MarketClock()
        _ = clock.take(UnixTime(noon), at: .seconds(0))
        for step in Int64(1)...20 { _ = clock.take(UnixTime(noon + step * 290), at: .seconds(step)) }
        #expect((clock.time(at: .seconds(20))?.seconds ?? 0) <= noon + 20 + MarketClock.tolerance)
    }
}

/// The first answers after a boot: nobody knows how long the device was off, so the market may be right, and may not.
@Suite struct FirstAnswerTests {
    /// A leased device after a power cut, whole again, before any answer.
    private static func rebooted() -> Device {
        var device = Device.at(.leased).restarted()
        device.feed(.driveReady(stick), .storageReady, .containerUp, .tunnelUp)
        return device
    }

    /// A tenth of the time that was left when the lease was rented, at noon and 120 s.
    private static let wait: Int64 = 600

    static let overs: [(String, @Sendable (Device) -> LeaseTerms)] = [
        ("rented, but over", { $0.terms(.rented, time: Device.end + 5) }),
        ("ended, at its end", { $0.terms(.ended, time: Device.end) }),
        ("ended, in 2038", { $0.terms(.ended, time: 2_147_483_648) }),
        ("rented, in 2038", { $0.terms(.rented, time: 2_147_483_648) }),
    ]

    @Test(arguments: overs.indices)
    func `by the first answer the lease is over: it goes on, and the market is asked again`(index: Int) {
        var device = Self.rebooted()
        device.ask()
        let before = device.life.journal
        #expect(device.answer(Self.overs[index].1) == [], "\(Self.overs[index].0)")
        #expect(device.notes == [.clockDoubted] && device.life.journal == before && device.life.phase == .leased)
        #expect(device.life.clock.time(at: device.now) == nil && device.wake == device.now.adding(seconds: Self.wait))
    }

    @Test(arguments: overs.indices)
    func `a second answer like it ends the lease, not a second too early`(index: Int) {
        var device = Self.rebooted()
        device.ask()
        let asked = device.now
        let told = Self.overs[index].1(device)
        device.answer { _ in told }
        for seconds in [Int64(1), 300, Self.wait - 1] {
            device.now = asked.adding(seconds: seconds)
            device.life.contact.soon(at: device.now)
            let again = device.answer { _ in changed(told, seconds) }
            #expect(again == [] && device.notes == [.clockDoubted], "after \(seconds) s")
        }
        device.now = asked.adding(seconds: Self.wait)
        device.life.contact.soon(at: device.now)
        #expect(device.answer { _ in changed(told, Self.wait) }.contains(.erase(firstLease, drive: stick.identity)))
    }

    @Test(arguments: overs.indices)
    func `a second answer that says otherwise is believed, and the first one forgotten`(index: Int) {
        var device = Self.rebooted()
        device.answer(Self.overs[index].1)
        device.answer { $0.terms(.rented, time: noon + 900) }
        #expect(device.notes == [.checkedIn] && device.life.phase == .leased)
        #expect(device.life.clock.time(at: device.now) == UnixTime(noon + 900))
        // And from now on the jump is refused as ever.
        device.answer(Self.overs[index].1)
        #expect(device.notes == [.answerRefused])
    }

    @Test func `two clocks that jumped to different times confirm nothing`() {
        var device = Self.rebooted()
        for time in [2_147_483_648, 2_000_000_000, 2_147_483_648, 1_900_000_000] as [Int64] {
            #expect(device.answer { $0.terms(.ended, time: time) } == [] && device.notes == [.clockDoubted], "\(time)")
        }
        #expect(device.life.phase == .leased)
    }

    @Test func `an extension that came while the device was off is taken at once`() {
        var device = Self.rebooted()
        device.answer { $0.terms(.rented, expires: Device.end + 86_400, time: Device.end + 5) }
        #expect(device.notes.contains(.extended) && device.life.clock.time(at: device.now) == UnixTime(Device.end + 5))
    }

    @Test func `a first answer from a clock that was behind: the right time is believed after ten minutes, if it ends nothing`() {
        var clock = MarketClock()
        let known = MarketClock.Known(ends: UnixTime(noon + 9_000))
        #expect(clock.take(UnixTime(noon - 2_000), at: .seconds(10), known) == .believed)
        for seconds in [20, 300, 619] as [Int64] { #expect(clock.take(UnixTime(noon + seconds), at: .seconds(seconds), known) == .jumped) }
        #expect(clock.take(UnixTime(noon + 620), at: .seconds(620), known) == .believed)
        #expect(clock.time(at: .seconds(700)) == UnixTime(noon + 700))
        for seconds in [1_000, 1_700, 9_000] as [Int64] {
            #expect(clock.take(UnixTime(2_147_483_648 + seconds), at: .seconds(seconds), known) == .jumped, "what ends the lease, never")
        }
    }

    @Test func `the operator's word before the known end is taken at once`() {
        var device = Self.rebooted()
        #expect(device.answer { $0.terms(.ended, time: Device.end - 1) }.contains(.erase(firstLease, drive: stick.identity)))
    }

    @Test func `a lease that nobody rented is no loss: its end is taken at once`() {
        var device = Device.at(.offered).restarted()
        device.feed(.driveReady(stick), .storageReady)
        #expect(device.answer { $0.terms(.ended, time: 2_147_483_648) }.contains(.erase(firstLease, drive: stick.identity)))
    }

    @Test func `rented only now, and over by the same answer: no market says that`() {
        var device = Device.at(.offered).restarted()
        device.feed(.driveReady(stick), .storageReady)
        #expect(device.answer { $0.terms(.rented, time: 2_147_483_648) } == [] && device.notes == [.answerRefused])
    }

    @Test func `a drive that is away is waited with all the same: its key lives`() {
        var device = Device.at(.leased).restarted()
        #expect(device.answer { $0.terms(.ended, time: Device.end + 5) } == [] && device.life.phase == .suspended)
        device.now = device.now.adding(seconds: Self.wait)
        #expect(device.answer { $0.terms(.ended, time: Device.end + 5 + Self.wait) }.contains(.destroyKey(firstLease)))
    }

    @Test func `the less the renter has left, the shorter the wait`() {
        func wait(_ left: Int64) -> Int64 { MarketClock.Known(ends: UnixTime(noon + left), told: UnixTime(noon)).wait }
        #expect([-9, 0, 6, 60, 3_600, 6_000, 86_400].map(wait) == [1, 1, 1, 6, 360, 600, 600])
        #expect(MarketClock.Known(ends: UnixTime(noon)).wait == 600 && MarketClock.Known(told: UnixTime(noon)).wait == 600)
    }

    @Test func `a first answer from long ago does not set the clock: the market may yet be mended`() {
        var device = Self.rebooted()
        device.answer { $0.terms(.rented, expires: Device.end, time: noon - 100 * 86_400) }
        #expect(device.notes == [.checkedIn] && device.life.clock.time(at: device.now) == nil)
        device.answer { $0.terms(.rented, time: noon + 3_000) }
        #expect(device.life.clock.time(at: device.now) == UnixTime(noon + 3_000))
        // The market came right while the lease ran: the end is the known one.
        #expect(device.pass(seconds: 7_200 - 3_000).contains(.erase(firstLease, drive: stick.identity)))
    }

    @Test func `a market that stays behind sets the clock in the end`() {
        var device = Self.rebooted()
        device.ask()
        let asked = device.now
        for seconds in [Int64(0), 300, 600] {
            #expect(device.life.clock.time(at: device.now) == nil)
            device.now = asked.adding(seconds: seconds)
            device.life.contact.soon(at: device.now)
            device.answer { $0.terms(.rented, time: noon - 86_400 + seconds) }
        }
        #expect(device.life.clock.time(at: device.now) == UnixTime(noon - 86_400 + 600))
    }

    @Test func `a clock that jumped before the first answer, and was mended, may not jump again and end a lease`() {
        var device = Device.at(.offered).restarted()
        device.feed(.driveReady(stick), .storageReady)
        device.answer { $0.terms(.offered, time: 2_100_000_000) }
        device.answer(.rented)
        #expect(device.life.journal.rented)
        #expect(device.answer { $0.terms(.ended, time: 2_100_000_000) } == [] && device.notes == [.clockDoubted])
        device.answer(.rented)
        #expect(device.notes == [.checkedIn] && device.life.clock.time(at: device.now) == UnixTime(device.time))
    }

    private func changed(_ terms: LeaseTerms, _ seconds: Int64) -> LeaseTerms {
        var terms = terms
        terms.time = UnixTime(terms.time.seconds + seconds)
        return terms
    }
}

/// The clock outlives the program in one boot, and no boot.
@Suite struct KeptClockTests {
    @Test func `a restart within a boot keeps the count: a clock that jumped is not believed`() {
        for (name, lie) in FirstAnswerTests.overs {
            var device = Device.at(.leased).restarted(rebooted: false)
            device.feed(.driveReady(stick), .storageReady)
            #expect(device.answer(lie) == [] && device.notes == [.answerRefused], "\(name)")
        }
    }

    @Test func `a lease that runs out while the program is down ends by itself, without the market`() {
        var device = Device.at(.leased)
        device.now = device.now.adding(seconds: Device.end - device.time + 5)
        device = device.restarted(rebooted: false)
        device.feed(.driveReady(stick))
        #expect(device.feed(.deadline).contains(.erase(firstLease, drive: stick.identity)))
    }

    @Test func `what is kept is read back the same`() throws {
        var clock = MarketClock()
        #expect(clock.json(boot: "b") == nil)
        _ = clock.take(UnixTime(noon), at: .seconds(5))
        _ = clock.take(UnixTime(noon + 90), at: .seconds(100))
        let json = try #require(clock.json(boot: "b"))
        let text = #"{"boot":"b","first":{"time":1800000000,"at":5000000000},"last":{"time":1800000090,"at":100000000000}}"#
        #expect(String(decoding: json.encoded(), as: UTF8.self) == text)
        #expect(try MarketClock(JSON.parse(json.encoded()), boot: "b", now: .seconds(100)) == clock)
    }

    static let bad: [(String, String)] = [
        ("{}", "boot: expected a string of 1 to 64 bytes, found nothing"),
        (#"{"boot":"other","first":{},"last":{}}"#, "boot: expected b, found other"),
        (#"{"boot":"b","last":{"time":1800000000,"at":5}}"#, "first: expected an object, found nothing"),
        (
            #"{"boot":"b","first":{"time":1,"at":5},"last":{}}"#,
            "first.time: expected a whole number from 1735689600 to 4102444800, found 1"
        ),
        (
            #"{"boot":"b","first":{"time":1800000000,"at":100000000001},"last":{}}"#,
            "first.at: expected a whole number from 0 to 100000000000, found 100000000001"
        ),
    ]

    @Test(arguments: bad)
    func `what another boot kept, or nobody, is refused`(text: String, message: String) {
        let error = #expect(throws: JSONError.self) {
            _ = try MarketClock(JSON.parse(Array(text.utf8)), boot: "b", now: .seconds(100))
        }
        #expect(error?.message == message)
    }
}
