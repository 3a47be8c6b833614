import Foundation
import Testing

@testable import Platform

/// Log lines, times, errors, random numbers.
@Suite(.serialized) struct LogTests {
    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59Z"), (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"), (1_709_251_199, "2024-02-29T23:59:59Z"), (1_735_689_600, "2025-01-01T00:00:00Z"),
        (1_795_236_813, "2026-11-21T04:53:33Z"), (2_147_483_648, "2038-01-19T03:14:08Z"), (4_102_444_800, "2100-01-01T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"), (253_402_300_799, "9999-12-31T23:59:59Z"), (-2_208_988_800, "1900-01-01T00:00:00Z"),
    ])
    func `known dates`(seconds: Int64, text: String) { #expect(utcText(seconds) == text) }

    @Test func `any day, as Foundation has it`() {
        let formatter = ISO8601DateFormatter()
        for day in stride(from: Int64(-20_000), to: 60_000, by: 37) {
            let seconds = day * 86_400 + (day % 86_400 + 86_400) % 86_400
            #expect(utcText(seconds) == formatter.string(from: Date(timeIntervalSince1970: TimeInterval(seconds))))
        }
    }

    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000Z"), (1_795_236_813_007, "2026-11-21T04:53:33.007Z"),
        (1_795_236_813_070, "2026-11-21T04:53:33.070Z"),
        (1_795_236_813_999, "2026-11-21T04:53:33.999Z"),
    ])
    func `milliseconds have three digits`(milliseconds: Int64, text: String) { #expect(utcText(milliseconds: milliseconds) == text) }

    @Test(arguments: [
        ("plain", "plain"), ("a/b:c,d-e_f.9", "a/b:c,d-e_f.9"), ("grün", "grün"), ("•••", "•••"), ("", #""""#), ("a b", #""a b""#),
        ("a=b", #""a=b""#), (#"a"b"#, #""a\"b""#), (#"a\b"#, #""a\\b""#), ("a\nb", #""a\x0ab""#),
        ("a\0b\u{1B}[31m\u{7F}", #""a\x00b\x1b[31m\x7f""#),
    ])
    func `a value stays in its place on its line`(value: String, shown: String) {
        #expect(quoted(value) == shown)
        #expect(LogField("key", value).text == "key=" + shown)
    }

    @Test func `a number`() { #expect(LogField("n", UInt8(7)).text == "n=7" && LogField("n", Int64.min).text == "n=-9223372036854775808") }

    @Test func `what is less important than the threshold is not written`() throws {
        #expect(try lines { Log(threshold: .warning).write(.info, id: 1, "a.b") } == [])
        #expect(try lines { Log(threshold: .debug).write(.debug, id: 1, "a.b") }.count == 1)
    }

    @Test func `a line: time (or journald's priority), level, id, event, what is always said, what is said now`() throws {
        let log = Log(always: [LogField("lease", "ab")])
        let written = try lines {
            log.write(.warning, id: 1_212, "market.check-in-failed", [LogField("reason", "HTTP 500\nx"), LogField("n", 3)])
        }
        let expected =
            /(time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z |<4>)level=warning id=1212 event=market\.check-in-failed lease=ab reason="HTTP 500\\x0ax" n=3/
        #expect(written.count == 1 && written[0].wholeMatch(of: expected) != nil, "\(written)")
    }

    @Test func `an error's message has the context, the outermost first, and the meaning`() {
        let error = SystemError(ENOSPC, "fsync").within("write a").within("journal")
        #expect(error.message == "journal: write a: fsync: No space left on device")
    }

    @Test func `random bytes are as many as asked for, and others each time`() throws {
        #expect(try Random.bytes(0) == [] && Random.bytes(1_000).count == 1_000)
        #expect(try Random.bytes(32) != Random.bytes(32))
        #expect(try Random.hex(16).wholeMatch(of: /[0-9a-f]{32}/) != nil)
    }

    @Test func `bytes as hex digits`() { #expect(hexText([0, 0x0F, 0xA0, 0xFF]) == "000fa0ff" && hexText([]) == "") }

    @Test func `the clock since boot goes on, and the boot has a name`() {
        let before = Clock.bootNanoseconds()
        #expect(before > 0 && Clock.bootNanoseconds() >= before && Clock.bootName().count == 36)
    }

    /// The log lines written to standard error meanwhile. Other tests run beside this one, so only log lines count.
    private func lines(_ body: () -> Void) throws -> [String] {
        let folder = try Folder()
        let kept = dup(2)
        let file = try FileDescriptor.open(folder("log"), O_RDWR | O_CREAT)
        dup2(file.raw, 2)
        body()
        dup2(kept, 2)
        close(kept)
        return text(try Files.read(folder("log"), limit: 100_000)).split(separator: "\n").map(String.init).filter { $0.contains("event=") }
    }
}
