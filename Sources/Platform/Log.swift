import CLinux

/// How much a line matters; the numbers are syslog's (RFC 5424), which journald reads from the prefix `<N>`.
public enum LogLevel: Int, Sendable {
    case error = 3
    case warning = 4
    case info = 6
    case debug = 7

    /// The word in the line.
    public var word: String {
        switch self {
        case .error: "error"
        case .warning: "warning"
        case .info: "info"
        case .debug: "debug"
        }
    }
}

/// One `key=value` of a log line.
public struct LogField: Equatable, Sendable {
    let key: String
    let value: String

    /// A field; a value with a space, quote or control character is quoted.
    public init(_ key: String, _ value: String) {
        self.key = key
        self.value = value
    }

    /// A number.
    public init<Number: BinaryInteger>(_ key: String, _ value: Number) { self.init(key, "\(value)") }

    /// `key=value`, quoted where it must be.
    public var text: String { key + "=" + quoted(value) }
}

/// Writes one line an event to standard error: level, fixed event id and name, then the fields, `key=value`.
/// Under journald (JOURNAL_STREAM is set) each line starts with `<N>`, else with the time in UTC.
public struct Log: Sendable {
    /// Lines less important than this are not written.
    public var threshold: LogLevel
    /// Fields on every line, such as the lease.
    public var always: [LogField]
    let underJournal: Bool

    /// A log to standard error.
    public init(threshold: LogLevel = .info, always: [LogField] = []) {
        self.threshold = threshold
        self.always = always
        underJournal = Invocation.environment("JOURNAL_STREAM") != nil
    }

    /// Writes one event.
    public func write(_ level: LogLevel, id: Int, _ event: String, _ fields: [LogField] = []) {
        guard level.rawValue <= threshold.rawValue else { return }
        var line = underJournal ? "<\(level.rawValue)>" : "time=" + utcText(milliseconds: Clock.unixMilliseconds()) + " "
        line += "level=" + level.word + " id=\(id) event=" + event
        for field in always + fields { line += " " + field.text }
        Terminal.complain(line)
    }
}

/// The value as it stands, or in quotes with `\"`, `\\` and `\xNN` where it has spaces, quotes, `=` or control characters.
func quoted(_ value: String) -> String {
    let plain = !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3D && $0 != 0x7F && $0 != 0x5C }
    if plain { return value }
    var bytes: [UInt8] = [0x22]
    for byte in value.utf8 {
        switch byte {
        case 0x22, 0x5C: bytes += [0x5C, byte]
        case 0..<0x20, 0x7F: bytes += Array(("\\x" + hexText([byte])).utf8)
        default: bytes.append(byte)
        }
    }
    bytes.append(0x22)
    return String(decoding: bytes, as: UTF8.self)
}

/// Seconds since 1970 as `2026-11-21T04:53:33Z` (RFC 3339), by the civil-from-days algorithm: gmtime wants a struct and a time zone.
public func utcText(_ seconds: Int64) -> String {
    let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
    let ofDay = seconds - days * 86_400
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthIndex = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthIndex + 2) / 5 + 1
    let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(year)-\(two(month))-\(two(day))T\(two(ofDay / 3_600)):\(two(ofDay / 60 % 60)):\(two(ofDay % 60))Z"
}

/// The same with milliseconds, `2026-11-21T04:53:33.123Z`.
public func utcText(milliseconds: Int64) -> String {
    let rest = milliseconds % 1_000
    let digits = rest < 10 ? "00\(rest)" : rest < 100 ? "0\(rest)" : "\(rest)"
    return String(utcText(milliseconds / 1_000).dropLast()) + "." + digits + "Z"
}
