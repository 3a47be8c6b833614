import GovernorCore
import MarketCore
import Protocol

/// A device: the real lifecycle, and around it what `governor` is around it, simulated: a card, drives, an engine, a tunnel client.
///
/// Who holds what: a power cut takes all but card and sticks; a kill of the governor takes the lifecycle and the step under way, and leaves
/// engine and tunnel, which the next governor adopts.
final class Device {
    let universe: Universe
    let number: Int
    let id: DeviceID
    let tunnelKey: String
    /// Whether its card is a copy of another's.
    let isClone: Bool
    let sticks: [Stick]

    var card = Card()
    /// Leases whose erase was verified and told.
    var served = 0

    // Gone with the power.
    private(set) var boot = 0
    private var bootedAt: Int64 = 0
    private var clock: MarketClock?
    var mounted: LeaseID?
    var container: LeaseID?
    var connection: Int?
    /// What the engine and the tunnel client are to bring up; nil where they rest.
    var wantedTarget: TunnelTarget?

    // Gone with the governor.
    private(set) var life: Lifecycle?
    /// Counts the programs, so that what was put down for an old one does not happen.
    private(set) var program = 0
    private var events: [Event] = []
    private var actions: [Action] = []
    private var isWorking = false
    private var wakes = 0
    var message = 0
    var isSendingReceipt = false
    var steps: [Step] = []
    var isBusy = false
    var chosen: Stick?
    /// Counts the drives that went away.
    var plugs = 0
    var engineRound = 0
    /// Whether this governor keeps the container up.
    var isEngineWatched = false
    var tunnelRound = 0

    init(_ universe: Universe, number: Int, like other: Device?) {
        self.universe = universe
        self.number = number
        isClone = other != nil
        id = other?.id ?? universe.market.newDevice(number, at: universe.time) ?? Device.nobody
        tunnelKey = other?.tunnelKey ?? MarketSide.key(number + 1)
        if let other { card = other.card }
        sticks = [0, 1].map { place in Stick(Drive(identity: "stick-\(number)-\(place)", bytes: Int64(8 + place) << 30)) }
        sticks[0].isPlugged = true
        if universe.chance.once(in: 3) { sticks[1].isPlugged = true }
    }

    /// An id that no market knows.
    private static let nobody: DeviceID = {
        guard let id = DeviceID("00000000-0000-4000-8000-000000000000") else { preconditionFailure("the form of a GUID") }
        return id
    }()

    /// CLOCK_BOOTTIME.
    var instant: Instant { Instant(nanoseconds: (universe.now - bootedAt + 20_000) * 1_000_000) }

    var word: String { life?.word ?? "off" }
    /// Whether no drive is in use, and nothing is under way.
    var isAtRest: Bool { chosen == nil && steps.isEmpty && !isBusy }
    /// Whether it knows that its lease is rented.
    var knowsRental: Bool { life?.journal.rented ?? false }

    func say(_ words: @autoclosure () -> String) { universe.say("device \(number)", words()) }

    /// Puts something down for this very program.
    func after(_ milliseconds: Int64, _ happen: @escaping () -> Void) {
        let asked = program
        universe.after(milliseconds) { [self] in if asked == program { happen() } }
    }

    // MARK: On and off

    func powerOn(after milliseconds: Int64) {
        let asked = boot
        universe.after(milliseconds) { [self] in
            guard asked == boot, life == nil else { return }
            bootedAt = universe.now
            clock = nil
            startProgram()
        }
    }

    private func startProgram() {
        program += 1
        guard let journal = card.journal else { return universe.promises.breaks("the journal of device \(number) is torn") }
        say("starts, stage \(journal.stage.rawValue)")
        life = Lifecycle(journal: journal, seed: universe.chance.next(), clock: clock ?? MarketClock())
        feed(.started)
        after(universe.chance.of(300...2_000)) { [self] in look() }
        sendReceipts()
    }

    /// The power goes, and comes back after a while.
    func cutPower() {
        guard life != nil || container != nil else { return }
        say("loses its power")
        endProgram()
        boot += 1
        card.lose(&universe.chance)
        (clock, mounted, container, wantedTarget) = (nil, nil, nil, nil)
        // sshd finds out that the client is gone when it hears nothing for 90 s.
        let lost = connection
        connection = nil
        universe.after(universe.chance.of(0...90_000)) { [self] in universe.tunnels.close(lost) }
        powerOn(after: universe.isCalm ? 5_000 : universe.chance.of(5_000...600_000))
    }

    /// kill -9 of the governor; another is started.
    func kill() {
        guard let life else { return }
        say("has its governor killed")
        clock = life.clock
        endProgram()
        let asked = boot
        universe.after(universe.chance.of(100...5_000)) { [self] in if asked == boot, self.life == nil { startProgram() } }
    }

    private func endProgram() {
        program += 1
        life = nil
        (events, actions, steps) = ([], [], [])
        (isWorking, isBusy, isSendingReceipt, isEngineWatched, chosen) = (false, false, false, false, nil)
        engineRound += 1
        tunnelRound += 1
    }

