import GovernorCore

/// All that is left to chance, from one seed: the same seed tells the same story.
struct Chance {
    private var numbers: Jitter

    init(seed: UInt64) { numbers = Jitter(seed: seed) }

    /// Any number.
    mutating func next() -> UInt64 { numbers.next() }

    /// From 0 to `count` - 1.
    mutating func below(_ count: Int64) -> Int64 { count <= 1 ? 0 : Int64(next() % UInt64(count)) }

    /// A number of the range, all equally likely.
    mutating func of(_ range: ClosedRange<Int64>) -> Int64 { range.lowerBound + below(range.upperBound - range.lowerBound + 1) }

    /// True once in so many times; never for 0.
    mutating func once(in times: Int64) -> Bool { times > 0 && below(times) == 0 }

    /// True so many times of a thousand.
    mutating func per(mille: Int64) -> Bool { below(1_000) < mille }

    /// One of them.
    mutating func place(in count: Int) -> Int { Int(below(Int64(count))) }
}
