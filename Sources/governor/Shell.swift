import CLinux
import Engine
import EventLoop
import Fence
import GovernorCore
import JSON
import MarketClient
import Platform
import Protocol
import Storage
import Tunnel

/// The outer shell around the pure lifecycle: performs its actions in order, one after another, and feeds back what came of them.
final class Shell {
    let loop: EventLoop
    let layout: Layout
    let config: Config
    let log: Log
    private(set) var core: Lifecycle
    private let market: MarketClient
    private let receipts: Receipts
    let tunnelKey: String
    private(set) var engine: Engine?
    private(set) var tunnel: Tunnel?
    let world: World
    private var vault: VaultDoor?

    private var events: [Event] = []
    private var actions: [Action] = []
    private var isWorking = false
    private var deadline: EventLoop.Token?
    private var message: EventLoop.Token?
    /// What long work is at, for the status.
    var progress: Progress?
    /// Why no drive is there, for the status.
    var driveReason: String?

    init(loop: EventLoop, layout: Layout, config: Config, journal: Journal, tunnelKey: String, log: Log) throws(SystemError) {
        self.loop = loop
        self.layout = layout
        self.config = config
        self.log = log
        self.tunnelKey = tunnelKey
        core = Lifecycle(journal: journal, seed: try Random.seed())
        market = MarketClient(loop: loop, server: config.server, device: config.device, key: config.key)
        receipts = Receipts(loop: loop, layout: layout, market: market, device: config.device, log: log)
        world = World(loop: loop, layout: layout, config: config)
        tunnel = Tunnel(loop: loop, place: layout.tunnelPlace(config)) { [self] news in heard(news) }
        engine = Engine(
            loop: loop, settings: layout.engineSettings(config), account: { AccountFile.read(layout.accountPath) },
            tell: { [self] news in heard(news) })
        vault = VaultDoor(loop: loop, layout: layout, config: config) { [self] note in write(note) }
        world.vault = vault
        world.engine = engine
        world.tunnel = tunnel
        world.onStep = { [self] name, milliseconds in noteStep(name, milliseconds) }
        world.onProgress = { [self] progress in
            self.progress = progress
            publish()
        }
    }

    /// Tells the core that the program runs, and looks for the drive.
    func start() {
        feed(.started)
        findDrive()
        receipts.send()
    }

    // MARK: Events in, actions out

    func feed(_ event: Event) {
        events.append(event)
        work()
    }

    /// Handles events and performs actions until none is left. An action that feeds an event back only queues it here.
    private func work() {
        guard !isWorking else { return }
        isWorking = true
        while true {
            if !actions.isEmpty {
                guard perform(actions[0]) else { break }
                actions.removeFirst()
            } else if !events.isEmpty {
                actions += core.handle(events.removeFirst(), at: now())
            } else {
                break
            }
        }
        isWorking = false
        publish()
    }

    func now() -> Instant { Instant(nanoseconds: Clock.bootNanoseconds()) }

    /// False where journal or account could not be written: nothing after it may be done until it is.
    private func perform(_ action: Action) -> Bool {
        switch action {
        case .journal(let journal): return write(journal)
        case .wake(let moment): wake(at: moment)
        case .log(let note): write(note)
        case .drawLease: drawLease()
        case .register(let lease): register(lease)
        case .checkIn(let lease, let phase, let tunnel, let fault): checkIn(lease, phase, tunnel, fault)
        case .keepReceipt(let lease, let finished, let report): receipts.keep(lease, finished: finished, report)
        case .keepAccount(let account): return keep(account)
        case .prepareStorage: world.prepare { [self] trouble in feed(trouble.map { .storageFailed($0) } ?? .storageReady) }
        case .openStorage: world.open { [self] trouble in feed(trouble.map { .storageFailed($0) } ?? .storageReady) }
        case .startContainer: startContainer()
        case .authorize(let keys): engine?.authorize(keys)
        case .openTunnel(let target): tunnel?.open(target)
        case .tearDown: world.tearDown()
        case .destroyKey: destroyKey()
        case .erase: world.erase { [self] result in erased(result) }
        }
        return true
    }

    private func write(_ journal: Journal) -> Bool {
        do throws(SystemError) {
            try Files.replace(layout.journalPath, with: journal.json.encoded(), mode: 0o600)
            return true
        } catch { return tryAgain(Note(.journalFailed, ["reason": error.message])) }
    }

    private func wake(at moment: Instant?) {
        loop.cancel(deadline)
        deadline = moment.map { moment in loop.at(moment.nanoseconds) { [self] in feed(.deadline) } }
    }

    func write(_ note: Note) {
        var fields: [LogField] = []
        if let lease = core.tenancy?.lease ?? core.journal.lease { fields.append(LogField("lease", lease.text)) }
        fields += note.fields.map { LogField($0.key, $0.value) }
        log.write(note.event.isTrouble ? .warning : .info, id: note.event.rawValue, note.event.name, fields)
    }

    private func drawLease() {
        do throws(SystemError) {
            guard let lease = LeaseID(try Random.hex(16)) else { return }
            feed(.leaseDrawn(lease))
        } catch { write(Note(.journalFailed, ["reason": error.message])) }
    }

