import CLinux
import Platform

/// A child that the loop watches: its output line by line, its complaint, its end.
final class Job {
    let child: Child
    private let output: FileDescriptor
    private let complaint: FileDescriptor
    private var partial: [UInt8] = []
    private var printed: [UInt8] = []
    private var complained: [UInt8] = []
    private let onLine: ((String) -> Void)?
    var tokens: [EventLoop.Token] = []

    init(_ command: Command, input given: Int32, onLine: ((String) -> Void)?) throws(SystemError) {
        let (outputReading, outputWriting) = try FileDescriptor.pipe().ends()
        output = FileDescriptor(owning: outputReading)
        let writing = FileDescriptor(owning: outputWriting)
        let (complaintReading, complaintWriting) = try FileDescriptor.pipe().ends()
        complaint = FileDescriptor(owning: complaintReading)
        let alsoWriting = FileDescriptor(owning: complaintWriting)
        let input = try inputDescriptor(command.input)
        self.onLine = onLine
        child = try Child.start(command, input: given >= 0 ? given : input.raw, output: writing.raw, error: alsoWriting.raw)
        try output.makeNonBlocking()
        try complaint.makeNonBlocking()
    }

    /// The descriptors to watch: output, complaint, end.
    var descriptors: (Int32, Int32, Int32) { (output.raw, complaint.raw, child.handle.raw) }

    /// Takes what the child printed; false at the end of its output.
    func takeOutput() -> Bool {
        guard let bytes = try? output.read(upTo: 65_536) else { return true }
        if printed.count < 1 << 20 { printed += bytes }
        guard let onLine else { return !bytes.isEmpty }
        partial += bytes
        while let end = partial.firstIndex(of: UInt8(ascii: "\n")) {
            onLine(String(decoding: partial[..<end], as: UTF8.self))
            partial.removeFirst(end + 1)
        }
        return !bytes.isEmpty
    }

    /// Takes what the child complained of; false at the end.
    func takeComplaint() -> Bool {
        guard let bytes = try? complaint.read(upTo: 4_096) else { return true }
        if complained.count < 16_384 { complained += bytes }
        return !bytes.isEmpty
    }

    /// What it printed and how it ended, once it has ended. A grandchild may keep the pipes open, so the pipes' end is not waited for.
    func outcome() -> Outcome? {
        guard let status = child.reap() else { return nil }
        drain(output.raw) { takeOutput() }
        drain(complaint.raw) { takeComplaint() }
        return Outcome(status: status, output: printed, complaint: complained)
    }

    private func drain(_ descriptor: Int32, _ take: () -> Bool) {
        var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&ready, 1, 0) > 0, ready.revents & Int16(POLLIN) != 0, take() {}
    }
}

extension EventLoop {
    /// Starts a program; `onLine` gets each line of its standard output, the completion how it ended. The completion is called once, never
    /// before this returns. `input` is a descriptor for its standard input, instead of the command's bytes; it stays the caller's.
    @discardableResult
    public func run(
        _ command: Command, input: Int32 = -1, onLine: ((String) -> Void)? = nil, _ completion: @escaping (Outcome) -> Void
    ) -> Token {
        let job: Job
        do throws(SystemError) { job = try Job(command, input: input, onLine: onLine) } catch {
            let complaint = Array(error.message.utf8)
            return after(milliseconds: 0) { completion(Outcome(status: 127, output: [], complaint: complaint)) }
        }
        let token = newToken()
        jobs[token.number] = job
        let (output, complaint, end) = job.descriptors
        let first = newestWatch(output) { job.takeOutput() }
        let second = newestWatch(complaint) { job.takeComplaint() }
        let third = watch(end) { [self] _ in
            guard let outcome = job.outcome() else { return }
            for watched in job.tokens { cancel(watched) }
            jobs[token.number] = nil
            completion(outcome)
        }
        job.tokens = [first, second, third]
        return token
    }

    /// Watches until the handler says that the end of the file is there.
    private func newestWatch(_ descriptor: Int32, _ take: @escaping () -> Bool) -> Token {
        let holder = TokenHolder()
        let token = watch(descriptor) { [self] _ in if !take() { cancel(holder.token) } }
        holder.token = token
        return token
    }

    /// Sends a signal to a running program; its completion still comes.
    public func signal(_ token: Token?, _ number: Int32) {
        guard let token, let job = jobs[token.number] else { return }
        _ = clinux_pidfd_send_signal(job.child.handle.raw, number)
    }
}

/// Lets a handler name its own watch.
private final class TokenHolder {
    var token: EventLoop.Token?
}
