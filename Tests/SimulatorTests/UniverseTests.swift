import Simulator
import Testing

@Suite struct UniverseTests {
    @Test(arguments: UInt64(1)...40)
    func `every promise holds in a universe of its own faults`(seed: UInt64) {
        #expect(Universe(seed: seed, leases: 3).run() == .fine)
    }

    @Test func `a seed tells the same story every time`() {
        var stories: [[String]] = [[], []]
        for place in stories.indices {
            _ = Universe(seed: 7, leases: 4) { stories[place].append($0) }.run()
        }
        #expect(stories[0] == stories[1] && stories[0].count > 100)
    }
}
