import Protocol

/// The market's clock as the device knows it: the last time it was told, plus CLOCK_BOOTTIME since. The wall clock has no part in it.
///
///     unknown ──first answer of this boot──▶ anchored ──later answer──▶ anchored
///                                               └── an answer that jumps ahead is not believed
public struct MarketClock: Equatable, Sendable {
    private struct Anchor: Equatable, Sendable {
        let time: UnixTime
        let at: Instant

        func time(at now: Instant) -> Int64 { time.seconds + now.seconds(since: at) }
    }

    private var anchor: Anchor?
    /// The first answer of this boot. What may be believed is counted from it and not from the last answer, or a market could creep ahead in
    /// small steps; and a market that fell back and was mended does not look as if it jumped.
    private var first: Anchor?

    /// How far ahead of our own count an answer may be, in seconds, beside a thousandth of the time since the first one (no crystal is worse).
    public static let tolerance: Int64 = 300

    /// A clock that nobody has set in this boot.
    public init() {}

    /// The market's time now; nil before the first answer of this boot.
    public func time(at now: Instant) -> UnixTime? { anchor.map { UnixTime($0.time(at: now)) } }

    /// When a time by the market's clock comes; nil before the first answer of this boot.
    public func instant(of time: UnixTime) -> Instant? {
        anchor.map { $0.at.adding(seconds: time.seconds - $0.time.seconds) }
    }

    /// Takes the time of an answer. False where it is too far ahead of our count since the first one: a market whose clock jumped must not
    /// end leases. A time behind our count is taken: it can only lengthen a lease.
    public mutating func set(_ time: UnixTime, at now: Instant) -> Bool {
        let fresh = Anchor(time: time, at: now)
        if let first {
            let elapsed = now.seconds(since: first.at)
            guard time.seconds <= first.time(at: now) + Self.tolerance + elapsed / 1_000 else { return false }
        } else {
            first = fresh
        }
        anchor = fresh
        return true
    }
}
