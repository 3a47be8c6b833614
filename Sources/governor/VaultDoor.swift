import CLinux
import Commands
import Engine
import EventLoop
import GovernorCore
import Platform
import Protocol
import Storage
import VaultProtocol

/// The governor's end of the renter's `vault`: a socket in a folder that the renter's machine sees. Who knocks is checked by the kernel's word
/// (SO_PEERCRED); the connection then goes to a child, `governor storage vault`, which alone reads the passphrase. One child at a time.
///
/// When the machine in which the vault was opened ends, however it ends, the vault is closed: its first process is watched by a pidfd.
final class VaultDoor {
    private let loop: EventLoop
    private let layout: Layout
    private let vault: Vault
    private let note: (Note) -> Void
    private var socket: Int32 = -1
    private var listening: EventLoop.Token?
    private var resting: EventLoop.Token?
    private var child: EventLoop.Token?
    private var limit: EventLoop.Token?
    private let machine: EndWatch
    private var retry: EventLoop.Token?
    /// What waits for the child's end.
    private var afterChild: (() -> Void)?
    private var refusals = Allowance(burst: 1, everySeconds: 60)
    private var lines = Allowance(burst: 30, everySeconds: 20)
    private var children = Allowance(burst: 20, everySeconds: 1)
    /// Whether somebody has waited for the child at work already.
    private var hasWaited = false

    /// How long a child may work, milliseconds: for the room of a very large vault on a slow drive.
    private static let longestWork: Int64 = 600_000
    /// How long nobody is let in after somebody was turned away, milliseconds: a flood must not keep the governor busy.
    private static let rest: Int64 = 50
    /// How long the next request waits where many came one after another, milliseconds: each costs the device a process.
    private static let slow: Int64 = 500
    /// How long a request waits for the one before it, milliseconds, before it is told "busy".
    private static let turn: Int64 = 2_000

    init(loop: EventLoop, layout: Layout, config: Config, note: @escaping (Note) -> Void) {
        self.loop = loop
        self.layout = layout
        self.note = note
        machine = EndWatch(loop: loop)
        vault = layout.vault(config)
    }

    /// Lets the renter's machine, which runs, ask; and watches the machine in which a vault is open already.
    func open() {
        if socket < 0 {
            do throws(SystemError) { try listen() } catch { note(Note(.vaultFailed, ["reason": error.message])) }
        }
        watchMachine()
    }

    /// Lets nobody in any more, and ends a child that works. Closing the vault is the drive's closing's work.
    func close(_ done: @escaping () -> Void) {
        for token in [listening, resting, retry] { loop.cancel(token) }
        listening = nil
        resting = nil
        retry = nil
        if socket >= 0 {
            _ = CLinux.close(socket)
            socket = -1
            unlink(layout.vaultSocket)
        }
        machine.cancel()
        endChild(then: done)
    }

    private func listen() throws(SystemError) {
        // The account's user in the renter's machine is the first that useradd makes; its root may do everything there.
        guard let first = layout.remapped.first else {
            throw SystemError(ENOENT, "the engine's folder does not say who its containers' root is")
        }
        try Files.makeFolder(layout.vaultFolder, mode: 0o711)
        unlink(layout.vaultSocket)
        let fresh = clinux_unix_listen(layout.vaultSocket, 8)
        guard fresh >= 0 else { throw .last("listen at " + layout.vaultSocket) }
        guard chown(layout.vaultSocket, first + Layout.renter, first) == 0, chmod(layout.vaultSocket, 0o660) == 0 else {
            let failure = SystemError.last("owner of " + layout.vaultSocket)
            _ = CLinux.close(fresh)
            throw failure
        }
        socket = fresh
        admit()
    }

    private func admit() {
        loop.cancel(resting)
        resting = nil
        guard socket >= 0, listening == nil else { return }
        listening = loop.watch(socket) { [self] _ in knocked() }
    }

    private func admit(after milliseconds: Int64) {
        loop.cancel(listening)
        listening = nil
        resting = loop.after(milliseconds: milliseconds) { [self] in admit() }
    }

    // MARK: Requests

    private func knocked() {
        // Most are done within a moment: who comes second waits for that, outside.
        if child != nil, !hasWaited {
            hasWaited = true
            return admit(after: Self.turn)
        }
        let raw = clinux_accept(socket)
        // Gone already; or no descriptor is left, and asking at once again would keep the governor busy.
        guard raw >= 0 else { return admit(after: Self.rest) }
        let caller = FileDescriptor(owning: raw)
        var pid: pid_t = 0
        var user: uid_t = 0
        guard clinux_peer(raw, &pid, &user) == 0, layout.remapped.contains(where: { user == $0 || user == $0 + Layout.renter }) else {
            return refuse(caller, .notPermitted, "only root and the renter may use the vault", user)
        }
        guard child == nil else {
            return refuse(caller, .busy, "another request for the vault is at work; try again in a moment", user)
        }
        let patience = readPatience()
        let pause = patience.secondsLeft(at: Clock.bootNanoseconds())
        // The verb alone is looked at here. A message that is still on its way goes to the child, which knows of the pause too.
        if pause > 0, VaultRequest.verb(beginning(of: caller)) == .open {
            return refuse(caller, .paused, VaultPatience.sentence(seconds: pause), user)
        }
        start(caller, patience, pause)
    }

