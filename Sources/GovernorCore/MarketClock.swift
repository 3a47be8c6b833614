import JSON
import Protocol

/// The market's clock as the device knows it: the last time it was told, plus CLOCK_BOOTTIME since. The wall clock has no part in it.
///
///     unknown ──first answer of this boot, as expected──────────────▶ anchored ──later answer──▶ anchored
///        │                                                               ▲   └── one that jumps ahead of the first is not believed
///        └──one that surprises──▶ doubted ──another like it, later───────┘
///
/// One that jumps ahead, but not beyond the end of a lease, is believed when it is still said ten minutes later: the first one came from a
/// clock that was behind.
///
/// Nobody knows how long a device was off, so a first answer may say anything. One that would end the lease, or that lies before what the
/// market said already, is set by only when another answer says the same a while later. Within one boot the clock outlives the program.
public struct MarketClock: Equatable, Sendable {
    private struct Anchor: Equatable, Sendable {
        let time: UnixTime
        let at: Instant

        func time(at now: Instant) -> Int64 { time.seconds + now.seconds(since: at) }

        /// How far off an honest clock may be by now, in seconds: no crystal is worse than a thousandth.
        func slack(at now: Instant) -> Int64 { MarketClock.tolerance + now.seconds(since: at) / 1_000 }
    }

    private var anchor: Anchor?
    /// The first answer of this boot. What may be believed is counted from it and not from the last answer, or a market could creep ahead in
    /// small steps; and a market that fell back and was mended does not look as if it jumped.
    private var first: Anchor?
    /// The first of the answers that surprised, and that wait for another like it.
    private var doubt: Anchor?

    /// How far ahead of our own count an answer may be, in seconds, beside a thousandth of the time since the first one.
    public static let tolerance: Int64 = 300
    /// The longest that a surprising answer waits for another like it, in seconds.
    public static let longestWait: Int64 = 600

    /// What a first answer is judged by: what the device knew before this boot.
    public struct Known: Equatable, Sendable {
        /// When the lease ends that a renter would lose; nil where none is at stake.
        let ends: UnixTime?
        /// The market's time as it was last told, and kept; nil where it never was.
        let told: UnixTime?

        /// When that lease ends by the journal, whatever an answer says; nil where that is not known.
        let kept: UnixTime?

        /// What is known; nothing by default.
        public init(ends: UnixTime? = nil, told: UnixTime? = nil, kept: UnixTime? = nil) {
            self.ends = ends
            self.told = told
            self.kept = kept
        }

        /// How long a surprising answer waits, in seconds: a tenth of what the renter had left when the market was last heard.
        var wait: Int64 {
            guard let ends, let told else { return MarketClock.longestWait }
            return min(MarketClock.longestWait, max(1, (ends.seconds - told.seconds) / 10))
        }
    }

    /// What an answer's time is worth.
    public enum Verdict: Equatable, Sendable {
        /// The answer may be acted on.
        case believed
        /// Too far ahead of our count since the first one: a market whose clock jumped must not end leases.
        case jumped
        /// By it the lease is over, and nothing bears it out: it takes another like it, at this moment or later.
        case unconfirmed(until: Instant)
    }

    /// A clock that nobody has set in this boot.
    public init() {}

    /// The market's time now; nil before an answer of this boot was believed.
    public func time(at now: Instant) -> UnixTime? { anchor.map { UnixTime($0.time(at: now)) } }

    /// When a time by the market's clock comes; nil before an answer of this boot was believed.
    public func instant(of time: UnixTime) -> Instant? {
        anchor.map { $0.at.adding(seconds: time.seconds - $0.time.seconds) }
    }

    /// Takes the time of an answer. A time behind our count is taken: it can only lengthen a lease.
    public mutating func take(_ time: UnixTime, at now: Instant, _ known: Known = Known()) -> Verdict {
        let fresh = Anchor(time: time, at: now)
        let isOver = known.ends.map { $0 <= time } ?? false
        if let first, time.seconds > first.time(at: now) + first.slack(at: now) {
            // Was it the first answer that came from a clock that was behind? What ends nothing may be believed when it is said for long.
            guard !isOver, known.kept.map({ time < $0 }) ?? true, let until = wait(for: fresh, seconds: Self.longestWait), until <= now
            else { return .jumped }
            (self.first, anchor, doubt) = (fresh, fresh, nil)
            return .believed
        }
        if surprises(fresh, isOver: isOver, told: known.told), let until = wait(for: fresh, seconds: known.wait), until > now {
            // An answer from behind can end nothing; it only does not set the clock.
            return isOver ? .unconfirmed(until: until) : .believed
        }
        (first, anchor, doubt) = (first ?? fresh, fresh, nil)
        return .believed
    }

    /// Whether an answer takes another like it. Later ones surprise only where they end a lease and leap ahead of the last: was the market
    /// mended that had fallen back, or was it the first answer that came from a clock that had jumped?
    private func surprises(_ fresh: Anchor, isOver: Bool, told: UnixTime?) -> Bool {
        if let anchor { return isOver && fresh.time.seconds > anchor.time(at: fresh.at) + anchor.slack(at: fresh.at) }
        return isOver || told.map { fresh.time.seconds < $0.seconds - Self.tolerance } ?? false
    }

    /// Until when an answer that surprises waits: by the first one like it.
    private mutating func wait(for fresh: Anchor, seconds: Int64) -> Instant? {
        if let doubt, abs(fresh.time.seconds - doubt.time(at: fresh.at)) <= doubt.slack(at: fresh.at) {
            return doubt.at.adding(seconds: seconds)
        }
        doubt = fresh
        return fresh.at.adding(seconds: seconds)
    }
}

// Kept in RAM for the next program of this boot, beside the boot's name: in another boot its instants mean nothing.
extension MarketClock {
    /// Its JSON; nil while the clock is unknown.
    public func json(boot: String) -> JSON? {
        guard let first, let anchor else { return nil }
        return .object([
            .init("boot", .string(boot)), .init("first", Self.json(first)), .init("last", Self.json(anchor)),
        ])
    }

    /// Reads what a program of this very boot kept, strictly. Refused: another boot's, or moments yet to come.
    public init(_ json: JSON, boot: String, now: Instant) throws(JSONError) {
        var reader = try ObjectReader(json)
        let name = try reader.string("boot", 1...64)
        guard name == boot else { throw reader.failure("boot", expected: boot, found: name) }
        first = try Self.anchor(try reader.object("first"), now)
        anchor = try Self.anchor(try reader.object("last"), now)
        try reader.finish()
    }

    private static func json(_ anchor: Anchor) -> JSON {
        .object([.init("time", .integer(anchor.time.seconds)), .init("at", .integer(anchor.at.nanoseconds))])
    }

    private static func anchor(_ inner: consuming ObjectReader, _ now: Instant) throws(JSONError) -> Anchor {
        var reader = inner
        let time = try reader.time("time")
        let at = Instant(nanoseconds: try reader.integer("at", 0...now.nanoseconds))
        try reader.finish()
        return Anchor(time: time, at: at)
    }
}
