import GovernorCore
import Platform
import Testing

/// What operators read about the log must be what is logged.
@Suite struct LogEventTests {
    private func table() throws -> [String] {
        let tests = Files.parent(of: Files.parent(of: "\(#filePath)"))
        let bytes = try Files.read(Files.parent(of: tests) + "/docs/events.md", limit: 1 << 20)
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { String($0) }
    }

    @Test(arguments: LogEvent.allCases) func `every event stands in docs/events.md with its id and a meaning`(event: LogEvent) throws {
        let row = try table().first { $0.hasPrefix("| \(event.rawValue) | `\(event.name)` | ") }
        #expect((row?.count ?? 0) > 30)
    }

    @Test func `nothing else stands there`() throws {
        #expect(try table().filter { $0.hasPrefix("| 1") }.count == LogEvent.allCases.count)
    }

    @Test func `no name is used twice`() { #expect(Set(LogEvent.allCases.map(\.name)).count == LogEvent.allCases.count) }
}
