import CLinux
import EventLoop
import JSON
import Platform
import Protocol

/// What the engine tells.
public enum EngineNews: Equatable, Sendable {
    /// dockerd answers.
    case engineUp
    /// dockerd or its containerd ended, does not start or does not answer; another try follows by itself. A container that runs goes on without them.
    case engineDown(String)
    /// The renter's container runs.
    case containerUp
    /// It does not; another try follows by itself.
    case containerDown(String)
    /// A rung was climbed: its name, and how long it took, milliseconds.
    case climbed(String, Int64)
    /// Bytes of the base image taken in so far, and in all.
    case importing(Int64, Int64)
}

/// The private dockerd with its containerd, and the renter's container, brought up rung by rung; each rung is climbed only where it is missing, so the same
/// climb starts a lease, goes on after a reboot, adopts what a killed governor left, and mends what broke.
///
///     containerd ──▶ dockerd ──▶ ping ──▶ image ──▶ container ──▶ synced ──▶ running ──▶ (waits for the container's or a server's end)
///       ▲                                                                              │
///       └───────────────────── after a pause, longer each time ◀───────────────────────┘
public final class Engine {
    private let loop: EventLoop
    private let settings: EngineSettings
    private let tell: (EngineNews) -> Void
    private let api: DockerAPI
    private let servers: Servers
    private let greeting: Greeting
    private let remains: Remains
    private let spare: Spare
    private let store: Store
    /// The account for a container that must be made; read from the drive by whoever knows where it lies.
    private let account: () -> Account?
    private var keys: [String] = []
    private var round = 0
    private var failures = 0
    /// How often in a row dockerd could not start the container.
    private var startFailures = 0
    private var timer: EventLoop.Token?
    private var waiting: EventLoop.Token?
    private var isRunning = false
    private var isGreeted = false
    /// When the rung that is being climbed was begun, CLOCK_BOOTTIME nanoseconds.
    private var rungBegan: Int64 = 0

    /// An engine that is not started.
    public init(
        loop: EventLoop, settings: EngineSettings, account: @escaping () -> Account?, tell: @escaping (EngineNews) -> Void
    ) {
        self.loop = loop
        self.settings = settings
        self.account = account
        self.tell = tell
        api = DockerAPI(loop: loop, socket: settings.socket)
        servers = Servers(loop: loop, settings: settings)
        greeting = Greeting(loop: loop)
        spare = Spare(folder: settings.spareFolder)
        store = Store(folder: settings.dataRoot)
        remains = Remains(loop: loop, execRoot: settings.execRoot)
    }

    /// Brings up whatever is missing and keeps it up until `stop` or `abandon`.
    public func start(keys: [String]) {
        self.keys = keys
        abandon()
        failures = 0
        startFailures = 0
        climb()
    }

    /// Lets these public keys log in, now or as soon as the container runs.
    public func authorize(_ keys: [String]) {
        self.keys = keys
        guard isRunning else { return }
        placeKeys {}
    }

    /// Asks how the container is: nothing wakes us where dockerd hangs. One that gives no answer in 20 s is killed, and comes back as one
    /// that ended; the container goes on without it.
    public func look() {
        guard isRunning else { return }
        if isGreeted { spare.keep() }
        let asked = round
        api.call("GET", "/containers/" + EngineSettings.container + "/json", seconds: 20) { [self] reply in
            guard asked == round, isRunning else { return }
            if reply.status == 0 { return fallSilent(isHung: true, asked) }
            if reply.runs == false { fall(.containerDown("the container does not run"), asked) }
        }
    }

    private func fallSilent(isHung: Bool, _ asked: Int) {
        if isHung { servers.killDockerd() }
        fall(.engineDown("dockerd does not answer" + servers.lastWords), asked)
    }

    /// Stops watching and mending; what runs goes on running.
    public func abandon() {
        letGo()
        servers.abandon()
    }

    /// Whatever was asked or waited for counts no more.
    private func letGo() {
        round += 1
        isRunning = false
        isGreeted = false
        for token in [timer, waiting] { loop.cancel(token) }
        timer = nil
        waiting = nil
        greeting.close()
    }

    /// Kills the container and ends dockerd and containerd, which keep what they know; `done` when they are gone, with all that they may have left.
    public func stop(_ done: @escaping () -> Void) {
        abandon()
        let asked = round
        guard servers.isThere else { return end(within: 0, done) }
        // Nothing in the container has a claim to a slow end. A dockerd that does not answer is ended all the same.
        api.call("POST", "/containers/" + EngineSettings.container + "/kill", seconds: 10) { [self] _ in
            if asked == round { end(within: 20_000, done) }
        }
    }

