import Protocol

@testable import GovernorCore

let stick = Drive(identity: "stick-0001", bytes: 64 << 30)
let otherStick = Drive(identity: "stick-0002", bytes: 32 << 30)
let firstLease = lease("1")
let secondLease = lease("2")
let renter = Account(user: "renter", password: Secret("correct-horse-battery"))
let report = EraseReport(
    method: .key, encryption: .luks2, drive: stick.identity, bytes: stick.bytes, eraseMilliseconds: 24, checkMilliseconds: 6,
    checks: ["old-key-refused", "no-header"])
let keyLine = "ssh-ed25519 " + edKey + " renter@laptop"
let edKey = "AAAAC3NzaC1lZDI1NTE5AAAAI" + String(repeating: "x", count: 43)

/// The market's clock at the boot of the device under test.
let noon: Int64 = 1_800_000_000

/// A lease named with one digit.
func lease(_ digit: Character) -> LeaseID {
    guard let lease = LeaseID(String(repeating: digit, count: 32)) else { fatalError("a hex digit, please") }
    return lease
}

/// A tunnel target whose three ports start at `ssh`.
func target(ssh: Int64 = 20_000) -> TunnelTarget {
    TunnelTarget(
        host: "tunnel.example", port: 22, user: "tunnel", hostKey: "ssh-ed25519 " + edKey, bind: "127.0.0.1",
        ports: ForwardPorts(ssh: ssh, http: ssh + 1, https: ssh + 2))
}

/// Where a test finds its device, after the states of the lifecycle.
enum Stand: CaseIterable, Sendable {
    /// No drive; no lease; a drive of ours that is gone and whose unrented lease is held.
    case waiting, held
    /// Erasing a drive before its first tenant; a lease is drawn; asked for.
    case cleaning, drawing, registering
    case preparing, building, offered, leased, suspended
    /// Erasing with the drive there; with the drive away; failed; failed and the drive is away.
    case erasing, erasingAway, quarantined, quarantinedAway
}

/// A device in a test: takes events, keeps the time, remembers what the last event brought.
struct Device {
    var life: Lifecycle
    var now = Instant.seconds(100)
    /// Everything that the last event brought.
    var last: [Action] = []

    init(_ journal: Journal = Journal()) { life = Lifecycle(journal: journal, seed: 1) }

    /// The market's clock now.
    var time: Int64 { noon + now.seconds(since: Instant(nanoseconds: 0)) }
    /// When the lease of `at(.leased)` ends.
    static let end: Int64 = noon + 7_200

    /// Feeds events; the actions of the last one, without log and wake.
    @discardableResult
    mutating func feed(_ events: Event...) -> [Action] {
        for event in events { last = life.handle(event, at: now) }
        return last.filter { !$0.isLog && !$0.isWake }
    }

    /// The events that the last one logged.
    var notes: [LogEvent] { last.compactMap { if case .log(let note) = $0 { note.event } else { nil } } }
    /// The deadline that the last event asked for.
    var wake: Instant? {
        for case .wake(let moment) in last.reversed() { return moment }
        return nil
    }

    /// Lets time pass and sends the deadline.
    @discardableResult
    mutating func pass(seconds: Int64) -> [Action] {
        now = now.adding(seconds: seconds)
        return feed(.deadline)
    }

    /// Terms of the market at this moment.
    func terms(
        _ state: LeaseState, _ lease: LeaseID = firstLease, expires: Int64? = nil, time: Int64? = nil, keys: [String] = [],
        ssh: Int64 = 20_000, checkIn: Int64 = 600
    ) -> LeaseTerms {
        LeaseTerms(
            lease: lease, time: UnixTime(time ?? self.time), state: state,
            expires: (expires ?? told(state)).map { UnixTime($0) },
            checkInSeconds: checkIn, sshKeys: keys, tunnel: target(ssh: ssh))
    }

