import CLinux

/// A failed system call: its errno, and what each layer above was doing when it failed.
public struct SystemError: Error, Equatable, Sendable {
    /// The errno of the call.
    public let code: Int32
    /// What was tried, the outermost layer first: "journal: write /var/lib/sublet/journal.json: fsync".
    public private(set) var context: String

    /// An error with an errno that is already known.
    public init(_ code: Int32, _ context: String) {
        self.code = code
        self.context = context
    }

    /// The error that the last failed call left in errno. Call it before anything else can change errno.
    public static func last(_ context: String) -> SystemError { SystemError(clinux_errno(), context) }

    /// The same error, with the context of the layer above put before it.
    public func within(_ outer: String) -> SystemError { SystemError(code, outer + ": " + context) }

    /// One line for people: the context and the errno's meaning.
    public var message: String { context + ": " + errnoText(code) }
}

/// strerror(3) of an errno.
public func errnoText(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return String(cString: text)
}
