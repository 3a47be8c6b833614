import CLinux
import Platform

/// How the programs of this house end; the numbers are sysexits.h's.
public enum ExitCode: Int32, Sendable {
    case done = 0
    /// The command line makes no sense.
    case usage = 64
    /// What was given to read is wrong.
    case badData = 65
    /// This machine lacks something; the line says what and how to get it.
    case unavailable = 69
    /// A step failed inside.
    case failed = 70
    case cannotCreate = 73
    case inputOutput = 74
    /// Not now: another holds it, or it is refused as things stand.
    case refused = 75
    case notPermitted = 77
    /// The configuration is missing or wrong.
    case configuration = 78
}

/// Why a command did not do its work: one line for people and the exit code.
public struct CommandFailure: Error, Equatable, Sendable {
    /// How the program ends.
    public let code: ExitCode
    /// What is wrong and what was expected.
    public let message: String

    /// A failure.
    public init(_ code: ExitCode, _ message: String) {
        self.code = code
        self.message = message
    }

    /// A failed system call: not permitted, or else what the caller says.
    public init(_ error: SystemError, otherwise code: ExitCode) {
        let isForbidden = error.code == EACCES || error.code == EPERM
        self.init(isForbidden ? .notPermitted : code, error.message)
    }
}

/// Runs system calls; their error as the command's.
public func system<Result: ~Copyable>(
    otherwise code: ExitCode = .inputOutput, _ body: () throws(SystemError) -> Result
) throws(CommandFailure) -> Result {
    do throws(SystemError) { return try body() } catch { throw CommandFailure(error, otherwise: code) }
}
