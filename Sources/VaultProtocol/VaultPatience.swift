/// How long wrong passphrases make the next one wait. Three in a row are free; then the pauses double, from one second to a minute. A reboot
/// begins anew, for the note lies in RAM; but a restart of the governor does not.
public struct VaultPatience: Equatable, Sendable {
    /// Wrong passphrases in a row.
    public private(set) var wrong: Int64 = 0
    /// CLOCK_BOOTTIME of the last one, nanoseconds.
    private var lastAt: Int64 = 0

    private static let free: Int64 = 3
    private static let longestSeconds: Int64 = 60
    /// No count and no moment of a device is larger.
    private static let largest = Int64.max / 4

    /// Nothing wrong so far.
    public init() {}

    /// Hears that a passphrase was wrong.
    public mutating func heardWrong(at now: Int64) {
        wrong = min(wrong + 1, Self.largest)
        lastAt = now
    }

    /// Hears that one was right.
    public mutating func heardRight() { self = VaultPatience() }

    /// Whole seconds until the next may be tried, 0 for now.
    public func secondsLeft(at now: Int64) -> Int64 {
        guard wrong >= Self.free else { return 0 }
        let pause = min(Self.longestSeconds, 1 << min(wrong - Self.free, 10))
        let left = lastAt + pause * 1_000_000_000 - now
        return max(0, min(pause, (left + 999_999_999) / 1_000_000_000))
    }

    /// What a renter is told meanwhile.
    public static func sentence(seconds: Int64) -> String { "too many wrong passphrases: try again in \(seconds) s" }

    /// For a file.
    public var text: String { "\(wrong) \(lastAt)\n" }

    /// From a file; nil where it holds something else.
    public init?(_ bytes: [UInt8]) {
        let words = bytes.split { $0 == 0x20 || $0 == 0x0A }
        guard words.count == 2, let wrong = Int64(String(decoding: words[0], as: UTF8.self)), (0...Self.largest).contains(wrong),
            let lastAt = Int64(String(decoding: words[1], as: UTF8.self)), (0...Self.largest).contains(lastAt)
        else { return nil }
        self.wrong = wrong
        self.lastAt = lastAt
    }
}
