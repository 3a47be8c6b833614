/// A command's arguments, read strictly: each option at most once, none that the command doesn't know.
public struct Options {
    private var values: [String: String] = [:]
    private var flags: Set<String> = []
    /// What is no option, in order.
    public private(set) var words: [String] = []

    /// `valued` take the next argument (or what follows `=`), `plain` stand alone; `words` names the words that must follow, `maybe`
    /// those that may stand behind them.
    public init(
        _ arguments: ArraySlice<String>, valued: [String], plain: [String] = [], words names: [String] = [],
        maybe: [String] = []
    ) throws(CommandFailure) {
        var rest = arguments
        while let argument = rest.popFirst() {
            guard argument.utf8.starts(with: "--".utf8), argument.utf8.count > 2 else {
                words.append(argument)
                continue
            }
            try take(argument, &rest, valued, plain)
        }
        guard (names.count...(names.count + maybe.count)).contains(words.count) else {
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

    /// Whether a plain option was given.
    public func has(_ flag: String) -> Bool { flags.contains(flag) }

    /// The value of an option, nil where it was not given.
    public func optional(_ name: String) -> String? { values[name] }

    /// The value of an option that must be given.
    public func value(_ name: String) throws(CommandFailure) -> String {
        guard let value = values[name] else { throw CommandFailure(.usage, name + " is missing; see --help") }
        return value
    }

    /// A whole number in a range, nil where the option was not given.
    public func number(_ name: String, _ range: ClosedRange<Int64>) throws(CommandFailure) -> Int64? {
        guard let text = values[name] else { return nil }
        guard let number = Int64(text), range.contains(number) else {
            throw CommandFailure(.usage, name + ": expected a whole number from \(range.lowerBound) to \(range.upperBound), found " + text)
        }
        return number
    }
}
