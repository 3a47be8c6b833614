import CLinux
import MarketCore
import Platform
import Protocol

/// How the program ends; the numbers are sysexits.h's.
enum ExitCode: Int32 {
    case done = 0
    case usage = 64
    case badData = 65
    case unavailable = 69
    case bug = 70
    case cannotCreate = 73
    case inputOutput = 74
    case refused = 75
    case notPermitted = 77
    case configuration = 78
}

/// Why a command did not do its work: one line for people and the exit code.
struct CommandFailure: Error {
    let code: ExitCode
    let message: String

    init(_ code: ExitCode, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ error: MarketError) {
        switch error {
        case .failed(let failure): self.init(.inputOutput, failure.message)
        case .refused(let refusal):
            switch refusal.code {
            case .conflict: self.init(.refused, refusal.message)
            case .unavailable: self.init(.unavailable, refusal.message)
            default: self.init(.badData, refusal.message)
            }
        }
    }

    init(_ error: SystemError, otherwise code: ExitCode) {
        let isForbidden = error.code == EACCES || error.code == EPERM
        self.init(isForbidden ? .notPermitted : code, error.message)
    }
}

/// Runs rules or ledger calls; their error as the command's.
func carried<Result>(_ body: () throws(MarketError) -> Result) throws(CommandFailure) -> Result {
    do throws(MarketError) { return try body() } catch { throw CommandFailure(error) }
}

/// Runs system calls; their error as the command's.
func system<Result>(
    otherwise code: ExitCode = .inputOutput, _ body: () throws(SystemError) -> Result
) throws(CommandFailure) -> Result {
    do throws(SystemError) { return try body() } catch { throw CommandFailure(error, otherwise: code) }
}
