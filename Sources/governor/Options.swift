import Platform

/// How programs of this house end (sysexits.h).
enum Exit {
    static let fine: Int32 = 0
    /// The command line makes no sense.
    static let usage: Int32 = 64
    /// Something this machine must have is missing.
    static let unavailable: Int32 = 69
    /// A step failed inside.
    static let failed: Int32 = 70
    /// Another governor runs, or the step may work later.
    static let later: Int32 = 75
    /// Not root.
    static let noPermission: Int32 = 77
    /// device-config.json is missing or wrong.
    static let configuration: Int32 = 78
}

/// What is wrong with a command line.
struct UsageError: Error {
    let message: String
}

/// A command line: words, and options `--name VALUE` or `--name`.
struct Options {
    private(set) var words: [String] = []
    private var values: [(name: String, value: String)] = []
    private var flags: [String] = []

    /// Splits the arguments; an unknown option, or one without its value, is an error.
    init(_ arguments: [String], valued: [String], flags known: [String]) throws(UsageError) {
        var left = arguments[...]
        while let argument = left.popFirst() {
            guard argument.utf8.starts(with: "--".utf8) else {
                words.append(argument)
                continue
            }
            let name = String(argument.dropFirst(2))
            if known.contains(name) {
                flags.append(name)
            } else if valued.contains(name) {
                guard let value = left.popFirst() else { throw UsageError(message: argument + ": expected a value") }
                values.append((name, value))
            } else {
                throw UsageError(message: argument + ": no such option")
            }
        }
    }

    func value(_ name: String) -> String? { values.last { $0.name == name }?.value }

    func has(_ flag: String) -> Bool { flags.contains(flag) }

    /// The three paths, from options or environment.
    func layout() -> Layout {
        var layout = Layout()
        layout.configPath = value("config") ?? Invocation.environment("SUBLET_CONFIG") ?? layout.configPath
        layout.stateFolder = value("state") ?? Invocation.environment("SUBLET_STATE") ?? layout.stateFolder
        layout.runFolder = value("run") ?? Invocation.environment("SUBLET_RUN") ?? layout.runFolder
        layout.baseImage = value("base") ?? Invocation.environment("SUBLET_BASE") ?? layout.baseImage
        return layout
    }

    static let places = ["config", "state", "run", "base"]
}
