import CLinux
import Commands
import Platform
import VaultProtocol

/// Asks for the passphrase: at the terminal, unseen; or one line of standard input where that is none.
enum Passphrase {
    /// For a vault that is there.
    static func ask() throws(CommandFailure) -> LockedBytes {
        let line = try isatty(STDIN_FILENO) == 1 ? typed("Passphrase: ") : piped()
        guard line.count > 0 else { throw CommandFailure(.badData, "no passphrase was given") }
        return line
    }

    /// For a new vault: long enough, and at a terminal typed twice.
    static func choose() throws(CommandFailure) -> LockedBytes {
        let isTyped = isatty(STDIN_FILENO) == 1
        let first = try isTyped ? typed("Passphrase, at least \(VaultWire.shortestPassphrase) characters: ") : piped()
        guard first.count >= VaultWire.shortestPassphrase else {
            throw CommandFailure(.badData, "the passphrase is too short: at least \(VaultWire.shortestPassphrase) characters")
        }
        if isTyped {
            let second = try typed("Once more: ")
            guard first.equals(second) else { throw CommandFailure(.badData, "the two were not the same; nothing was made") }
        }
        return first
    }

    private static func piped() throws(CommandFailure) -> LockedBytes {
        try system(otherwise: .inputOutput) { () throws(SystemError) in try line(from: STDIN_FILENO, wait: { () throws(SystemError) in }) }
    }

    private static func typed(_ prompt: String) throws(CommandFailure) -> LockedBytes {
        try system(otherwise: .inputOutput) { () throws(SystemError) in
            let terminal = try SilentTerminal(prompt: prompt)
            let typed = try line(from: terminal.descriptor, wait: { () throws(SystemError) in try terminal.wait() })
            terminal.endLine()
            return typed
        }
    }

    /// A line without its end, byte by byte so that nothing behind it is swallowed. EMSGSIZE where it is too long.
    private static func line(from descriptor: Int32, wait: () throws(SystemError) -> Void) throws(SystemError) -> LockedBytes {
        var line = try LockedBytes(capacity: VaultWire.longestPassphrase + 2)
        while true {
            try wait()
            if try line.read(from: descriptor, upTo: 1) == 0 { break }
            if line[line.count - 1] == 0x0A {
                line.removeLast()
                if line.count > 0, line[line.count - 1] == 0x0D { line.removeLast() }
                break
            }
            guard line.count < line.capacity else { break }
        }
        guard line.count <= VaultWire.longestPassphrase else {
            throw SystemError(EMSGSIZE, "a passphrase of more than \(VaultWire.longestPassphrase) bytes")
        }
        return line
    }
}

/// The terminal with its echo off; on again when this goes, and before a signal does what it does.
struct SilentTerminal: ~Copyable {
    let descriptor: Int32
    private let signals: Int32
    private let before: termios
    private let prompt: String

    init(prompt: String) throws(SystemError) {
        self.prompt = prompt
        let terminal = try FileDescriptor.open("/dev/tty", O_RDWR | O_NOCTTY)
        var before = termios()
        guard tcgetattr(terminal.raw, &before) == 0 else { throw .last("tcgetattr") }
        let signals = clinux_prompt_signals()
        guard signals >= 0 else { throw .last("signalfd") }
        self.before = before
        self.signals = signals
        descriptor = terminal.release()
        silence()
    }

    deinit {
        restore()
        clinux_end_prompt_signals()
        _ = close(signals)
        _ = close(descriptor)
    }

    private borrowing func silence() {
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO | ECHONL)
        silent.c_lflag |= tcflag_t(ICANON | ISIG)
        _ = tcsetattr(descriptor, TCSAFLUSH, &silent)
        Terminal.put(prompt, to: descriptor)
    }

    private borrowing func restore() {
        var before = self.before
        _ = tcsetattr(descriptor, TCSAFLUSH, &before)
    }

    /// The renter's Return was not shown either.
    borrowing func endLine() { Terminal.put("\n", to: descriptor) }

    /// Until something can be read. A signal meanwhile does what it always does, but with the echo on again.
    borrowing func wait() throws(SystemError) {
        while true {
            var ready = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&ready, 2, -1) >= 0 else {
                if clinux_errno() == EINTR { continue }
                throw .last("poll")
            }
            if ready[1].revents != 0 { obey(clinux_read_signal(signals)) } else if ready[0].revents != 0 { return }
        }
    }

    private borrowing func obey(_ signal: Int32) {
        guard signal > 0 else { return }
        restore()
        Terminal.put("\n", to: descriptor)
        // Suspended by Ctrl-Z it asks anew when it goes on; what was typed is flushed. The others end us.
        if signal == SIGTSTP {
            _ = raise(SIGSTOP)
            return silence()
        }
        clinux_end_prompt_signals()
        _ = raise(signal)
        exit(128 + signal)
    }
}
