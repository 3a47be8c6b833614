import CLinux
import EventLoop
import Platform

/// A server of the engine's: started by us, it goes on without us, and is found again by the number that we noted in its pid file.
final class Daemon {
    private let loop: EventLoop
    private let program: Program
    private let watching: EndWatch

    /// What is started, and by what it is known.
    struct Program {
        /// Program and arguments.
        let command: [String]
        /// One of its arguments, which no other program of ours has.
        let mark: String
        /// Its number is noted here.
        let pidFile: String
        /// What it says goes here.
        let logFile: String
    }

    init(loop: EventLoop, _ program: Program) {
        self.loop = loop
        self.program = program
        watching = EndWatch(loop: loop)
    }

    /// The program's name.
    var name: String { program.command[0] }

    /// It, where it runs. The number may be another process's by now: whose it is its command line tells.
    var identity: ProcessIdentity? {
        guard let pid = Files.number(program.pidFile).flatMap({ Int32(exactly: $0) }),
            ProcessIdentity.arguments(of: pid).contains(where: { $0.elementsEqual(program.mark.utf8) })
        else { return nil }
        return ProcessIdentity.of(pid)
    }

    /// Starts it. No other may run.
    func start() throws(SystemError) -> Int32 {
        let log = try FileDescriptor.open(program.logFile, O_WRONLY | O_CREAT | O_TRUNC)
        let child = try Child.start(Command(program.command, ownSession: true), output: log.raw, error: log.raw)
        try Files.publish(program.pidFile, Array("\(child.pid)\n".utf8))
        return child.pid
    }

    /// Tells of the end of the one with this number, once; false where it has ended.
    func watch(_ pid: Int32?, _ ended: @escaping () -> Void) -> Bool {
        unwatch()
        guard let pid else { return false }
        return watching.set(pid) {
            _ = clinux_reap(pid, WNOHANG)
            ended()
        }
    }

    /// Its end is told no more.
    func unwatch() { watching.cancel() }

    /// Ends it, by SIGKILL if it still lives after these milliseconds; `done` when it is gone. One that a governor started that was killed before it noted
    /// the number is ended too.
    func end(within patience: Int64, _ done: @escaping () -> Void) {
        let mark = program.mark
        loop.end(ProcessIdentity.all { $0.elementsEqual(mark.utf8) }, within: patience, done)
    }

    /// The last line that it wrote, which says why it ended.
    var lastWords: String {
        guard let bytes = try? Files.read(program.logFile, limit: 1 << 20),
            let line = bytes.split(separator: UInt8(ascii: "\n")).last
        else { return "" }
        return ": " + String(decoding: line.suffix(300), as: UTF8.self)
    }
}

extension EventLoop {
    /// Ends processes, by SIGKILL those that still live after these milliseconds; `done` when all are gone.
    func end(_ processes: [ProcessIdentity], within patience: Int64, _ done: @escaping () -> Void) {
        for process in processes { process.send(patience > 0 ? SIGTERM : SIGKILL) }
        awaitEnd(of: processes[...], until: Clock.bootNanoseconds() + patience * 1_000_000, isKilled: patience <= 0, done)
    }

    /// The first thread is a zombie before the others have ended; only then can a child of ours be reaped.
    private func awaitEnd(of processes: ArraySlice<ProcessIdentity>, until end: Int64, isKilled: Bool, _ done: @escaping () -> Void) {
        let left = processes.drop { process in
            let status = clinux_reap(process.pid, WNOHANG)
            let isChild = status < 0 && clinux_errno() == EAGAIN
            return status >= 0 || !isChild && !process.isAlive
        }
        guard !left.isEmpty else { return done() }
        let isLate = !isKilled && Clock.bootNanoseconds() >= end
        if isLate { for process in left { process.send(SIGKILL) } }
        after(milliseconds: 20) { [self] in awaitEnd(of: left, until: end, isKilled: isKilled || isLate, done) }
    }
}
