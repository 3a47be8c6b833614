import CLinux
import EventLoop
import Platform

/// Has the lamps kept by a process of its own (`LampProcess`), so that they are dark when this program has ended, however it ended: the
/// kernel's triggers would blink on, and a GPIO line given back can keep its level. The process is a fork, which shares our memory, and
/// wakes up only to change a GPIO line.
public final class Keeper {
    /// The other process, from here.
    private final class Peer {
        let pid: Int32
        let socket: FileDescriptor

        init(pid: Int32, socket: consuming FileDescriptor) {
            self.pid = pid
            self.socket = socket
        }
    }

    private let loop: EventLoop
    private let plan: LampPlan
    private let beats: [Beat]
    private let tell: (String?) -> Void
    private var peer: Peer?
    private var watch: EventLoop.Token?
    private var wanted = 0
    private var told: Int?
    /// What is wrong with a lamp; nil where nothing is.
    public private(set) var trouble: String?

    /// Starts the process; the lamps show the first of the beats. `tell` gets what is wrong with a lamp, and nil when that is over.
    public init(loop: EventLoop, plan: LampPlan, beats: [Beat], tell: @escaping (String?) -> Void) {
        self.loop = loop
        self.plan = plan
        self.beats = beats
        self.tell = tell
        start()
    }

    /// Shows the beat of this number.
    public func show(_ number: Int) {
        wanted = number
        guard let peer, told != number else { return }
        var byte = UInt8(truncatingIfNeeded: number)
        if clinux_send_message(peer.socket.raw, &byte, 1) == 1 { told = number }
    }

    /// Gives the lamps back; they are dark when this returns.
    public func end() {
        guard let pid = leave() else { return }
        while clinux_reap(pid, 0) < 0, clinux_errno() == EINTR {}
    }

    /// Hangs up, upon which the other process ends.
    private func leave() -> Int32? {
        loop.cancel(watch)
        let pid = peer?.pid
        peer = nil
        told = nil
        return pid
    }

    private func start() {
        do throws(SystemError) {
            var (ours, theirs): (Int32, Int32) = (-1, -1)
            guard clinux_message_pair(&ours, &theirs) == 0 else { throw .last("socketpair") }
            let socket = FileDescriptor(owning: ours)
            let given = FileDescriptor(owning: theirs)
            let pid = clinux_fork_keeping(given.raw, "governor-lamp")
            guard pid >= 0 else { throw .last("fork") }
            if pid == 0 {
                var process = LampProcess(plan: plan, beats: beats, socket: given.raw)
                process.run()
                _exit(0)
            }
            peer = Peer(pid: pid, socket: socket)
            watch = loop.watch(ours) { [self] _ in hear() }
            show(wanted)
        } catch { failed(error.message) }
    }

    private func hear() {
        guard let peer, let bytes = try? peer.socket.read(upTo: 4_096) else { return }
        guard let first = bytes.first else {
            if let pid = leave() { _ = clinux_reap(pid, 0) }
            return failed("the process that holds it ended")
        }
        note(first == UInt8(ascii: "!") ? String(decoding: bytes.dropFirst(), as: UTF8.self) : nil)
    }

    private func failed(_ reason: String) {
        note(reason)
        loop.after(milliseconds: 5_000) { [self] in if peer == nil { start() } }
    }

    private func note(_ now: String?) {
        guard trouble != now else { return }
        trouble = now
        tell(now)
    }
}
