import CLinux
import Commands
import Platform
import VaultProtocol

/// One request to the governor and its answers.
enum Conversation {
    /// Asks for something that wants no passphrase.
    static func ask(_ verb: VaultVerb) throws(CommandFailure) -> VaultAnswer {
        let nothing = try system(otherwise: .failed) { () throws(SystemError) in try LockedBytes(capacity: 1) }
        return try ask(verb, passphrase: nothing)
    }

    /// Asks, shows how far it is, and gives the last answer; one that says no is thrown.
    static func ask(_ verb: VaultVerb, size: Int64 = 0, passphrase: borrowing LockedBytes) throws(CommandFailure) -> VaultAnswer {
        clinux_ignore_pipe_signal()
        let door = try connect()
        let frame = try system(otherwise: .failed) { () throws(SystemError) in
            try VaultRequest.frame(verb, size: size, passphrase: passphrase)
        }
        // The governor may have answered (not permitted, busy) without reading; then writing fails, and the answer is there all the same.
        do throws(SystemError) { try frame.write(to: door.raw) } catch {
            guard error.code == EPIPE || error.code == ECONNRESET else { throw CommandFailure(error, otherwise: .inputOutput) }
        }
        while true {
            let answer = try next(door)
            switch answer.kind {
            case .done: return answer
            case .failed: throw CommandFailure(code(answer.reason), answer.text)
            case .progress: show(answer)
            }
        }
    }

    /// A governor that starts anew is away for a moment.
    private static func connect() throws(CommandFailure) -> FileDescriptor {
        var attempts = 0
        while true {
            let raw = clinux_unix_connect(VaultWire.socket)
            if raw >= 0 { return FileDescriptor(owning: raw) }
            let failure = SystemError.last(VaultWire.socket)
            switch failure.code {
            case EACCES, EPERM: throw CommandFailure(.notPermitted, "only root and the renter may use the vault")
            case ECONNREFUSED, ENOENT, EAGAIN, EINTR:
                guard attempts < 50 else {
                    throw CommandFailure(.refused, "the device does not answer; try again in a minute (" + errnoText(failure.code) + ")")
                }
                attempts += 1
                usleep(100_000)
            default: throw CommandFailure(.inputOutput, failure.message)
            }
        }
    }

    private static func next(_ door: borrowing FileDescriptor) throws(CommandFailure) -> VaultAnswer {
        let count = try understood(try receive(door, 4), frameLength)
        return try understood(try receive(door, count)) { bytes throws(VaultWireError) in try VaultAnswer(bytes) }
    }

    private static func understood<Value>(
        _ bytes: [UInt8], _ read: ([UInt8]) throws(VaultWireError) -> Value
    ) throws(CommandFailure) -> Value {
        do throws(VaultWireError) { return try read(bytes) } catch {
            throw CommandFailure(.failed, "the device answered something strange: " + error.message)
        }
    }

    private static func receive(_ door: borrowing FileDescriptor, _ count: Int) throws(CommandFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let part: [UInt8]
            do throws(SystemError) { part = try door.read(upTo: count - bytes.count) } catch {
                throw CommandFailure(.inputOutput, "the device broke off: " + error.message)
            }
            guard !part.isEmpty else { throw CommandFailure(.failed, "the device broke off; look with: vault status") }
            bytes += part
        }
        return bytes
    }

    private static func code(_ reason: VaultAnswer.Reason) -> ExitCode {
        switch reason {
        case .none: .done
        case .wrongPassphrase: .badData
        case .notPermitted: .notPermitted
        case .busy, .paused, .missing, .inUse: .refused
        case .exists, .noRoom: .cannotCreate
        case .unsupported: .unavailable
        case .badMessage, .failed: .failed
        }
    }

    private static func show(_ answer: VaultAnswer) {
        guard Terminal.isInteractive else { return }
        let percent = answer.size > 0 ? " \(answer.used * 100 / answer.size) %" : ""
        Terminal.put("\r\u{1B}[K" + answer.text + percent + (answer.size > 0 && answer.used >= answer.size ? "\n" : ""), to: STDERR_FILENO)
    }
}