    private func beginning(of caller: borrowing FileDescriptor) -> [UInt8] {
        let raw = caller.raw
        return [UInt8](unsafeUninitializedCapacity: VaultRequest.verbBytes) { buffer, count in
            count = max(0, clinux_peek(raw, buffer.baseAddress, VaultRequest.verbBytes))
        }
    }

    /// Answers at once, without reading what was asked, and lets nobody in for a moment.
    private func refuse(_ caller: borrowing FileDescriptor, _ reason: VaultAnswer.Reason, _ text: String, _ user: uid_t) {
        do throws(SystemError) {
            try caller.makeNonBlocking()
            try caller.write(VaultAnswer(.failed, reason: reason, text: text).frame())
        } catch {}  // Gone already.
        admit(after: Self.rest)
        // A renter can't fill the owner's log.
        if reason == .notPermitted, refusals.take() { note(Note(.vaultRefused, ["user": "\(user)"])) }
    }

    private func start(_ caller: borrowing FileDescriptor, _ patience: VaultPatience, _ pause: Int64) {
        run(["--pause", "\(pause)"], input: caller.raw) { [self] outcome in
            let told = String(decoding: outcome.output, as: UTF8.self).split(separator: " ").map { String($0) }
            let verb = told.first ?? "unknown"
            // A child that was ended in the middle might have tried a passphrase.
            let result = told.count == 2 ? told[1] : "broken-off"
            judge(verb, result, patience)
            if verb != VaultVerb.status.word, result != "paused", lines.take() {
                note(Note(.vaultAsked, ["verb": verb, "result": result]))
            }
            watchMachine()
        }
    }

    private func judge(_ verb: String, _ result: String, _ before: VaultPatience) {
        var patience = before
        if result == VaultAnswer.Reason.wrongPassphrase.word || result == "broken-off" {
            patience.heardWrong(at: Clock.bootNanoseconds())
        } else if verb == VaultVerb.open.word, result == VaultAnswer.Reason.none.word {
            patience.heardRight()
        }
        guard patience != before else { return }
        do throws(SystemError) { try Files.publish(layout.vaultPatiencePath, Array(patience.text.utf8), mode: 0o600) } catch {
            note(Note(.vaultFailed, ["reason": error.message]))
        }
    }

    private func readPatience() -> VaultPatience {
        guard let bytes = try? Files.read(layout.vaultPatiencePath, limit: 64) else { return VaultPatience() }
        return VaultPatience(bytes) ?? VaultPatience()
    }

    // MARK: The child

    private func run(_ words: [String], input: Int32 = -1, _ completion: @escaping (Outcome) -> Void) {
        let arguments = [Invocation.programPath(), "storage", "vault"] + words + layout.arguments
        child = loop.run(Command(arguments), input: input) { [self] outcome in
            child = nil
            hasWaited = false
            loop.cancel(limit)
            limit = nil
            if children.take() { admit() } else { admit(after: Self.slow) }
            completion(outcome)
            let next = afterChild
            afterChild = nil
            next?()
        }
        limit = loop.after(milliseconds: Self.longestWork) { [self] in loop.signal(child, SIGKILL) }
    }

    private func endChild(then next: @escaping () -> Void) {
        guard child != nil else { return next() }
        let before = afterChild
        afterChild = {
            before?()
            next()
        }
        loop.signal(child, SIGKILL)
    }

    // MARK: The machine in which it is open

    private func watchMachine() {
        guard socket >= 0, let process = vault.container else { return machine.cancel() }
        guard !machine.isSet else { return }
        guard machine.set(process.pid, { [self] in closeVault() }), process.isAlive else {
            machine.cancel()
            return closeVault()
        }
    }

    /// Its machine has ended. A request that is at work is one of that machine.
    private func closeVault() {
        endChild { [self] in
            guard socket >= 0, child == nil else { return }
            run(["--close"]) { [self] outcome in
                guard outcome.status != 0 else { return note(Note(.vaultClosed)) }
                note(Note(.vaultFailed, ["reason": outcome.reason]))
                retry = loop.after(milliseconds: 2_000) { [self] in watchMachine() }
            }
        }
    }
}

/// So many at once, and one more every so many seconds.
private struct Allowance {
    private let burst: Int64
    private let interval: Int64
    private var left: Int64
    private var countedAt = Clock.bootNanoseconds()

    init(burst: Int64, everySeconds seconds: Int64) {
        self.burst = burst
        interval = seconds * 1_000_000_000
        left = burst
    }

    /// Takes one; false where none is left.
    mutating func take() -> Bool {
        let now = Clock.bootNanoseconds()
        let fresh = (now - countedAt) / interval
        left = min(burst, left + fresh)
        countedAt += fresh * interval
        guard left > 0 else { return false }
        left -= 1
        return true
    }
}