    /// When a lease ends, by the market: whoever ends it early leaves that as it was.
    private func told(_ state: LeaseState) -> Int64? {
        switch state {
        case .rented: Self.end
        case .ended: life.journal.expires?.seconds
        case .offered: nil
        }
    }

    /// Goes on to the next check-in, if none is under way.
    mutating func ask() {
        guard !life.contact.isUnderWay else { return }
        if let due = life.contact.due, due > now { now = due }
        feed(.deadline)
    }

    /// Goes on to the next check-in and answers it.
    @discardableResult
    mutating func answer(_ terms: (Device) -> LeaseTerms) -> [Action] {
        ask()
        return feed(.checkedIn(CheckInAnswer(terms: terms(self))))
    }

    @discardableResult
    mutating func answer(_ state: LeaseState) -> [Action] { answer { $0.terms(state) } }

    /// The market grants the lease that was asked for.
    @discardableResult
    mutating func grant(_ state: LeaseState = .offered, account: Account? = renter) -> [Action] {
        feed(.registered(RegisterAnswer(terms: terms(state), account: account)))
    }

    /// A journal of an idle device whose drive is clean.
    static var cleanJournal: Journal {
        var journal = Journal()
        journal.clean = stick.identity
        return journal
    }

    /// A device that went the usual way to a place in the lifecycle, with no check-in under way.
    static func at(_ stand: Stand) -> Device {
        var device = Device(cleanJournal)
        switch stand {
        case .waiting: device.feed(.started)
        case .cleaning:
            device = Device()
            device.feed(.started, .driveReady(stick))
        case .drawing: device.feed(.started, .driveReady(stick))
        case .registering:
            device = at(.drawing)
            device.feed(.leaseDrawn(firstLease))
        case .preparing:
            device = at(.registering)
            device.grant()
        case .building:
            device = at(.preparing)
            device.feed(.storageReady)
        case .offered:
            device = at(.building)
            device.feed(.containerUp, .tunnelUp)
            device.answer(.offered)
        case .leased:
            device = at(.offered)
            device.answer(.rented)
            device.answer(.rented)
        case .held:
            device = at(.offered)
            device.feed(.pulled())
        case .suspended:
            device = at(.leased)
            device.feed(.pulled())
        case .erasing:
            device = at(.leased)
            device.expire()
        case .erasingAway:
            device = at(.erasing)
            device.feed(.pulled())
        case .quarantined:
            device = at(.erasing)
            device.feed(.eraseFailed("old key still opens"))
        case .quarantinedAway:
            device = at(.quarantined)
            device.feed(.pulled())
        }
        return device
    }

    /// Lets the lease of `at(.leased)` run out.
    @discardableResult
    mutating func expire() -> [Action] { pass(seconds: Self.end - time) }

    /// The same card in a device that starts anew: `rebooted`, so that its clock begins again, or only the program.
    func restarted(rebooted: Bool = true) -> Device {
        var device = Device(life.journal)
        if !rebooted {
            device.now = now
            device.life = Lifecycle(journal: life.journal, seed: 1, clock: life.clock)
        }
        device.feed(.started)
        return device
    }
}

extension Action {
    var isLog: Bool { if case .log = self { true } else { false } }
    var isWake: Bool { if case .wake = self { true } else { false } }
    var isJournal: Bool { if case .journal = self { true } else { false } }
    /// What can't be undone, or binds the market.
    var isGrave: Bool {
        switch self {
        case .prepareStorage, .erase, .register, .destroyKey: true
        default: false
        }
    }
    /// What destroys data.
    var isDestructive: Bool {
        switch self {
        case .prepareStorage, .erase, .destroyKey: true
        default: false
        }
    }
}

/// The journal with some changes.
func changed(_ journal: Journal, _ change: (inout Journal) -> Void) -> Journal {
    var journal = journal
    change(&journal)
    return journal
}

extension Event {
    /// Somebody pulls a drive.
    static func pulled(_ drive: Drive = stick) -> Event { .driveGone(drive.identity, reason: "pulled") }
}
