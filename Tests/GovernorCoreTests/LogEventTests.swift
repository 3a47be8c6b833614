import Foundation
import GovernorCore
import Testing

/// What operators read about the log must be what is logged.
@Suite struct LogEventTests {
    private var table: [String] {
        get throws {
            let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/events.md")
            return try String(contentsOf: path, encoding: .utf8).split(separator: "\n").map(String.init)
        }
    }

    @Test(arguments: LogEvent.allCases) func `every event stands in docs/events.md with its id and a meaning`(event: LogEvent) throws {
        let row = try table.first { $0.hasPrefix("| \(event.rawValue) | `\(event.name)` | ") }
        #expect((row?.count ?? 0) > 30)
    }

    @Test func `nothing else stands there`() throws {
        #expect(try table.filter { $0.hasPrefix("| 1") }.count == LogEvent.allCases.count)
    }

    @Test func `no name is used twice`() { #expect(Set(LogEvent.allCases.map(\.name)).count == LogEvent.allCases.count) }
}
