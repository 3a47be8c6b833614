import JSON
import Protocol

/// The market's time: the machine's clock, for as long as that agrees with our own count (CLOCK_BOOTTIME) since a first look at it in this
/// boot.
///
/// What a lease's end does can't be undone. A clock that jumps while the machine runs, set by a bad time server or a wrong hand, must end
/// none: beyond the tolerance, ahead or behind, the count goes on alone until the clock agrees with it again.
public struct SteadyClock: Equatable, Sendable {
    /// What the machine's two clocks say at one moment.
    public struct Reading: Equatable, Sendable {
        /// CLOCK_REALTIME, seconds since 1970.
        public let clock: Int64
        /// CLOCK_BOOTTIME, seconds since boot.
        public let uptime: Int64

        /// A reading.
        public init(clock: Int64, uptime: Int64) {
            self.clock = clock
            self.uptime = uptime
        }
    }

    /// How far the clock may be from the count, in seconds: a time server that steps it by more has changed its mind.
    public static let tolerance: Int64 = 300

    private let first: Reading

    /// Counts from a reading on.
    public init(from first: Reading) { self.first = first }

    /// How many seconds the clock is ahead of the count; below zero where it is behind.
    public func lead(_ now: Reading) -> Int64 { now.clock - now.uptime - (first.clock - first.uptime) }

    /// Whether the clock has jumped, and the count alone is gone by.
    public func isOff(_ now: Reading) -> Bool { !(-Self.tolerance...Self.tolerance).contains(lead(now)) }

    /// The time to go by.
    public func time(_ now: Reading) -> UnixTime { UnixTime(isOff(now) ? now.clock - lead(now) : now.clock) }
}

// Kept beside the ledger for the next program of this boot, with the boot's name: in another boot the count means nothing.
extension SteadyClock {
    /// Its JSON.
    public func json(boot: String) -> JSON {
        .object([.init("boot", .string(boot)), .init("clock", .integer(first.clock)), .init("uptime", .integer(first.uptime))])
    }

    /// Reads what a program of this very boot kept, strictly. Refused: another boot's, or a moment yet to come.
    public init(_ json: JSON, boot: String, now: Reading) throws(JSONError) {
        var reader = try ObjectReader(json)
        let name = try reader.string("boot", 1...64)
        guard name == boot else { throw reader.failure("boot", expected: boot, found: name) }
        first = Reading(clock: try reader.integer("clock", UnixTime.sane), uptime: try reader.integer("uptime", 0...max(0, now.uptime)))
        try reader.finish()
    }
}
