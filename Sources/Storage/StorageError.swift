import CLinux
import Platform

/// Why a step on the drive failed: what was tried, and the errno or the words of the program that failed.
public struct StorageError: Error, Equatable, Sendable {
    /// An errno, or 0 where there is none.
    public let code: Int32
    /// The sentence, outermost layer first.
    public let message: String

    /// A failure with a sentence of its own.
    public init(_ message: String, code: Int32 = 0) {
        self.code = code
        self.message = message
    }

    /// A failed system call.
    public init(_ failure: SystemError) {
        code = failure.code
        message = failure.message
    }

    /// A libcryptsetup call that returned a negative errno.
    init(cryptsetup result: Int32, _ context: String) {
        code = -result
        message = context + ": " + errnoText(-result)
    }
}

/// Runs system calls and turns their errors into this room's.
func system<Value: ~Copyable>(_ body: () throws(SystemError) -> Value) throws(StorageError) -> Value {
    do throws(SystemError) { return try body() } catch { throw StorageError(error) }
}

/// Tries up to so many times, ten times a second, for as long as the error is EBUSY; what might help is done between.
func retryWhileBusy(
    _ tries: Int, between: () -> Void = {}, _ body: () throws(StorageError) -> Void
) throws(StorageError) {
    for _ in 1..<tries {
        do throws(StorageError) { return try body() } catch {
            guard error.code == EBUSY else { throw error }
        }
        between()
        usleep(100_000)
    }
    try body()
}

/// Runs a short program; its last words are the error.
func tool(_ arguments: [String], input: [UInt8]? = nil, accepting statuses: [Int32] = [0]) throws(StorageError) -> Outcome {
    let outcome = try system { () throws(SystemError) in try run(Command(arguments, input: input)) }
    guard statuses.contains(outcome.status) else { throw StorageError((arguments.first ?? "") + ": " + outcome.reason) }
    return outcome
}
