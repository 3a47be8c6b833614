import CLinux
import Commands
import Engine
import Platform
import Protocol
import Storage
import VaultProtocol

/// `governor storage vault`, a child of the governor: reads one request from the renter's connection (standard input), does it, answers,
/// ends. The passphrase is in the memory of this process alone, which is locked, in no core dump, and wiped. With `--close` it closes the vault
/// whoever uses it. On standard output it tells the governor verb and result.
enum VaultCommand {
    static func run(_ options: Options) throws(CommandFailure) {
        guard Invocation.isRoot else { throw CommandFailure(.notPermitted, "storage vault: must be root") }
        let layout = Layout(options)
        let vault = layout.vault(try layout.config())
        if options.has("--close") {
            do throws(StorageError) { return try vault.closeByForce() } catch {
                throw CommandFailure(.failed, "storage vault: " + error.message)
            }
        }
        let pause = try options.number("--pause", 0...3_600) ?? 0
        var pid: pid_t = 0
        var user: uid_t = 0
        guard clinux_peer(STDIN_FILENO, &pid, &user) == 0 else {
            throw CommandFailure(.usage, "storage vault: the governor starts it for a renter's request; by hand there is only --close")
        }
        clinux_ignore_pipe_signal()
        guard clinux_keep_memory_private() == 0, mlockall(MCL_CURRENT | MCL_FUTURE) == 0 else {
            throw CommandFailure(.failed, "storage vault: the memory can't be locked: " + errnoText(clinux_errno()))
        }
        serve(Caller(pid: pid, user: user, pause: pause), vault, layout)
    }

    /// Who asks.
    private struct Caller {
        let pid: Int32
        let user: UInt32
        /// Seconds that the next passphrase must wait.
        let pause: Int64
    }

    private static func serve(_ caller: Caller, _ vault: Vault, _ layout: Layout) {
        let request: VaultRequest
        do throws(VaultTrouble) { request = try receive() } catch {
            answer(VaultAnswer(.failed, reason: error.reason, text: error.message))
            return tell("unknown", error.reason)
        }
        do throws(VaultTrouble) {
            try perform(request, caller, vault, layout)
            let found = try vault.look()
            answer(VaultAnswer(.done, state: found.state, size: found.size, used: found.used))
            tell(request.verb.word, .none)
        } catch {
            answer(VaultAnswer(.failed, reason: error.reason, text: error.message))
            tell(request.verb.word, error.reason)
        }
    }

    private static func perform(
        _ request: borrowing VaultRequest, _ caller: Caller, _ vault: Vault, _ layout: Layout
    ) throws(VaultTrouble) {
        if request.verb == .status { return }
        if request.verb == .open, caller.pause > 0 {
            throw VaultTrouble(.paused, VaultPatience.sentence(seconds: caller.pause))
        }
        let lock = try vault.takeLock()
        switch request.verb {
        case .create:
            guard let root = layout.remapped.first(where: { caller.user == $0 || caller.user == $0 + Layout.renter }) else {
                throw VaultTrouble(.notPermitted, "only root and the renter may use the vault")
            }
            try vault.create(
                size: request.size, passphrase: request.passphrase, owner: root + Layout.renter,
                container: try machine(of: caller.pid), tell: show)
        case .open: try vault.open(passphrase: request.passphrase, container: try machine(of: caller.pid))
        case .close: try vault.close()
        case .forget: try vault.forget()
        case .status: break
        }
        _ = lock.raw
    }

    // MARK: The connection

    /// The whole request, within the time limit.
    private static func receive() throws(VaultTrouble) -> VaultRequest {
        let deadline = Clock.bootNanoseconds() + VaultWire.patience * 1_000_000
        let head = try receive(4, deadline)
        let length = try understood { () throws(VaultWireError) in try frameLength((0..<4).map { head[$0] }) }
        let frame = try receive(length, deadline)
        return try understood { () throws(VaultWireError) in try VaultRequest(frame) }
    }

    private static func understood<Value: ~Copyable>(_ read: () throws(VaultWireError) -> Value) throws(VaultTrouble) -> Value {
        do throws(VaultWireError) { return try read() } catch { throw VaultTrouble(.badMessage, error.message) }
    }

    private static func receive(_ count: Int, _ deadline: Int64) throws(VaultTrouble) -> LockedBytes {
        do throws(SystemError) {
            var bytes = try LockedBytes(capacity: count)
            while bytes.count < count {
                let left = (deadline - Clock.bootNanoseconds()) / 1_000_000
                var ready = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
                guard left > 0, poll(&ready, 1, Int32(left)) > 0 else { throw SystemError(ETIMEDOUT, "the message did not come") }
                guard try bytes.read(from: STDIN_FILENO, upTo: count - bytes.count) > 0 else {
                    throw SystemError(EPIPE, "the message ended early")
                }
            }
            return bytes
        } catch { throw VaultTrouble(.badMessage, error.message) }
    }

    /// Whoever asked may be gone, or not read: that must not hold anything up.
    private static func answer(_ answer: VaultAnswer) {
        let caller = FileDescriptor(owning: dup(STDIN_FILENO))
        do throws(SystemError) {
            try caller.makeNonBlocking()
            try caller.write(answer.frame())
        } catch {}
    }

    /// How far it is; false where nobody listens any more.
    private static func show(_ progress: StepProgress) -> Bool {
        var state = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        let isGone = poll(&state, 1, 0) > 0 && state.revents & Int16(POLLHUP) != 0
        let text = progress.step == "room" ? "making room" : "making the key and the file system"
        answer(VaultAnswer(.progress, size: progress.total, used: progress.done, text: text))
        return !isGone
    }

    private static func tell(_ verb: String, _ reason: VaultAnswer.Reason) { Terminal.put(verb + " " + reason.word) }

    // MARK: The renter's machine

    /// The first process of the machine that a process is in: number 1 in the same process namespace, which is not ours.
    private static func machine(of caller: Int32) throws(VaultTrouble) -> ProcessIdentity {
        let space = processSpace(of: "\(caller)")
        if !space.isEmpty, space != processSpace(of: "self") {
            for name in Files.names(in: "/proc") {
                guard let pid = Int32(name), processSpace(of: name) == space, isFirst(pid), let identity = ProcessIdentity.of(pid) else {
                    continue
                }
                return identity
            }
        }
        throw VaultTrouble(.notPermitted, "the request does not come from the renter's machine")
    }

    private static func processSpace(of process: String) -> String { Files.link("/proc/" + process + "/ns/pid") }

    /// Whether it has the number 1 in its own namespace: the last of the numbers that the kernel tells of it.
    private static func isFirst(_ pid: Int32) -> Bool {
        let lines = ((try? Files.read("/proc/\(pid)/status", limit: 65_536)) ?? []).split(separator: UInt8(ascii: "\n"))
        guard let line = lines.first(where: { $0.starts(with: "NSpid:".utf8) }) else { return false }
        return line.split(separator: UInt8(ascii: "\t")).last?.elementsEqual([UInt8(ascii: "1")]) ?? false
    }
}
