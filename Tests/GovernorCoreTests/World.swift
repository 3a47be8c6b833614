import Protocol

@testable import GovernorCore

/// A tiny world around a device: a card, a drive, a market, and a clock that goes on when the device is off. It performs actions, and
/// keeps the promises by looking at the truth (what is on the drive, what the market sold), not at what the device believes.
struct World {
    /// What lies on the drive.
    enum Content: Hashable { case unknown, clean, formatted(LeaseID), lease(LeaseID) }
    /// What the market knows of a lease.
    struct Sold: Equatable {
        var state = LeaseState.offered
        var expires: Int64?
    }
    /// What a market with a bug, a broken clock or an old backup says.
    enum Lie: CaseIterable { case otherLease, otherEnded, forgot, earlier, future, futureEnded }
    /// How the device came back.
    enum Cut: CaseIterable { case reboot, restart }

    // The truth.
    var contents: [String: Content] = [:]
    /// The one key file on the card.
    var key: LeaseID?
    var sold: [LeaseID: Sold] = [:]
    var receipts: [LeaseID] = []
    var registered: [LeaseID] = []
    var drawn = 0
    var plugged: Drive? = stick
    var marketIsUp = true
    /// Makes the market's answers untrue.
    var lie: Lie?
    var eraseFails = false
    /// Seconds since noon by the market's clock, whatever the device does.
    var elapsed: Int64 = 0

    // The device.
    var card = Journal()
    var life: Lifecycle
    var isMounted = false
    var bootedAt: Int64 = 0
    var wake: Instant?
    var queue: [Event] = []
    /// Performed so far; the world is cut before the action with the number `cutAt`.
    var performed = 0
    var cutAt: Int?
    var cut = Cut.reboot
    var broken: [String] = []
    let seed: UInt64
    /// Cut and disturbed at random: a receipt may be signed twice.
    var isFaulty = false

    init(seed: UInt64 = 1, card: Journal = Journal()) {
        self.seed = seed
        self.card = card
        life = Lifecycle(journal: card, seed: seed)
        boot(MarketClock())
    }

    var now: Instant { .seconds(elapsed - bootedAt + 20) }
    var time: Int64 { noon + elapsed }

    mutating func boot(_ clock: MarketClock) {
        life = Lifecycle(journal: card, seed: seed &+ UInt64(performed), clock: clock)
        wake = nil
        queue = [.started]
        if let plugged { queue.append(.driveReady(plugged)) }
    }

    /// What is on the drive that is plugged in.
    var content: Content {
        get { contents[plugged?.identity ?? ""] ?? .unknown }
        set { if let plugged { contents[plugged.identity] = newValue } }
    }

    /// Somebody pulls the drive, or puts this one into its place.
    mutating func plug(_ drive: Drive?) {
        if let plugged, plugged != drive {
            queue.append(.pulled(plugged))
            isMounted = false
        }
        plugged = drive
        if let drive { queue.append(.driveReady(drive)) }
    }

    /// Power cut or kill -9: what was not performed is lost, and so are the answers on their way.
    mutating func crash(_ how: Cut) {
        if how == .reboot {
            isMounted = false
            elapsed += 60
            bootedAt = elapsed
        }
        boot(how == .reboot ? MarketClock() : life.clock)
    }

    /// The next event, or the next deadline. False where nothing will ever happen again.
    mutating func step() -> Bool {
        if queue.isEmpty {
            guard let wake else { return false }
            if wake > now { elapsed += wake.seconds(since: now) + 1 }
            queue.append(.deadline)
        }
        let event = queue.removeFirst()
        // What was under way on a drive that is gone comes to nothing; the shell drops what its children still say.
        if case .driveGone(life.drive?.identity, _) = event { queue.removeAll { $0.isOfStorage } }
        let actions = life.handle(event, at: now)
        for action in actions {
            if case .log = action { continue }
            if case .wake(let moment) = action {
                wake = moment
                continue
            }
            if performed == cutAt {
                performed += 1
                crash(cut)
                return true
            }
            performed += 1
            perform(action)
        }
        return true
    }

    private mutating func perform(_ action: Action) {
        switch action {
        case .journal(let journal): card = journal
        case .drawLease:
            drawn += 1
            if let name = LeaseID(String(repeating: "0", count: 28) + String(10_000 + drawn).dropFirst()) {
                queue.append(.leaseDrawn(name))
            }
        case .register(let lease): register(lease)
        case .prepareStorage(let lease, _):
            guard let plugged else { return queue.append(.storageFailed("no drive")) }
            guard plugged.identity == card.drive else { return queue.append(.storageFailed("another drive")) }
            promise(content == .clean, "formatted what was not clean: \(content)")
            if let key { promiseOver(key, "replaced the key") }
            promise(card.stage == .preparing && card.lease == lease && card.clean == nil, "formatted without a journal")
            content = .formatted(lease)
            key = lease
            isMounted = true
            queue.append(.storageReady)
        case .openStorage(let lease):
            guard let plugged, plugged.identity == card.drive else { return queue.append(.storageFailed("no drive")) }
            promise(
                [.lease(lease), .formatted(lease)].contains(content) && key == lease,
                "opened \(lease.text), found \(content), the key of \(key?.text ?? "none")")
            isMounted = true
            queue.append(.storageReady)
        case .startContainer(let lease):
            guard isMounted else { return queue.append(.containerDown("no drive")) }
            promise(content == .lease(lease) || content == .formatted(lease), "started a container without its drive")
            content = .lease(lease)
            queue.append(.containerUp)
        case .openTunnel: queue.append(.tunnelUp)
        case .checkIn(let lease, let phase, let tunnel, let fault): checkIn(lease, phase, tunnel, fault)
        case .tearDown: isMounted = false
        case .destroyKey(let lease):
            promiseOver(lease, "destroyed the key")
            if let key { promiseOver(key, "destroyed the key") }
            key = nil
        case .erase(let lease, let drive): erase(lease, drive)
        case .keepReceipt(let lease, _, _):
            promise(!contents.values.contains(.lease(lease)), "a receipt for a drive that is not clean")
            promise(!receipts.contains(lease) || cutAt != nil || isFaulty, "a second receipt")
            receipts.append(lease)
            if sold[lease] != nil { sold[lease]?.state = .ended }
        case .tellWaiting: queue.append(marketIsUp ? .waitingHeard(checkInSeconds: 600) : .waitingUnheard("timeout"))
        case .authorize, .log, .wake: break
        }
    }

