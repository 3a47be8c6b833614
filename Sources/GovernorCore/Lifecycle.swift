import Protocol

/// The life of a device, lease after lease: a value that is told events and says what to do. No I/O, no clock, no C.
///
///              drive ready, clean   granted            storage ready        container up, tunnel up
///     waiting ───────────▶ registering ───────▶ preparing ──────────▶ building ───────────▶ offered ──rented──▶ leased
///        ▲ ▲ │ not clean                           │                     │                     │                  │
///        │ │ └──────────┐                          │                     │                     │                  │
///        │ └────────────┼──── drive gone (no lease rented) ──────────────┴─────────────────────┘                  │ drive gone
///        │              │                                                                                         ▼
///        │ verified     ▼                 expired, or the market ended this lease                 suspended ──back──▶ leased
///        └────────── erasing ◀────────────────────────────────────────────────────────────────────────────────────┘
///                       │ failed
///                       ▼
///                  quarantined ── owner acts, or the next try ──▶ erasing
///
/// A lease that nobody rented yet and whose drive went away is *held* in `waiting`: somebody may be renting it this very moment, so it
/// goes on when the same drive comes back, and is given up only for another drive, and only when the market, asked once more, says that
/// nobody rented it. An erase whose drive is away or failed does not stop another drive from serving: it stays owed, in the journal.
public struct Lifecycle: Equatable, Sendable {
    /// Where the device stands.
    public enum State: Equatable, Sendable {
        /// No drive; with the lease that is held, if there is one.
        case waiting(held: Tenancy?)
        case registering(Drive)
        case preparing(Tenancy)
        case building(Tenancy)
        case offered(Tenancy)
        case leased(Tenancy)
        case suspended(Tenancy)
        case erasing(Erasure)
        case quarantined(Erasure)
    }

    /// A lease on a drive, and what of it stands.
    public struct Tenancy: Equatable, Sendable {
        /// The lease.
        public let lease: LeaseID
        /// The drive by its identity.
        public let drive: String
        /// Where the tunnel goes.
        public var target: TunnelTarget
        /// Whether the drive is being opened or formatted right now.
        var storageBusy = false
        /// Whether the container runs.
        public var containerIsUp = false
        /// The tunnel.
        public var tunnel = TunnelState.down
        /// What keeps drive or container from serving.
        var fault: String?
        /// What is wrong with the open drive, so that it stays in service.
        var ailment: DriveHealth = .good

        /// What is wrong, as the market and the owner are told.
        public var toldFault: String? { fault ?? (ailment == .good ? nil : ailment.rawValue) }

        /// A lease on a drive.
        init(lease: LeaseID, drive: String, target: TunnelTarget) {
            self.lease = lease
            self.drive = drive
            self.target = target
        }
    }

    /// A drive that is being erased.
    public struct Erasure: Equatable, Sendable {
        /// The lease that ended; nil before a first tenant.
        public let lease: LeaseID?
        /// The drive by its identity.
        public let drive: String
        /// Whether the erase runs right now.
        public var isRunning = false
        /// Why the last try failed.
        public var reason: String?
    }

    /// Where the device stands.
    public internal(set) var state: State
    /// What is on the card, or on its way there.
    public internal(set) var journal: Journal
    /// The market's clock.
    public internal(set) var clock: MarketClock
    /// The drive that is plugged in, if it may be used.
    public internal(set) var drive: Drive?

    /// Why there is no drive; nil where there is one, or nobody has looked yet.
    var wanted: String?

    var contact = Contact()
    /// Whether this start of the governor is counted in the journal.
    var isCounted = false
    var storageBackoff = Backoff(first: 2_000, longest: 300_000)
    /// Between two tries to mend a drive that the kernel made read-only. Opening it is no success: it may fail again at the first write.
    var mendBackoff = Backoff(first: 5_000, longest: 600_000)
    var eraseBackoff = Backoff(first: 10_000, longest: 3_600_000)
    /// When a failed preparing, opening or erasing is tried again.
    var retryAt: Instant?
    var jitter: Jitter
    var actions: [Action] = []

    /// A device with the journal it found on its card, a seed for the jitter of its backoff, and the market's clock if an earlier program of
    /// this boot kept it.
    public init(journal: Journal, seed: UInt64, clock: MarketClock = MarketClock()) {
        self.journal = journal
        self.clock = clock
        jitter = Jitter(seed: seed)
        state = .waiting(held: nil)
    }

    /// Takes an event and says what to do.
    public mutating func handle(_ event: Event, at now: Instant) -> [Action] {
        actions = []
        switch event {
        case .started: started(at: now)
        case .driveReady(let drive): driveReady(drive, at: now)
        case .driveGone(let identity, let reason): driveGone(identity, reason, at: now)
        case .driveHealth(let health): driveHealth(health, at: now)
        case .driveWanted(let reason): driveWanted(reason, at: now)
        case .waitingHeard(let seconds): waitingHeard(checkInSeconds: seconds, at: now)
        case .waitingUnheard(let reason): waitingUnheard(reason, at: now)
        case .leaseDrawn(let lease): leaseDrawn(lease, at: now)
        case .registered(let answer): registered(answer, at: now)
        case .registrationFailed(let reason): registrationFailed(reason, at: now)
        case .storageReady: storageReady(at: now)
        case .storageFailed(let reason): storageFailed(reason, at: now)
        case .containerUp: containerUp(at: now)
        case .containerDown(let reason): containerDown(reason, at: now)
        case .tunnelUp: tunnelUp(at: now)
        case .tunnelDown(let reason): tunnelDown(reason, refused: false, at: now)
        case .tunnelRefused(let reason): tunnelDown(reason, refused: true, at: now)
        case .checkedIn(let answer): checkedIn(answer, at: now)
        case .checkInFailed(let reason): checkInFailed(reason, at: now)
        case .leaseUnknown(let time): leaseUnknown(time, at: now)
        case .erased(let report): erased(report, at: now)
        case .eraseFailed(let reason): eraseFailed(reason, at: now)
        case .deadline: deadline(at: now)
        case .ownerActs: ownerActs(at: now)
        }
        act(.wake(nextDeadline(at: now)))
        let result = actions
        actions = []
        return result
    }

