import CLinux
import Platform

/// The service manager that started this program: sd_notify(3), datagrams to the socket in NOTIFY_SOCKET. It learns when the program is
/// ready, and, as long as the loop turns, that it lives; a program that is stuck it ends and starts again.
public struct Supervisor {
    private let socket: String
    /// Milliseconds between two signs of life, half of what is allowed; nil where none are wanted.
    private let pause: Int64?

    /// What the environment tells of it; nil where there is none.
    public init?() {
        guard let socket = Invocation.environment("NOTIFY_SOCKET"), let first = socket.utf8.first,
            first == UInt8(ascii: "/") || first == UInt8(ascii: "@")
        else { return nil }
        self.socket = socket
        let isMeant = Invocation.environment("WATCHDOG_PID").map { $0 == "\(getpid())" } ?? true
        let allowed = Invocation.environment("WATCHDOG_USEC").flatMap { Int64($0) } ?? 0
        pause = isMeant && allowed > 0 ? max(1, allowed / 2_000) : nil
    }

    /// Says that the program is ready, and from then on that the loop turns.
    public func ready(_ loop: EventLoop) {
        tell("READY=1")
        live(loop)
    }

    private func live(_ loop: EventLoop) {
        guard let pause else { return }
        tell("WATCHDOG=1")
        loop.after(milliseconds: pause) { live(loop) }
    }

    /// A word that is lost is no harm: the next one comes, or the program is started again.
    private func tell(_ text: String) { _ = clinux_unix_tell(socket, text) }
}
