import Testing

@testable import Lamp

@Suite struct BeatTests {
    @Test(arguments: [([1000, 0], true), ([0, 1000], false)])
    func `what never changes wants no waking`(lengths: [Int], isLit: Bool) {
        for elapsed: Int64 in [0, 1, 999, 1000, 123_456_789] {
            let moment = Beat(lengths).moment(elapsed)
            #expect(moment.isLit == isLit && moment.left == nil)
        }
    }

    @Test(
        arguments: [
            (0, true, 200), (199, true, 1), (200, false, 250), (449, false, 1), (450, true, 200), (650, false, 1250), (1899, false, 1),
            (1900, true, 200),
            (1_900_000_000_000, true, 200), (-5, true, 200),
        ] as [(Int64, Bool, Int64)])
    func `two flashes and a pause, then from the start again`(elapsed: Int64, isLit: Bool, left: Int64) {
        let moment = Beat([200, 250, 200, 1250]).moment(elapsed)
        #expect(moment.isLit == isLit && moment.left == left)
    }

    @Test func `following the waits gives back the lengths`() {
        let beat = Beat([150, 150, 150, 450, 450, 1350])
        var (elapsed, seen): (Int64, [Int]) = (0, [])
        for _ in 0..<12 {
            guard let left = beat.moment(elapsed).left else { break }
            seen.append(Int(left))
            elapsed += left
        }
        #expect(seen == beat.lengths + beat.lengths)
    }
}
