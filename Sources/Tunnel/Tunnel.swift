import CLinux
import EventLoop
import Platform
import Protocol

/// What the tunnel tells.
public enum TunnelNews: Equatable, Sendable {
    /// All three forwards stand.
    case up
    /// The connection is gone or can't be made; another try follows by itself.
    case down(String)
    /// The tunnel server refuses a forward: another process holds the port. Another try follows by itself.
    case refused(String)
}

/// The reverse tunnel: one OpenSSH client that outlives us (ssh(1): `-f -N -M`, so that `-O check` finds it again and tells its number).
///
///     closed ──open──▶ checking ──there──▶ up ──process ends──▶ waiting ──▶ checking
///                          └──not there──▶ connecting ──forwards stand──▶ checking
///                                               └──failed──▶ waiting ──▶ connecting
public final class Tunnel {
    /// Where things lie, and where the forwards lead.
    public struct Place: Sendable {
        /// The folder for socket, known hosts and target; in RAM, at most 80 bytes long (a unix socket's path has 107).
        public var runFolder: String
        /// The device's private key.
        public var keyPath: String
        /// The container's address.
        public var containerAddress: String

        /// A place.
        public init(runFolder: String, keyPath: String, containerAddress: String) {
            self.runFolder = runFolder
            self.keyPath = keyPath
            self.containerAddress = containerAddress
        }

        var socket: String { runFolder + "/tunnel.sock" }
        var knownHosts: String { runFolder + "/known_hosts" }
        var targetNote: String { runFolder + "/tunnel.target" }
    }

    private let loop: EventLoop
    private let place: Place
    private let tell: (TunnelNews) -> Void
    private var target: TunnelTarget?
    private var failures = 0
    private var timer: EventLoop.Token?
    private let watching: EndWatch
    /// Answers of steps that were begun before the last `open` or `close` are dropped by this number.
    private var round = 0

    /// A closed tunnel.
    public init(loop: EventLoop, place: Place, tell: @escaping (TunnelNews) -> Void) {
        self.loop = loop
        self.place = place
        self.tell = tell
        watching = EndWatch(loop: loop)
    }

    /// Opens the tunnel, or adopts the one that stands if it leads to the same target.
    public func open(_ target: TunnelTarget) {
        self.target = target
        failures = 0
        begin()
        if noted() == target { check() } else { leave { [self] in connect() } }
    }

    /// Closes the tunnel; `done` when no client of ours runs any more.
    public func close(_ done: @escaping () -> Void) {
        target = nil
        begin()
        leave(done)
    }

    private func begin() {
        round += 1
        loop.cancel(timer)
        timer = nil
        watching.cancel()
    }

    private func noted() -> TunnelTarget? {
        guard let bytes = try? Files.read(place.targetNote, limit: 4_096) else { return nil }
        return TunnelNote.read(bytes)
    }

    /// Asks a client that stands to end.
    private func leave(_ done: @escaping () -> Void) {
        let asked = round
        control("exit") { [self] _ in
            guard asked == round else { return }
            unlink(place.socket)
            done()
        }
    }

    /// `ssh -O WORD`: speaks to a client through its socket; the host is a name that the socket makes needless.
    private func control(_ word: String, _ completion: @escaping (Outcome) -> Void) {
        loop.run(Command(["ssh", "-F", "none", "-S", place.socket, "-O", word, "tunnel"]), completion)
    }

    private func check() {
        let asked = round
        control("check") { [self] outcome in
            guard asked == round else { return }
            // "Master running (pid=1234)", on standard error.
            guard outcome.status == 0, let pid = firstNumber(outcome.complaint + outcome.output), watch(pid) else {
                return connect()
            }
            failures = 0
            tell(.up)
        }
    }

    private func watch(_ pid: Int32) -> Bool {
        watching.set(pid) { [self] in
            tell(.down("the ssh client ended"))
            again()
        }
    }

    private func connect() {
        guard let target else { return }
        let asked = round
        do throws(SystemError) {
            let host = target.port == 22 ? target.host : "[" + target.host + "]:\(target.port)"
            try Files.publish(place.knownHosts, Array((host + " " + target.hostKey + "\n").utf8), mode: 0o600)
            try Files.publish(place.targetNote, TunnelNote.write(target), mode: 0o600)
            unlink(place.socket)
        } catch {
            tell(.down(error.message))
            return again()
        }
        loop.run(Command(arguments(target), ownSession: true)) { [self] outcome in
            guard asked == round else { return }
            if outcome.status == 0 { return check() }
            let text = outcome.reason
            tell(contains(outcome.complaint, "remote port forwarding failed") ? .refused(text) : .down(text))
            again()
        }
    }

    private func again() {
        let asked = round
        // 1, 2, 4 … 60 s, with a quarter of jitter either way: a fleet must not come back all at once.
        let plain = Int64(1_000) << Int64(min(failures, 6))
        failures += 1
        let random = (try? Random.seed()) ?? 0
        let wait = min(plain, 60_000) * 3 / 4 + Int64(random % UInt64(min(plain, 60_000) / 2))
        timer = loop.after(milliseconds: wait) { [self] in if asked == round { connect() } }
    }

    /// The client: with `-f` and ExitOnForwardFailure it goes to the background only when every forward stands.
    private func arguments(_ target: TunnelTarget) -> [String] {
        var words = ["ssh", "-F", "none", "-f", "-N", "-T", "-M", "-S", place.socket, "-i", place.keyPath, "-p", "\(target.port)"]
        let options = [
            "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes", "HostKeyAlgorithms=ssh-ed25519",
            "UserKnownHostsFile=" + place.knownHosts, "GlobalKnownHostsFile=/dev/null", "ExitOnForwardFailure=yes",
            "ServerAliveInterval=30", "ServerAliveCountMax=3", "ConnectTimeout=20", "TCPKeepAlive=no", "LogLevel=ERROR",
            "ControlPersist=no", "ForwardAgent=no", "ForwardX11=no", "PreferredAuthentications=publickey",
        ]
        for option in options { words += ["-o", option] }
        let ports = target.ports
        words += ["-R", forward(target.bind, ports.ssh, 22)]
        words += ["-R", forward("127.0.0.1", ports.http, 80)]
        words += ["-R", forward("127.0.0.1", ports.https, 443)]
        return words + ["-l", target.user, "--", target.host]
    }

    private func forward(_ bind: String, _ port: Int64, _ inside: Int) -> String {
        "\(bind):\(port):\(place.containerAddress):\(inside)"
    }
}

/// The first decimal number in a text, such as the pid that `ssh -O check` tells.
func firstNumber(_ bytes: [UInt8]) -> Int32? {
    let digits = bytes.drop { !(0x30...0x39).contains($0) }.prefix { (0x30...0x39).contains($0) }
    return Int32(String(decoding: digits, as: UTF8.self))
}