    /// Kills dockerd and containerd, then the container: for the end of a lease. What they have not written yet is destroyed anyway.
    public func kill(_ done: @escaping () -> Void) {
        abandon()
        end(within: 0, done)
    }

    private func end(within patience: Int64, _ done: @escaping () -> Void) {
        servers.end(within: patience) { [self] in remains.clear(done) }
    }

    // MARK: The climb

    private func climb() {
        let asked = round
        rungBegan = Clock.bootNanoseconds()
        if startFailures > 1 { return untangle(asked) }
        if servers.adopt({ [self] in lose($0, asked) }) { return ping(until: deadline(seconds: 120), asked) }
        if store.isUnfinished { clearStore(asked) } else { begin(asked) }
    }

    private func lose(_ reason: String, _ asked: Int) { fall(.engineDown(reason), asked) }

    /// A dockerd that was killed while it started the container may not know that it runs, and then can neither start nor end it ("task …
    /// already exists"), however often it is started anew itself. So all that runs is ended.
    private func untangle(_ asked: Int) {
        startFailures = 0
        end(within: 0) { [self] in
            guard asked == round else { return }
            climbed("untangle")
            climb()
        }
    }

    /// Throws away what a power cut, or dockerd's own end, has left of a container that never ran.
    private func clearStore(_ asked: Int) {
        end(within: 0) { [self] in
            guard asked == round else { return }
            loop.run(Command(["rm", "-rf", "--one-file-system", settings.dataRoot])) { [self] outcome in
                guard asked == round else { return }
                guard outcome.status == 0 else {
                    return fall(.engineDown("what was left unfinished can't be removed: " + outcome.reason), asked)
                }
                climbed("clear")
                begin(asked)
            }
        }
    }

    private func begin(_ asked: Int) {
        spare.give()
        do throws(SystemError) { try store.begin() } catch { return lose(error.message, asked) }
        servers.start { [self] in
            climbed("containerd")
            ping(until: deadline(seconds: 120), asked)
        }
    }

    private func climbed(_ rung: String) {
        let now = Clock.bootNanoseconds()
        tell(.climbed(rung, (now - rungBegan) / 1_000_000))
        rungBegan = now
    }

    private func deadline(seconds: Int64) -> Int64 { Clock.bootNanoseconds() + seconds * 1_000_000_000 }

    private func ping(until end: Int64, _ asked: Int) {
        api.call("GET", "/info", seconds: 20) { [self] reply in
            guard asked == round else { return }
            if reply.isFine, reply.status != 0 {
                // A renter could starve the device.
                guard reply.limitsMemory else {
                    return fall(.containerDown("the kernel does not limit memory: add cgroup_enable=memory to its command line"), asked)
                }
                if let missing = reply.missingWall {
                    return fall(.containerDown("this engine would start containers without " + missing), asked)
                }
                tell(.engineUp)
                climbed("daemon")
                return ensureContainer(asked)
            }
            // A slow drive may need long once; what is silent twice as long hangs.
            guard Clock.bootNanoseconds() < end else { return fallSilent(isHung: failures > 0, asked) }
            timer = loop.after(milliseconds: 100) { [self] in ping(until: end, asked) }
        }
    }

    private func ensureContainer(_ asked: Int) {
        api.call("GET", "/containers/" + EngineSettings.container + "/json") { [self] reply in
            guard asked == round else { return }
            switch reply.status {
            case 200 where reply.runs == true: follow(asked)
            // It may lack its account.
            case 200 where store.isUnfinished: discard("it was made by half", asked)
            case 200: startContainer(asked)
            case 404: ensureImage(asked)
            default: fall(.containerDown(reply.trouble ?? "status \(reply.status)"), asked)
            }
        }
    }

    private func ensureImage(_ asked: Int) {
        api.call("GET", "/images/" + EngineSettings.image + "/json") { [self] reply in
            guard asked == round else { return }
            if reply.isFine { return create(asked) }
            api.upload(
                file: settings.baseImage, to: "/images/create?fromSrc=-&repo=sublet-base&tag=current",
                progress: { [self] in tell(.importing($0, $1)) },
                { [self] reply in
                    guard asked == round else { return }
                    if let trouble = reply.trouble { return fall(.containerDown("import of the base image: " + trouble), asked) }
                    climbed("import")
                    create(asked)
                })
        }
    }

