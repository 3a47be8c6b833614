import Platform
import Protocol

/// A command's arguments, read strictly: each option at most once, none that the command doesn't know.
struct Options {
    private var values: [String: String] = [:]
    private var flags: Set<String> = []
    /// What is no option, in order.
    private(set) var words: [String] = []

    /// `valued` take the next argument (or what follows `=`), `plain` stand alone; `words` names the words that must follow.
    init(_ arguments: ArraySlice<String>, valued: [String], plain: [String] = [], words names: [String] = []) throws(CommandFailure) {
        var rest = arguments
        while let argument = rest.popFirst() {
            guard argument.utf8.starts(with: "--".utf8), argument.utf8.count > 2 else {
                words.append(argument)
                continue
            }
            try take(argument, &rest, valued, plain)
        }
        guard words.count == names.count else {
            let expected = names.isEmpty ? "no words beside its options" : names.joined(separator: " ")
            throw CommandFailure(.usage, "expected " + expected + ", found \(words.count) words; see --help")
        }
    }

    private mutating func take(
        _ argument: String, _ rest: inout ArraySlice<String>, _ valued: [String], _ plain: [String]
    ) throws(CommandFailure) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
        let name = parts[0]
        guard values[name] == nil, !flags.contains(name) else { throw CommandFailure(.usage, name + " is given twice") }
        if valued.contains(name) {
            guard let value = parts.count == 2 ? parts[1] : rest.popFirst() else {
                throw CommandFailure(.usage, name + " wants a value")
            }
            values[name] = value
        } else if plain.contains(name), parts.count == 1 {
            flags.insert(name)
        } else {
            throw CommandFailure(.usage, "unknown option " + name + "; see --help")
        }
    }

    func has(_ flag: String) -> Bool { flags.contains(flag) }

    func optional(_ name: String) -> String? { values[name] }

    func value(_ name: String) throws(CommandFailure) -> String {
        guard let value = values[name] else { throw CommandFailure(.usage, name + " is missing; see --help") }
        return value
    }

    func number(_ name: String, _ range: ClosedRange<Int64>) throws(CommandFailure) -> Int64? {
        guard let text = values[name] else { return nil }
        guard let number = Int64(text), range.contains(number) else {
            throw CommandFailure(.usage, name + ": expected a whole number from \(range.lowerBound) to \(range.upperBound), found " + text)
        }
        return number
    }

    /// `90s`, `30m`, `2h` or `7d`, in seconds.
    func duration(_ name: String) throws(CommandFailure) -> Int64 {
        let text = try value(name)
        let units: [(UInt8, Int64)] = [(0x73, 1), (0x6D, 60), (0x68, 3_600), (0x64, 86_400)]
        if let unit = units.first(where: { $0.0 == text.utf8.last }), let count = Int64(text.dropLast()),
            (1...UnixTime.longestLease).contains(count), count * unit.1 <= UnixTime.longestLease
        {
            return count * unit.1
        }
        throw CommandFailure(.usage, name + ": expected a duration such as 90s, 30m, 2h or 7d, at most 400d, found " + text)
    }

    /// The folder with the market's records: `--data`, else SUBLET_MARKET_DATA, else the usual place.
    var dataFolder: String {
        values["--data"] ?? Invocation.environment("SUBLET_MARKET_DATA") ?? "/var/lib/sublet-market"
    }
}
