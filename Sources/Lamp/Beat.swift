/// How a lamp changes: lit and dark in turn, lit first, then from the start again.
public struct Beat: Equatable, Sendable {
    /// Milliseconds, lit and dark in turn.
    public let lengths: [Int]

    /// A beat; an even number of lengths that are not all 0.
    public init(_ lengths: [Int]) { self.lengths = lengths }

    /// What is shown without an end: true lit, false dark; nil where it changes.
    public var constant: Bool? {
        var lit = 0
        var dark = 0
        for (index, length) in lengths.enumerated() {
            if index % 2 == 0 { lit += length } else { dark += length }
        }
        return lit == 0 ? false : dark == 0 ? true : nil
    }

    /// Whether it is lit so many milliseconds after its start, and how many are left until that changes; nil where it never does.
    public func moment(_ elapsed: Int64) -> (isLit: Bool, left: Int64?) {
        if let constant { return (constant, nil) }
        var left = max(0, elapsed) % Int64(lengths.reduce(0, +))
        for (index, length) in lengths.enumerated() {
            if left < length { return (index % 2 == 0, Int64(length) - left) }
            left -= Int64(length)
        }
        return (false, nil)
    }
}

/// Which lamps a device has; both may be, and then both show the same.
public struct LampPlan: Equatable, Sendable {
    /// A lamp on a GPIO line.
    public struct Line: Equatable, Sendable {
        /// Labels of chips (`gpiodetect` shows them); the first that is there counts. A chip's number may change, its label does not.
        public var chips: [String]
        /// The line's offset in its chip.
        public var offset: UInt32
        /// Whether it is lit when the line is low.
        public var isActiveLow: Bool

        /// Its name for people.
        public var name: String {
            var text = "line \(offset) of the GPIO chip "
            for (index, chip) in chips.enumerated() { text += (index > 0 ? " or " : "") + chip }
            return text
        }

        /// A line.
        public init(chips: [String], offset: UInt32, isActiveLow: Bool) {
            self.chips = chips
            self.offset = offset
            self.isActiveLow = isActiveLow
        }
    }

    /// A line that a lamp is wired to.
    public var line: Line?
    /// One of the board's own LEDs: its name in /sys/class/leds, or the last part of it (`scrolllock` of `input3::scrolllock`).
    public var led: String?

    /// A plan.
    public init(line: Line? = nil, led: String? = nil) {
        self.line = line
        self.led = led
    }

    /// Whether there is no lamp at all.
    public var isEmpty: Bool { line == nil && led == nil }
}