    private func create(_ asked: Int) {
        guard let account = account() else { return fall(.containerDown("the renter's account is not on the drive"), asked) }
        api.call("POST", "/containers/create?name=" + EngineSettings.container, body: settings.creation) { [self] reply in
            guard asked == round else { return }
            if let trouble = reply.trouble { return fall(.containerDown("create: " + trouble), asked) }
            if let warning = reply.brokenLimit { return discard("a limit would not hold: " + warning, asked) }
            var tar = Tar()
            tar.add("etc/sublet/account", accountFile(account, keys: keys), mode: 0o600)
            api.upload(tar.closed(), to: "/containers/" + EngineSettings.container + "/archive?path=/") { [self] reply in
                guard asked == round else { return }
                // A container that was made but has no account must not be found and started by the next try.
                if let trouble = reply.trouble { return discard("account: " + trouble, asked) }
                climbed("create")
                finish(asked)
            }
        }
    }

    /// All of it must be on the drive before the container is a renter's.
    private func finish(_ asked: Int) {
        loop.run(Command(["sync", "--file-system", settings.dataRoot])) { [self] outcome in
            guard asked == round else { return }
            guard outcome.status == 0 else { return fall(.containerDown("sync: " + outcome.reason), asked) }
            do throws(SystemError) { try store.finish() } catch { return fall(.containerDown(error.message), asked) }
            climbed("sync")
            startContainer(asked)
        }
    }

    private func discard(_ reason: String, _ asked: Int) {
        api.call("DELETE", "/containers/" + EngineSettings.container + "?force=true") { [self] _ in
            if asked == round { fall(.containerDown(reason), asked) }
        }
    }

    private func startContainer(_ asked: Int) {
        spare.give()
        api.call("POST", "/containers/" + EngineSettings.container + "/start") { [self] reply in
            guard asked == round else { return }
            if let trouble = reply.trouble {
                startFailures += 1
                return fall(.containerDown("start: " + trouble), asked)
            }
            startFailures = 0
            climbed("start")
            follow(asked)
        }
    }

    /// The container runs: put its keys in place, tell, and wait for its end.
    private func follow(_ asked: Int) {
        isRunning = true
        waiting = api.call(
            "POST", "/containers/" + EngineSettings.container + "/wait?condition=next-exit", seconds: 0
        ) { [self] reply in
            guard asked == round else { return }
            // Without a status it was dockerd that ended, and its own watch says so.
            guard reply.status != 0 else { return }
            fall(.containerDown("the container ended with status \(reply.exitStatus)"), asked)
        }
        placeKeys { [self] in greet(until: deadline(seconds: 60), asked) }
    }

    /// Waits until the container's sshd greets: a renter who is told that the machine is there must get in.
    private func greet(until end: Int64, _ asked: Int) {
        guard asked == round, isRunning else { return }
        greeting.open(settings.containerAddress, port: 22) { [self] isThere in
            guard asked == round, isRunning else { return }
            if isThere {
                failures = 0
                isGreeted = true
                spare.keep()
                climbed("greeting")
                return tell(.containerUp)
            }
            guard Clock.bootNanoseconds() < end else { return fall(.containerDown("no sshd greets in the container"), asked) }
            timer = loop.after(milliseconds: 100) { [self] in greet(until: end, asked) }
        }
    }

    private func placeKeys(_ done: @escaping () -> Void) {
        spare.give()
        let asked = round
        var tar = Tar()
        var text = ""
        for key in keys { text += key + "\n" }
        tar.add("etc/sublet/authorized_keys", Array(text.utf8), mode: 0o644)
        api.upload(tar.closed(), to: "/containers/" + EngineSettings.container + "/archive?path=/") { [self] reply in
            guard asked == round else { return }
            if let trouble = reply.trouble { return fall(.containerDown("keys: " + trouble), asked) }
            done()
        }
    }

    /// Something is missing: tell, and climb again after a pause.
    private func fall(_ news: EngineNews, _ asked: Int) {
        guard asked == round else { return }
        letGo()
        let again = round
        let pause = min(Int64(500) << Int64(min(failures, 7)), 60_000)
        failures += 1
        timer = loop.after(milliseconds: pause) { [self] in if again == round { climb() } }
        tell(news)
    }
}
