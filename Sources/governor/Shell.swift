import CLinux
import Engine
import EventLoop
import Fence
import GovernorCore
import JSON
import Lamp
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
    private var leaseEnd: LeaseEndFile
    private var files: StatusFiles
    /// Why the market's last answer was none, or no good one.
    private(set) var marketFault: String?

    private var events: [Event] = []
    private var actions: [Action] = []
    private var isWorking = false
    private let boot: String
    private var deadline: EventLoop.Token?
    private var journalRetry: EventLoop.Token?
    private var message: EventLoop.Token?
    private var health: EventLoop.Token?
    /// Counts the drives that went away.
    private var plug = 0
    /// What long work is at, for the status.
    var progress: Progress?
    private(set) var drives: Drives?
    private(set) var lamp: Keeper?

    init(loop: EventLoop, layout: Layout, config: Config, journal: Journal, tunnelKey: String, log: Log) throws(SystemError) {
        self.loop = loop
        self.layout = layout
        self.config = config
        self.log = log
        self.tunnelKey = tunnelKey
        boot = Clock.bootName()
        leaseEnd = LeaseEndFile(in: layout.vaultFolder)
        files = StatusFiles(layout)
        core = Lifecycle(journal: journal, seed: try Random.seed(), clock: Self.readClock(layout, boot))
        market = MarketClient(loop: loop, server: config.server, device: config.device, key: config.key)
        receipts = Receipts(loop: loop, layout: layout, market: market, device: config.device, log: log)
        world = World(loop: loop, layout: layout, config: config)
        tunnel = Tunnel(loop: loop, place: layout.tunnelPlace(config)) { [self] news in heard(news) }
        engine = Engine(
            loop: loop, settings: layout.engineSettings(config), account: { AccountFile.read(layout.accountPath) },
            tell: { [self] news in heard(news) })
        vault = VaultDoor(loop: loop, layout: layout, config: config) { [self] note in write(note) }
        world.vault = vault
        drives = Drives(loop: loop, layout: layout, config: config) { [self] news in heard(news) }
        world.engine = engine
        world.tunnel = tunnel
        world.onFenceChange = { [self] in lookAtFence() }
        world.onStaysOpen = { [self] reason in write(Note(.storageStaysOpen, ["reason": reason])) }
        world.onStep = { [self] name, milliseconds in noteStep(name, milliseconds) }
        world.onProgress = { [self] progress in
            self.progress = progress
            publish()
        }
    }

    /// Tells the core that the program runs, and looks for the drive.
    func start() {
        lamp = Lamps.keeper(loop, config.lamp) { [self] note in
            write(note)
            publish()
        }
        feed(.started)
        drives?.start { [self] in
            Drives.Needs(claims: core.journal.claims, quarantined: core.journal.quarantined, isInUse: core.usesDrive)
        }
        receipts.send()
    }

    /// The owner says: try again now, and look at the drives again.
    func ownerActs() {
        drives?.look()
        feed(.ownerActs)
    }

    // MARK: Events in, actions out

    func feed(_ event: Event) {
        if case .driveGone(let identity, _) = event, core.drive?.identity == identity { plug += 1 }
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
                let clock = core.clock
                actions += core.handle(events.removeFirst(), at: now())
                if core.clock != clock { keepClock() }
            } else {
                break
            }
        }
        isWorking = false
        publish()
    }

    func now() -> Instant { Instant(nanoseconds: Clock.bootNanoseconds()) }

    /// False where the journal could not be written: nothing after it may be done until it is.
    private func perform(_ action: Action) -> Bool {
        switch action {
        case .journal(let journal): return write(journal)
        case .wake(let moment): wake(at: moment)
        case .log(let note): write(note)
        case .drawLease: drawLease()
        case .register(let lease): register(lease)
        case .checkIn(let lease, let phase, let tunnel, let fault): checkIn(lease, phase, tunnel, fault)
        case .keepReceipt(let lease, let finished, let report): receipts.keep(lease, finished: finished, report)
        case .prepareStorage(_, let account): world.prepare(core.tenancy?.drive, storageDone { [self] in keep(account) })
        case .openStorage: world.open(core.tenancy?.drive, storageDone { nil })
        case .startContainer(let lease): startContainer(lease)
        case .authorize(let keys): engine?.authorize(keys)
        case .openTunnel(let target): tunnel?.open(target)
        case .tellWaiting(let reason): tellWaiting(reason)
        case .tearDown: world.letGo()
        case .destroyKey: destroyKey()
        case .erase(_, let drive):
            let plug = plug
            // A drive is probed once, when it is cleaned before its first tenant.
            world.erase(drive, probing: core.journal.stage == .cleaning) { [self] result in if plug == self.plug { erased(result) } }
        }
        return true
    }

    private func write(_ journal: Journal) -> Bool {
        do throws(SystemError) {
            try Files.replace(layout.journalPath, with: journal.json.encoded(), mode: 0o600)
            return true
        } catch {
            write(Note(.journalFailed, ["reason": error.message]))
            // The actions behind it wait. One try at a time: every event that comes meanwhile tries too.
            loop.cancel(journalRetry)
            journalRetry = loop.after(milliseconds: 5_000) { [self] in work() }
            return false
        }
    }

    private func wake(at moment: Instant?) {
        loop.cancel(deadline)
        deadline = moment.map { moment in loop.at(moment.nanoseconds) { [self] in feed(.deadline) } }
    }

    func write(_ note: Note) {
        if note.event == .registrationFailed || note.event == .checkInFailed { marketFault = note.fields.first?.value }
        let lease = core.tenancy?.lease ?? core.journal.lease
        log.write(note, after: lease.map { [LogField("lease", $0.text)] } ?? [])
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
            case .refused(let refusal): feed(.registrationFailed(refusal.text))
            case .failed(let reason): feed(.registrationFailed(reason))
            }
        }
    }

    private func checkIn(_ lease: LeaseID, _ phase: DevicePhase, _ tunnel: TunnelState, _ fault: String?) {
        let request = CheckInRequest(
            lease: lease, phase: phase, tunnel: tunnel, start: core.journal.starts, uptime: Measured.uptime(), fault: fault)
        engine?.look()
        lookAtFence()
        loop.cancel(message)
        message = market.checkIn(request) { [self] reply in
            switch reply {
            case .answer(let answer):
                feed(.checkedIn(answer))
                receipts.send()
            case .refused(let refusal) where refusal.code == .notFound: feed(.leaseUnknown(refusal.time))
            case .refused(let refusal): feed(.checkInFailed(refusal.text))
            case .failed(let reason): feed(.checkInFailed(reason))
            }
        }
    }

    private func tellWaiting(_ reason: String) {
        loop.cancel(message)
        message = market.wait(WaitRequest(reason: reason)) { [self] reply in
            switch reply {
            case .answer(let answer):
                feed(.waitingHeard(checkInSeconds: answer.checkInSeconds))
                receipts.send()
            case .refused(let refusal): feed(.waitingUnheard(refusal.text))
            case .failed(let reason): feed(.waitingUnheard(reason))
            }
        }
    }

    // MARK: Drive, engine, tunnel

    private func heard(_ news: DriveNews) {
        switch news {
        case .ready(let drive):
            world.drive = drive
            if config.drive.encryption == .none {
                write(Note(.storageUnencrypted, ["drive": drive.identity, "meaning": "anyone who holds this drive can read it"]))
            }
            feed(.driveReady(Drive(identity: drive.identity, bytes: drive.bytes)))
        case .gone(let identity, let reason):
            world.drive = nil
            feed(.driveGone(identity, reason: reason))
        case .left(let drive, let reason):
            let event: LogEvent =
                switch drive.verdict {
                case .missing: .driveGone
                case .unreadable: .driveFailing
                default: .driveForeign
                }
            write(Note(event, ["drive": drive.identity, "path": drive.path, "reason": reason]))
        case .unseen(let reason): write(Note(.lookFailed, ["reason": reason]))
        case .changed:
            publish()
            if let reason = drives?.reason { feed(.driveWanted(reason)) }
        }
    }

    /// Feeds what came of a step on the drive, after `last` has added its part; nothing where the drive was pulled in the meantime, for
    /// another may be in its place.
    private func storageDone(_ last: @escaping () -> String?) -> (String?) -> Void {
        let plug = plug
        return { [self] trouble in
            guard plug == self.plug else { return }
            if let trouble = trouble ?? last() { return feed(.storageFailed(trouble)) }
            feed(.storageReady)
            watchHealth(plug)
        }
    }

    /// Asks the kernel now and then how the open drive is: nothing wakes us when it turns read-only.
    private func watchHealth(_ plug: Int) {
        loop.cancel(health)
        health = loop.after(milliseconds: min(60, core.checkInSeconds) * 1_000) { [self] in
            guard plug == self.plug, core.isServed else { return }
            feed(.driveHealth(Health.look(at: layout.mountPoint)))
            watchHealth(plug)
        }
    }

    /// Nil, or why the account is not on the drive.
    private func keep(_ account: Account) -> String? {
        do throws(SystemError) {
            try AccountFile.write(account, layout.accountPath)
            return nil
        } catch { return error.message }
    }

    private func destroyKey() {
        do throws(SystemError) { try Files.destroy(layout.leaseKeyPath) } catch {
            write(Note(.eraseFailed, ["reason": error.message]))
        }
    }

    /// Raises the fence again where it does not stand as it was raised.
    private func lookAtFence() {
        world.lookAtFence { [self] stands in
            guard !stands else { return }
            write(Note(.fenceDown, ["reason": "its rules were changed or removed by something on this machine"]))
            world.raiseFence { [self] trouble in
                guard let trouble else { return write(Note(.fenceUp)) }
                write(Note(.fenceDown, ["reason": trouble]))
            }
        }
    }

    private func startContainer(_ lease: LeaseID) {
        world.raiseFence { [self] trouble in
            guard core.isServed, core.tenancy?.lease == lease else { return }
            guard let trouble else {
                engine?.start(keys: core.journal.sshKeys)
                return
            }
            feed(.containerDown("fence: " + trouble))
            // No walls, no renter; but a lease must not hang on one failed command.
            loop.after(milliseconds: 10_000) { [self] in if core.isServed, core.tenancy?.lease == lease { startContainer(lease) } }
        }
    }

    private func erased(_ result: Result<EraseReport, World.Trouble>) {
        progress = nil
        switch result {
        case .success(let report): feed(.erased(report))
        case .failure(let trouble):
            // A drive that is pulled fails first, and is gone a moment later by udev's word: that is no failure to quarantine it for.
            let plug = plug
            loop.after(milliseconds: 3_000) { [self] in
                guard plug == self.plug else { return }
                feed(.eraseFailed(trouble.reason))
                // Another drive may be there that can serve.
                drives?.look()
            }
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
            guard let fresh = Progress("import", done: done, total: total, after: progress) else { return }
            progress = fresh
            publish()
        }
    }

    /// How long a step took, for `--debug` and `make bench`.
    private func noteStep(_ name: String, _ milliseconds: Int64) {
        log.write(.debug, id: LogEvent.step.rawValue, LogEvent.step.name, [LogField("step", name), LogField("ms", milliseconds)])
    }

    /// The market's clock as the last governor of this boot kept it. One that can't be read is one that nobody set.
    private static func readClock(_ layout: Layout, _ boot: String) -> MarketClock {
        guard let bytes = try? Files.read(layout.clockPath, limit: 4_096) else { return MarketClock() }
        let now = Instant(nanoseconds: Clock.bootNanoseconds())
        do throws(JSONError) { return try MarketClock(try JSON.parse(bytes), boot: boot, now: now) } catch { return MarketClock() }
    }

    private func keepClock() {
        guard let json = core.clock.json(boot: boot) else { return }
        do throws(SystemError) { try Files.publish(layout.clockPath, json.encoded(), mode: 0o600) } catch {
            log.write(.debug, id: 0, "clock.failed", [LogField("reason", error.message)])
        }
    }

    /// Makes the lamp dark; the lease goes on.
    func end() { lamp?.end() }

    /// Shows the state by the lamp, and writes it for `governor status`, for the owner and for the renter; in RAM, so it costs the card nothing.
    func publish() {
        lamp?.show(core.lamp.number)
        leaseEnd.show(core.end, core.journal.expires)
        do throws(SystemError) { try files.publish(Status(shell: self).json, core.lamp) } catch {
            log.write(.debug, id: 0, "status.failed", [LogField("reason", error.message)])
        }
    }
}
