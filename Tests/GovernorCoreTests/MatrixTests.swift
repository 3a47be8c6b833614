import Protocol
import Testing

@testable import GovernorCore

/// Every event in every state: late, unsolicited, twice. Nothing traps, and nothing is destroyed but where the table allows it.
@Suite struct MatrixTests {
    /// Every event, named; answers are made for the moment they arrive.
    static let events: [(String, @Sendable (Device) -> Event)] = [
        ("started", { _ in .started }),
        ("driveReady", { _ in .driveReady(stick) }),
        ("otherDriveReady", { _ in .driveReady(otherStick) }),
        ("driveGone", { _ in .pulled() }),
        ("otherDriveGone", { _ in .pulled(otherStick) }),
        ("driveWanted", { _ in .driveWanted("none is plugged in") }),
        ("waitingHeard", { _ in .waitingHeard(checkInSeconds: 600) }),
        ("waitingUnheard", { _ in .waitingUnheard("timeout") }),
        ("driveFull", { _ in .driveHealth(.full) }),
        ("driveReadOnly", { _ in .driveHealth(.readOnly) }),
        ("leaseDrawn", { _ in .leaseDrawn(secondLease) }),
        ("registered", { .registered(RegisterAnswer(terms: $0.terms(.offered), account: renter)) }),
        ("registeredOther", { .registered(RegisterAnswer(terms: $0.terms(.offered, secondLease), account: renter)) }),
        ("registrationFailed", { _ in .registrationFailed("HTTP 500") }),
        ("storageReady", { _ in .storageReady }),
        ("storageFailed", { _ in .storageFailed("fsck") }),
        ("containerUp", { _ in .containerUp }),
        ("containerDown", { _ in .containerDown("OOM") }),
        ("tunnelUp", { _ in .tunnelUp }),
        ("tunnelDown", { _ in .tunnelDown("reset") }),
        ("tunnelRefused", { _ in .tunnelRefused("taken") }),
        ("offered", { .checkedIn(CheckInAnswer(terms: $0.terms(.offered))) }),
        ("rented", { .checkedIn(CheckInAnswer(terms: $0.terms(.rented))) }),
        ("ended", { .checkedIn(CheckInAnswer(terms: $0.terms(.ended))) }),
        ("endedOther", { .checkedIn(CheckInAnswer(terms: $0.terms(.ended, secondLease))) }),
        ("checkInFailed", { _ in .checkInFailed("timeout") }),
        ("erased", { _ in .erased(report) }),
        ("eraseFailed", { _ in .eraseFailed("old key opens") }),
        ("deadline", { _ in .deadline }),
        ("ownerActs", { _ in .ownerActs }),
    ]

    /// Where an event may destroy: `state event`. Without a check-in under way.
    static let allowed: Set<String> = [
        "waiting otherDriveReady",  // not the clean one
        // The lease is over and its erase waits for a drive: another one serves, erased first.
        "erasingAway otherDriveReady", "quarantined otherDriveReady", "quarantinedAway otherDriveReady",
        "registering registered",  // the lease that was asked for
        "erasing driveGone", "quarantined driveGone",  // its key dies at once
        "erasingAway driveReady",
        "quarantined ownerActs",
        "erasing started", "erasingAway started", "quarantined started", "quarantinedAway started",  // the key dies again
    ]
    /// Where an event may destroy too when the answer to a check-in is awaited.
    static let allowedWhenAsked: Set<String> = Set(
        ["held", "preparing", "building", "offered", "leased", "suspended"].map { $0 + " ended" })

    @Test(arguments: Stand.allCases)
    func `one event, no check-in under way`(stand: Stand) {
        for (name, make) in Self.events {
            var device = Device.at(stand)
            let event = make(device)
            let actions = device.feed(event)
            let may = Self.allowed.contains("\(stand) \(name)")
            #expect(actions.contains { $0.isDestructive } == may, "\(stand) \(name): \(actions)")
            expectJournalFirst(actions, after: Device.at(stand).life.journal, "\(stand) \(name)")
        }
    }

    @Test(arguments: Stand.allCases)
    func `one event, with a check-in under way`(stand: Stand) {
        for (name, make) in Self.events {
            var device = Device.at(stand)
            device.life.contact.soon(at: device.now)
            device.ask()
            guard device.life.contact.isUnderWay else { continue }
            let before = device.life.journal
            let actions = device.feed(make(device))
            let may = Self.allowed.union(Self.allowedWhenAsked).contains("\(stand) \(name)")
            #expect(actions.contains { $0.isDestructive } == may, "\(stand) \(name): \(actions)")
            expectJournalFirst(actions, after: before, "\(stand) \(name)")
        }
    }

    @Test(arguments: Stand.allCases)
    func `any two events: a rented lease is destroyed only by its end`(stand: Stand) {
        for (firstName, first) in Self.events {
            for (secondName, second) in Self.events {
                var device = Device.at(stand)
                device.feed(first(device))
                let before = device.life
                let actions = device.feed(second(device))
                expectJournalFirst(actions, after: before.journal, "\(stand) \(firstName) \(secondName)")
                guard before.journal.rented, before.journal.stage == .live, secondName != "ended" else { continue }
                #expect(actions.allSatisfy { !$0.isGrave }, "\(stand) \(firstName) \(secondName): \(actions)")
            }
        }
    }

    @Test(arguments: Stand.allCases)
    func `a device that is told everything, over and over, does not trap`(stand: Stand) {
        var device = Device.at(stand)
        for round in 0..<5 {
            for (_, make) in Self.events { device.feed(make(device)) }
            device.pass(seconds: Int64(round) * 700)
        }
    }

    @Test(arguments: Stand.allCases)
    func `a deadline that is met is not asked for again: no busy loop`(stand: Stand) {
        var device = Device.at(stand)
        for _ in 0..<50 {
            device.feed(.deadline)
            guard let wake = device.wake else { return }
            device.now = max(device.now, wake)
            device.feed(.deadline)
            #expect(device.wake.map { $0 > device.now } ?? true)
            for event in [Event.checkInFailed("timeout"), .registrationFailed("timeout")] { device.feed(event) }
        }
    }
}

/// No grave action without a journal on the card that speaks of it.
func expectJournalFirst(_ actions: [Action], after journal: Journal, _ what: String) {
    var card = journal
    for action in actions {
        switch action {
        case .journal(let written): card = written
        case .register(let lease): #expect(card.lease == lease && card.stage == .registering && card.clean != nil, "\(what)")
        case .prepareStorage(let lease, _):
            #expect(card.lease == lease && card.stage == .preparing && card.drive != nil && card.clean == nil, "\(what)")
        case .openStorage(let lease): #expect(card.lease == lease && card.stage == .live, "\(what)")
        case .erase(let lease, let drive):
            let isOwed = card.owed.contains { $0.drive == drive && $0.lease == lease }
            #expect(card.stage == (lease == nil || isOwed ? .cleaning : .erasing) && card.drive == drive && card.clean == nil, "\(what)")
        case .destroyKey(let lease):
            #expect(card.lease == lease && (card.stage == .erasing || card.stage == .quarantined), "\(what)")
        case .keepReceipt(let lease, _, _):
            let isOwed = card.stage == .cleaning && card.owed.contains { $0.drive == card.drive && $0.lease == lease }
            #expect(isOwed || card.lease == lease && card.stage == .erasing, "\(what)")
        case .startContainer(let lease): #expect(card.lease == lease && card.stage == .live, "\(what)")
        default: break
        }
    }
}
