/// A moment by CLOCK_BOOTTIME: nanoseconds since this boot. It means nothing in another boot, and is written down only
/// beside the name of its own.
public struct Instant: Equatable, Comparable, Hashable, Sendable {
    /// Nanoseconds since boot.
    public let nanoseconds: Int64

    /// A moment.
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// A moment, in seconds since boot.
    public static func seconds(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    /// So many seconds later.
    public func adding(seconds: Int64) -> Instant { Instant(nanoseconds: nanoseconds + seconds * 1_000_000_000) }

    /// So many milliseconds later.
    public func adding(milliseconds: Int64) -> Instant { Instant(nanoseconds: nanoseconds + milliseconds * 1_000_000) }

    /// Whole seconds from an earlier moment to this one.
    public func seconds(since earlier: Instant) -> Int64 { (nanoseconds - earlier.nanoseconds) / 1_000_000_000 }

    /// Earlier or later.
    public static func < (one: Instant, other: Instant) -> Bool { one.nanoseconds < other.nanoseconds }
}

/// Jitter for backoff: SplitMix64 (Steele, Lea, Flood 2014). Seeded from outside, so that a run can be repeated.
public struct Jitter: Equatable, Sendable {
    private var state: UInt64

    /// The numbers of a seed.
    public init(seed: UInt64) { state = seed }

    /// The next one.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Three to five quarters of a number of milliseconds.
    mutating func spread(milliseconds: Int64) -> Int64 {
        milliseconds * 3 / 4 + Int64(next() % UInt64(max(1, milliseconds / 2)))
    }
}

/// How long to wait after the nth failure in a row: it doubles from `first` to `longest`, with jitter of a quarter either way.
struct Backoff: Equatable, Sendable {
    /// Milliseconds after the first failure.
    let first: Int64
    /// Milliseconds at most, before jitter.
    let longest: Int64
    /// Failures in a row.
    private(set) var failures = 0

    init(first: Int64, longest: Int64) {
        self.first = first
        self.longest = longest
    }

    /// Counts a failure and says when to try again.
    mutating func fail(at now: Instant, _ jitter: inout Jitter, atMost limit: Int64? = nil) -> Instant {
        let doublings = min(failures, 20)
        failures += 1
        let plain = min(first << Int64(doublings), longest, limit ?? longest)
        return now.adding(milliseconds: jitter.spread(milliseconds: max(1, plain)))
    }

    /// All is well again.
    mutating func succeed() { failures = 0 }
}