    // What is called everywhere and seldom stays one function (`@inline(never)`): inlined, its copies are a tenth of this room.

    /// Messages to the market that failed in a row.
    public var marketFailures: Int { contact.failures }

    /// Seconds between two check-ins, by the market's last word.
    public var checkInSeconds: Int64 { contact.interval }

    @inline(never)
    mutating func act(_ action: Action) { actions.append(action) }

    @inline(never)
    mutating func note(_ event: LogEvent, _ fields: KeyValuePairs<String, String> = [:]) { act(.log(Note(event, fields))) }

    /// Changes the journal and puts its writing next in line, unless nothing changed.
    @inline(never)
    mutating func write(_ change: (inout Journal) -> Void) {
        let before = journal
        change(&journal)
        if journal != before { act(.journal(journal)) }
    }

    /// The lease that lives or is held, if there is one.
    @inline(never)
    public var tenancy: Tenancy? {
        switch state {
        case .waiting(let held): held
        case .preparing(let tenancy), .building(let tenancy), .offered(let tenancy), .leased(let tenancy), .suspended(let tenancy):
            tenancy
        case .registering, .erasing, .quarantined: nil
        }
    }

    /// Whether what it is at is about the drive that is there, so that no other may take its place.
    public var usesDrive: Bool {
        guard let drive = drive?.identity else { return false }
        return switch state {
        case .waiting(let held): held?.drive == drive
        case .registering, .preparing, .building, .offered, .leased: true
        case .suspended(let tenancy): tenancy.drive == drive
        case .erasing(let erasure): erasure.drive == drive
        case .quarantined: false
        }
    }

    /// Why the drive is quarantined, nil where it is not.
    public var quarantineReason: String? {
        if case .quarantined(let erasure) = state { return erasure.reason }
        return nil
    }

    /// Changes the lease in whatever state holds it.
    @inline(never)
    mutating func changeTenancy(_ change: (inout Tenancy) -> Void) {
        guard var changed = tenancy else { return }
        change(&changed)
        switch state {
        case .waiting: state = .waiting(held: changed)
        case .preparing: state = .preparing(changed)
        case .building: state = .building(changed)
        case .offered: state = .offered(changed)
        case .leased: state = .leased(changed)
        case .suspended: state = .suspended(changed)
        case .registering, .erasing, .quarantined: break
        }
    }

    /// Where the device stands, in the market's words; nil where it has nothing to tell.
    public var phase: DevicePhase? {
        switch state {
        case .waiting(let held): held == nil ? nil : .suspended
        case .registering: .registering
        case .preparing: .preparing
        case .building: .building
        case .offered: .offered
        case .leased: .leased
        case .suspended: .suspended
        case .erasing: .erasing
        case .quarantined: .quarantined
        }
    }

    /// The word for the state, in `governor status`.
    public var word: String {
        if case .waiting = state { return "waiting" }
        return phase?.rawValue ?? "waiting"
    }

    /// What the lamp shows.
    public var lamp: LampPattern {
        switch state {
        case .waiting: .three
        case .registering: contact.isFailing ? .two : .fast
        case .preparing, .building, .erasing: .fast
        case .offered: contact.isFailing ? .two : .slow
        case .leased: .steady
        case .suspended: .three
        case .quarantined: .sos
        }
    }

    /// When the lease that lives or is held ends, by our clock; nil where it is not rented or the market's time is not known in this boot.
    public var end: Instant? {
        guard tenancy != nil, journal.rented, let expires = journal.expires else { return nil }
        return clock.instant(of: expires)
    }

    @inline(never)
    func nextDeadline(at now: Instant) -> Instant? {
        var next = contact.due
        func consider(_ moment: Instant?) {
            guard let moment else { return }
            if let earlier = next, earlier <= moment { return }
            next = moment
        }
        consider(retryAt)
        consider(end)
        return next
    }

    private mutating func deadline(at now: Instant) {
        if let end, end <= now {
            note(.expired)
            endLease(at: now)
            return
        }
        if let retryAt, retryAt <= now {
            self.retryAt = nil
            retry(at: now)
        }
        if let due = contact.due, due <= now { makeContact(at: now) }
    }

    private mutating func started(at now: Instant) {
        note(.started, ["stage": journal.stage.rawValue])
        switch journal.stage {
        case .idle, .registering: state = .waiting(held: nil)
        case .cleaning, .preparing:
            // An earlier program of this boot may have left a drive open that is gone by now, and may never come back.
            act(.tearDown)
            state = .waiting(held: nil)
        case .live:
            guard let held = tenancyFromJournal() else { return }
            state = journal.rented ? .suspended(held) : .waiting(held: held)
            contact.soon(at: now)
        case .erasing, .quarantined:
            guard let drive = journal.drive else { return }
            let erasure = Erasure(lease: journal.lease, drive: drive)
            state = journal.stage == .erasing ? .erasing(erasure) : .quarantined(erasure)
            // The last run may have ended between the journal and this; the drive may never come back.
            letGo(erasure)
            if erasure.lease != nil { contact.soon(at: now) }
        }
    }

    private func tenancyFromJournal() -> Tenancy? {
        guard let lease = journal.lease, let drive = journal.drive, let target = journal.tunnel else { return nil }
        return Tenancy(lease: lease, drive: drive, target: target)
    }
}
