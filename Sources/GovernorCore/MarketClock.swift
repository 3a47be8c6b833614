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
    /// The anchor that reads latest: a market that fell back and was mended must not look as if it jumped ahead.
    private var latest: Anchor?

    /// How far ahead of our own count an answer may be, in seconds.
    public static let tolerance: Int64 = 300

    /// A clock that nobody has set in this boot.
    public init() {}

    /// The market's time now; nil before the first answer of this boot.
    public func time(at now: Instant) -> UnixTime? { anchor.map { UnixTime($0.time(at: now)) } }

    /// When a time by the market's clock comes; nil before the first answer of this boot.
    public func instant(of time: UnixTime) -> Instant? {
        anchor.map { $0.at.adding(seconds: time.seconds - $0.time.seconds) }
    }

    /// Takes the time of an answer. False where it is more than 300 s ahead of our count since the earlier answers: a market whose clock
    /// jumped must not end leases. A time behind our count is taken: it can only lengthen a lease.
    public mutating func set(_ time: UnixTime, at now: Instant) -> Bool {
        let fresh = Anchor(time: time, at: now)
        guard let latest else {
            anchor = fresh
            self.latest = fresh
            return true
        }
        let expected = latest.time(at: now)
        guard time.seconds <= expected + Self.tolerance else { return false }
        anchor = fresh
        if time.seconds >= expected { self.latest = fresh }
        return true
    }
}
