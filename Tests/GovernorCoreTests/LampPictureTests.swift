import Foundation
import GovernorCore
import Testing

/// The README's picture of the lamp is drawn from the one table; `make lamp` draws it anew.
@Suite struct LampPictureTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    @Test func `docs/lamp.svg is what the table says`() throws {
        let file = Self.root.appending(path: "docs/lamp.svg")
        if ProcessInfo.processInfo.environment["SUBLET_DRAW"] == "1" {
            try LampPicture.svg().write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOf: file, encoding: .utf8) == LampPicture.svg(), "run make lamp")
    }

    private static func lines(_ path: String) throws -> [String] {
        try String(contentsOf: root.appending(path: path), encoding: .utf8).components(separatedBy: "\n")
    }

    @Test(arguments: ["README.md", "docs/lamp.md"]) func `the documents have the table, word for word and in its order`(path: String) throws
    {
        let rows = try Self.lines(path).drop { $0 != "| lamp | meaning |" }.dropFirst(2).prefix { $0.hasPrefix("| ") }
        #expect(Array(rows) == LampPattern.allCases.map { "| \($0.look) | \($0.meaning) |" })
    }

    @Test(arguments: LampTests.table) func `docs/lamp.md says what each state shows`(stand: Stand, pattern: LampPattern) throws {
        let word = Device.at(stand).life.word
        let rows = try Self.lines("docs/lamp.md").filter { $0.hasPrefix("| `\(word)`") }
        #expect(rows.contains { $0.hasSuffix(" | \(pattern.look) |") }, "\(word) shows \(pattern.look)")
    }

    @Test(arguments: LampPattern.allCases) func `a beat is lit and dark in turn, and no flash is too short to see`(pattern: LampPattern) {
        let beat = pattern.beat
        #expect(beat.count % 2 == 0 && beat.reduce(0, +) > 0)
        if beat.count > 2 || pattern == .slow || pattern == .fast { #expect(beat.allSatisfy { $0 >= 100 }) }
        #expect(LampPattern.allCases.filter { $0.beat == beat } == [pattern])
    }
}

/// One row a pattern: a lamp that blinks, some seconds of it as a strip, and what it means.
enum LampPicture {
    static let seconds = 6
    static let row = 30
    static let strip = (left: 48, width: 420)

    static func svg() -> String {
        let patterns = LampPattern.allCases
        let height = patterns.count * row + 12
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 \(height)\" width=\"900\" height=\"\(height)\"",
            "  font-family=\"sans-serif\" font-size=\"14\">",
            "<title>What the lamp says: \(seconds) seconds of each pattern</title>",
            "<rect width=\"900\" height=\"\(height)\" rx=\"6\" fill=\"#1d1f21\"/>",
        ]
        for (number, pattern) in patterns.enumerated() { lines += draw(pattern, top: number * row + 6) }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    private static func draw(_ pattern: LampPattern, top: Int) -> [String] {
        let middle = top + row / 2
        let lamp = "<circle cx=\"26\" cy=\"\(middle)\" r=\"8\" fill=\"\(colour(isLit: pattern.beat[0] > 0))\">\(blinking(pattern))</circle>"
        let words = "<text x=\"484\" y=\"\(middle + 5)\" fill=\"#e0e0e0\">\(pattern.look): \(pattern.meaning)</text>"
        let bars = [bar(0, seconds * 1000, middle, isLit: false)] + lit(pattern).map { bar($0.0, $0.1, middle, isLit: true) }
        return [lamp] + bars + [words]
    }

    private static func bar(_ from: Int, _ to: Int, _ middle: Int, isLit: Bool) -> String {
        let (left, right) = (place(from), place(to))
        return "<rect x=\"\(left)\" y=\"\(middle - 6)\" width=\"\(right - left)\" height=\"12\" fill=\"\(colour(isLit: isLit))\"/>"
    }

    private static func colour(isLit: Bool) -> String { isLit ? "#7fe27f" : "#3a3d40" }

    private static func place(_ milliseconds: Int) -> Int { strip.left + milliseconds * strip.width / (seconds * 1000) }

    /// When it is lit, in milliseconds from the strip's start.
    private static func lit(_ pattern: LampPattern) -> [(Int, Int)] {
        var found: [(Int, Int)] = []
        var now = 0
        while now < seconds * 1000 {
            for (index, length) in pattern.beat.enumerated() {
                let end = min(now + length, seconds * 1000)
                if index % 2 == 0, end > now { found.append((now, end)) }
                now += length
            }
        }
        return found
    }

    /// The lamp itself: its colour jumps at each change of the beat.
    private static func blinking(_ pattern: LampPattern) -> String {
        let total = pattern.beat.reduce(0, +)
        guard pattern.beat.allSatisfy({ $0 > 0 }) else { return "" }
        var now = 0
        var times: [String] = []
        for length in pattern.beat {
            // Three digits, without a locale.
            let share = now * 1000 / total
            times.append("0." + String(repeating: "0", count: 3 - String(share).count) + String(share))
            now += length
        }
        let colours = pattern.beat.indices.map { colour(isLit: $0 % 2 == 0) }
        return "<animate attributeName=\"fill\" calcMode=\"discrete\" repeatCount=\"indefinite\" dur=\"\(total)ms\""
            + " keyTimes=\"\(times.joined(separator: ";"))\" values=\"\(colours.joined(separator: ";"))\"/>"
    }
}