    // MARK: The market

    private func register(_ lease: LeaseID) {
        let hardware = Hardware(
            architecture: Measured.architecture(), processors: Measured.processors(), memoryMiB: Measured.memoryMiB(),
            storageMiB: max(1, (core.drive?.bytes ?? 0) >> 20), encryption: config.drive.encryption)
        let request = RegisterRequest(lease: lease, tunnelKey: tunnelKey, governor: version, hardware: hardware)
        loop.cancel(message)
        message = market.register(request) { [self] reply in
            switch reply {
            case .answer(let answer): feed(.registered(answer))
            case .refused(let refusal): feed(.registrationFailed(refusal.code.rawValue + ": " + refusal.message))
            case .failed(let reason): feed(.registrationFailed(reason))
            }
        }
    }

    private func checkIn(_ lease: LeaseID, _ phase: DevicePhase, _ tunnel: TunnelState, _ fault: String?) {
        let request = CheckInRequest(lease: lease, phase: phase, tunnel: tunnel, uptime: Measured.uptime(), fault: fault)
        loop.cancel(message)
        message = market.checkIn(request) { [self] reply in
            switch reply {
            case .answer(let answer):
                feed(.checkedIn(answer))
                receipts.send()
            case .refused(let refusal) where refusal.code == .notFound: feed(.leaseUnknown)
            case .refused(let refusal): feed(.checkInFailed(refusal.code.rawValue + ": " + refusal.message))
            case .failed(let reason): feed(.checkInFailed(reason))
            }
        }
    }

    // MARK: Drive, engine, tunnel

    /// Looks at the drive, and again after a pause while it is not there or not ours.
    private func findDrive() {
        let volume = layout.volume(config)
        world.inspect { [self] found in
            if found.mayBeTaken(claims: core.journal.claims, adoptsAny: config.drive.adoptsAny) {
                driveReason = nil
                if !volume.isEncrypted {
                    write(Note(.storageUnencrypted, ["drive": found.identity, "meaning": "anyone who holds this drive can read it"]))
                }
                return feed(.driveReady(Drive(identity: found.identity, bytes: found.bytes)))
            }
            if driveReason != found.reason {
                driveReason = found.reason
                write(Note(found.verdict == .foreign ? .driveForeign : .driveGone, ["drive": found.identity, "reason": found.reason]))
                publish()
            }
            loop.after(milliseconds: 5_000) { [self] in findDrive() }
        }
    }

    private func keep(_ account: Account) -> Bool {
        do throws(SystemError) {
            try AccountFile.write(account, layout.accountPath)
            return true
        } catch { return tryAgain(Note(.storageFailed, ["reason": error.message])) }
    }

    /// What must be written before anything else is done is tried again after a pause; the actions behind it wait.
    private func tryAgain(_ note: Note) -> Bool {
        write(note)
        loop.after(milliseconds: 5_000) { [self] in work() }
        return false
    }

    private func destroyKey() {
        do throws(SystemError) { try Files.destroy(layout.leaseKeyPath) } catch {
            write(Note(.eraseFailed, ["reason": error.message]))
        }
    }

    private func startContainer() {
        let keys = core.journal.sshKeys
        world.raiseFence { [self] trouble in
            if let trouble { return feed(.containerDown("fence: " + trouble)) }
            engine?.start(keys: keys)
        }
    }

    private func erased(_ result: Result<EraseReport, World.Trouble>) {
        progress = nil
        switch result {
        case .success(let report): feed(.erased(report))
        case .failure(let trouble): feed(.eraseFailed(trouble.reason))
        }
    }

    private func heard(_ news: TunnelNews) {
        switch news {
        case .up: feed(.tunnelUp)
        case .down(let reason): feed(.tunnelDown(reason))
        case .refused(let reason): feed(.tunnelRefused(reason))
        }
    }

    private func heard(_ news: EngineNews) {
        switch news {
        case .engineUp: write(Note(.engineUp))
        case .engineDown(let reason): write(Note(.engineDown, ["reason": reason]))
        case .containerUp:
            progress = nil
            vault?.open()
            feed(.containerUp)
        case .containerDown(let reason): feed(.containerDown(reason))
        case .climbed(let rung, let milliseconds): noteStep("engine-" + rung, milliseconds)
        case .importing(let done, let total):
            let percent = total > 0 ? done * 100 / total : 0
            guard progress?.percent != percent || progress?.step != "import" else { return }
            progress = Progress(step: "import", done: done, total: total, startedAt: progress?.step == "import" ? progress?.startedAt : nil)
            publish()
        }
    }

    /// How long a step took, for `--debug` and `make bench`.
    private func noteStep(_ name: String, _ milliseconds: Int64) {
        log.write(.debug, id: LogEvent.step.rawValue, LogEvent.step.name, [LogField("step", name), LogField("ms", milliseconds)])
    }

    /// Writes the status for `governor status`; in RAM, so it costs the card nothing.
    func publish() {
        let status = Status(shell: self).json.encoded()
        do throws(SystemError) { try Files.publish(layout.statusPath, status) } catch {
            log.write(.debug, id: 0, "status.failed", [LogField("reason", error.message)])
        }
    }
}
