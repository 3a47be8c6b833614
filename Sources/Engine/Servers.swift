import CLinux
import EventLoop
import Platform

/// containerd, and dockerd on it: started by us, they go on without us. containerd is ours to start, too. dockerd would take that of the whole machine
/// where one runs, which outlives the lease with all that it holds; and one of its own it gives 15 s to answer, which on a Pi at work is too little
/// (moby's issue 42747).
final class Servers {
    private let loop: EventLoop
    private let settings: EngineSettings
    private let containerd: Daemon
    private let dockerd: Daemon
    private var round = 0
    private var timer: EventLoop.Token?
    /// Hears why one of them ended, or did not start.
    private var ended: (String) -> Void = { _ in }

    init(loop: EventLoop, settings: EngineSettings) {
        self.loop = loop
        self.settings = settings
        containerd = Daemon(loop: loop, settings.containerd)
        dockerd = Daemon(loop: loop, settings.dockerd)
    }

    /// Whether dockerd runs.
    var isThere: Bool { dockerd.identity != nil }

    /// The last line that dockerd wrote.
    var lastWords: String { dockerd.lastWords }

    /// Kills dockerd alone: one that hangs, or that somebody stopped, hears no other signal.
    func killDockerd() { dockerd.identity?.send(SIGKILL) }

    /// Finds both where both run. From now on `ended` hears why one ends or does not start.
    func adopt(_ ended: @escaping (String) -> Void) -> Bool {
        abandon()
        self.ended = ended
        return watch(containerd, containerd.identity?.pid) && watch(dockerd, dockerd.identity?.pid)
    }

    /// Starts what does not run; tells when dockerd is started.
    func start(_ started: @escaping () -> Void) {
        abandon()
        let asked = round
        // Without its containerd a dockerd misses the container's end.
        dockerd.end(within: 0) { [self] in
            guard asked == round else { return }
            if watch(containerd, containerd.identity?.pid) { return awaitContainerd(until: deadline, started) }
            containerd.end(within: 0) { [self] in
                if asked == round { startContainerd(started) }
            }
        }
    }

    /// Nothing is started or told any more; what runs goes on running.
    func abandon() {
        round += 1
        loop.cancel(timer)
        timer = nil
        dockerd.unwatch()
        containerd.unwatch()
    }

    /// Ends both, each by SIGKILL if it still lives after these milliseconds; `done` when they are gone.
    func end(within patience: Int64, _ done: @escaping () -> Void) {
        abandon()
        dockerd.end(within: patience) { [self] in containerd.end(within: patience, done) }
    }

    private var deadline: Int64 { Clock.bootNanoseconds() + 120_000_000_000 }

    private func startContainerd(_ started: @escaping () -> Void) {
        do throws(SystemError) {
            try Files.makeFolder(settings.execRoot, mode: 0o711)
            try Files.makeFolder(settings.containerdFolder, mode: 0o711)
            try Files.publish(settings.containerdConfig, Array(settings.containerdFile.utf8))
            unlink(settings.containerdSocket)
            _ = watch(containerd, try containerd.start())
        } catch { return lose(error.message) }
        awaitContainerd(until: deadline, started)
    }

    private func awaitContainerd(until end: Int64, _ started: @escaping () -> Void) {
        let connection = clinux_unix_connect(settings.containerdSocket)
        guard connection < 0 else {
            _ = close(connection)
            return startDockerd(started)
        }
        guard Clock.bootNanoseconds() < end else {
            containerd.identity?.send(SIGKILL)
            return lose("containerd does not answer" + containerd.lastWords)
        }
        timer = loop.after(milliseconds: 50) { [self] in awaitContainerd(until: end, started) }
    }

    private func startDockerd(_ started: () -> Void) {
        do throws(SystemError) {
            // dockerd may start the container by itself, and wants to find it.
            try Files.makeFolder(settings.doorFolder, mode: 0o711)
            try Files.publish(settings.runFolder + "/daemon.json", Array("{}\n".utf8))
            _ = watch(dockerd, try dockerd.start())
        } catch { return lose(error.message) }
        started()
    }

    private func watch(_ server: Daemon, _ pid: Int32?) -> Bool {
        server.watch(pid) { [self] in lose(server.name + " ended" + server.lastWords) }
    }

    private func lose(_ reason: String) {
        abandon()
        ended(reason)
    }
}