    private mutating func register(_ lease: LeaseID) {
        promise(contents[card.clean ?? ""] == .clean, "registered a drive that is not clean: \(card.clean ?? "none")")
        promise(card.lease == lease, "registered a lease that the card does not know")
        promise(sold[lease]?.state != .rented, "registered a rented lease again")
        registered.append(lease)
        guard marketIsUp else { return queue.append(.registrationFailed("HTTP 503")) }
        for (name, other) in sold where name != lease && other.state == .offered { sold[name]?.state = .ended }
        if sold[lease] == nil { sold[lease] = Sold() }
        queue.append(.registered(RegisterAnswer(terms: terms(lease), account: renter)))
    }

    private mutating func checkIn(_ lease: LeaseID, _ phase: DevicePhase, _ tunnel: TunnelState, _ fault: String?) {
        guard marketIsUp, var known = sold[lease] else { return queue.append(.checkInFailed(marketIsUp ? "HTTP 404" : "timeout")) }
        // Somebody rents what is offered and whole.
        if known.state == .offered, phase == .offered, tunnel == .up, fault == nil {
            known.state = .rented
            known.expires = time + 3_600
        }
        if known.state == .rented, let expires = known.expires, expires <= time { known.state = .ended }
        sold[lease] = known
        queue.append(.checkedIn(CheckInAnswer(terms: lying(terms(lease)))))
    }

    /// In 2038 or before, another hour whenever it is asked.
    private var future: Int64 { 2_147_483_648 - Int64(performed % 10_000) * 3_600 }

    private var isClockRight: Bool { life.clock.time(at: now).map { abs($0.seconds - time) < 1_000 } ?? false }

    /// The terms as a lying market tells them. After a boot its clock does not jump to the same time twice, and
    /// ends nothing that the device does not know to be rented: no clock ends that.
    private func lying(_ terms: LeaseTerms) -> LeaseTerms {
        var terms = terms
        switch lie {
        case .otherLease: terms.lease = lease("f")
        case .otherEnded: (terms.lease, terms.state) = (lease("f"), .ended)
        // A rental that the device has never heard of, and the market neither: nobody can keep that.
        case .forgot where terms.state == .rented && card.rented: (terms.state, terms.expires) = (.offered, nil)
        case .earlier where card.rented: terms.expires = terms.expires.map { UnixTime($0.seconds - 1_800) }
        case .future: terms.time = UnixTime(future)
        case .futureEnded where card.rented || isClockRight: (terms.time, terms.state) = (UnixTime(future), .ended)
        default: break
        }
        return terms
    }

    private func terms(_ lease: LeaseID) -> LeaseTerms {
        LeaseTerms(
            lease: lease, time: UnixTime(time), state: sold[lease]?.state ?? .ended, expires: sold[lease]?.expires.map { UnixTime($0) },
            checkInSeconds: 600, sshKeys: [], tunnel: target())
    }

    private mutating func erase(_ lease: LeaseID?, _ drive: String) {
        let isOwed = card.owed.contains { $0.drive == drive && $0.lease == lease }
        let stage = lease == nil || isOwed ? Journal.Stage.cleaning : .erasing
        promise(card.drive == drive && card.stage == stage && card.clean == nil, "erased without a journal")
        guard plugged?.identity == drive else { return queue.append(.eraseFailed("no drive")) }
        if case .lease(let there) = content { promiseOver(there, "erased") }
        if let key { promiseOver(key, "destroyed the key") }
        key = nil
        isMounted = false
        if eraseFails {
            if case .clean = content { content = .unknown }
            return queue.append(.eraseFailed("write error"))
        }
        content = .clean
        queue.append(.erased(report))
    }

    /// Promise 1: what somebody rents is not touched before its end.
    private mutating func promiseOver(_ lease: LeaseID, _ what: String) {
        guard let known = sold[lease], known.state == .rented, let expires = known.expires else { return }
        promise(expires <= time, "\(what) of \(lease.text), rented until \(expires), at \(time)")
    }

    mutating func promise(_ held: Bool, _ what: String) {
        if !held { broken.append("action \(performed): " + what) }
    }
}

extension Event {
    /// What came of work on the drive.
    var isOfStorage: Bool {
        switch self {
        case .storageReady, .storageFailed, .erased, .eraseFailed: true
        default: false
        }
    }
}