    // MARK: Events in, actions out

    func feed(_ event: Event) {
        guard life != nil else { return }
        if case .driveGone(let identity, _) = event, life?.drive?.identity == identity { plugs += 1 }
        events.append(event)
        work()
    }

    private func work() {
        guard !isWorking else { return }
        isWorking = true
        while life != nil {
            if !actions.isEmpty {
                let action = actions.removeFirst()
                if universe.chance.once(in: universe.faults.cutBeforeAction) { return cutPower() }
                guard perform(action) else { return cutPower() }
            } else if !events.isEmpty {
                let event = events.removeFirst()
                let now = instant
                actions += life?.handle(event, at: now) ?? []
            } else {
                break
            }
        }
        isWorking = false
    }

    /// False where the power goes in the middle.
    private func perform(_ action: Action) -> Bool {
        switch action {
        case .journal(let journal):
            let chance = universe.faults.cutInWrite
            return card.replace(journal) { universe.chance.per(mille: chance) }
        case .wake(let moment): wake(at: moment)
        case .log(let note): say(Device.words(note))
        case .drawLease: drawLease()
        case .register(let lease): register(lease)
        case .checkIn(let lease, let phase, let tunnel, let fault): checkIn(lease, phase, tunnel, fault)
        case .tellWaiting(let reason): tellWaiting(reason)
        case .keepReceipt(let lease, let finished, let report): keepReceipt(lease, finished, report)
        case .prepareStorage(let lease, _): prepare(lease)
        case .openStorage(let lease): open(lease)
        case .startContainer(let lease): startContainer(lease)
        case .openTunnel(let target): openTunnel(target)
        case .authorize: break
        case .tearDown: tearDown()
        case .destroyKey: destroyKey()
        case .erase(_, let drive): erase(drive)
        }
        return true
    }

    private static func words(_ note: Note) -> String {
        note.event.name + note.fields.reduce("") { $0 + " " + $1.key + "=" + $1.value }
    }

    private func wake(at moment: Instant?) {
        wakes += 1
        guard let moment else { return }
        let asked = wakes
        let milliseconds = (moment.nanoseconds - instant.nanoseconds + 999_999) / 1_000_000
        after(milliseconds) { [self] in if asked == wakes { feed(.deadline) } }
    }

    private func drawLease() {
        let digits = String(universe.chance.next(), radix: 16)
        if let lease = LeaseID(String(repeating: "0", count: 32 - digits.utf8.count) + digits) { feed(.leaseDrawn(lease)) }
    }

    // MARK: Drives

    /// Which drive is taken: the one in use, then what the journal claims, then the largest; a quarantined one only where there is no other.
    func look() {
        guard let life, chosen == nil else { return }
        let claims = life.journal.claims
        let quarantined = life.journal.quarantined
        func rank(_ stick: Stick) -> Int {
            if quarantined.contains(stick.drive.identity) { return 2_000 }
            return claims.firstIndex(of: stick.drive.identity) ?? 1_000
        }
        let found = sticks.filter { $0.isPlugged }.min {
            rank($0) == rank($1) ? $0.drive.bytes > $1.drive.bytes : rank($0) < rank($1)
        }
        guard let found else { return feed(.driveWanted("no USB drive is plugged in")) }
        chosen = found
        feed(.driveReady(found.drive))
    }

    /// A drive is put in.
    func plug(_ stick: Stick) {
        guard !stick.isPlugged else { return }
        say("gets \(stick.drive.identity)")
        stick.isPlugged = true
        lookAgain()
    }

    /// Somebody pulls a drive. What is under way on it may fail before udev tells why.
    func pull(_ stick: Stick) {
        guard stick.isPlugged else { return }
        say("loses \(stick.drive.identity)")
        stick.isPlugged = false
        guard chosen === stick else { return }
        after(universe.chance.of(0...3_000)) { [self] in
            guard chosen === stick else { return }
            chosen = nil
            feed(.driveGone(stick.drive.identity, reason: "it was unplugged"))
            lookAgain()
        }
    }

    /// After news, and after an erase that failed: another drive may serve, unless the one that is chosen is in use.
    func lookAgain() {
        after(universe.chance.of(300...2_000)) { [self] in
            if let chosen, let life, !life.usesDrive,
                sticks.contains(where: { $0 !== chosen && $0.isPlugged && isBetter($0, chosen, life) })
            {
                self.chosen = nil
                feed(.driveGone(chosen.drive.identity, reason: "another is wanted"))
            }
            look()
        }
    }

    private func isBetter(_ stick: Stick, _ chosen: Stick, _ life: Lifecycle) -> Bool {
        life.journal.claims.contains(stick.drive.identity) || life.journal.quarantined.contains(chosen.drive.identity)
    }

    /// For the calm: only this one of its drives is in, and it starts anew.
    func plugOnly(_ place: Int) {
        for (index, stick) in sticks.enumerated() { stick.isPlugged = index == place }
        cutPower()
    }

    func becomeWhole() {
        if life == nil { powerOn(after: 1_000) }
    }
}
