import Protocol
import Testing

@testable import GovernorCore

/// Drives that come, go, fail, and are not the right ones; containers and tunnels that mend themselves.
@Suite struct DriveTests {
    /// What the loss of the drive brings in each state, and the state after it.
    static let gone: [(Stand, [Action], String)] = [
        (.waiting, [], "waiting"), (.held, [], "waiting"), (.cleaning, [.tearDown], "erasing"), (.drawing, [], "waiting"),
        (.registering, [], "waiting"), (.preparing, [.tearDown], "waiting"), (.building, [.tearDown], "waiting"),
        (.offered, [.tearDown], "waiting"), (.leased, [.tearDown], "suspended"), (.suspended, [], "suspended"),
        (.erasing, [.tearDown, .destroyKey(firstLease)], "erasing"), (.erasingAway, [], "erasing"),
        (.quarantined, [.tearDown, .destroyKey(firstLease)], "quarantined"), (.quarantinedAway, [], "quarantined"),
    ]

    @Test(arguments: gone.indices)
    func `the drive goes in each state`(index: Int) {
        let (stand, actions, word) = Self.gone[index]
        var device = Device.at(stand)
        let before = device.life.journal
        #expect(device.feed(.pulled()) == actions)
        #expect(device.life.word == word && device.life.journal == before)
    }

    @Test func `the table of gone drives has every state`() { #expect(Set(Self.gone.map(\.0)) == Set(Stand.allCases)) }

    @Test func `without drive and lease the market hears why, at each change and then at intervals`() {
        var device = Device.at(.waiting)
        device.feed(.driveWanted("holds vfat"))
        #expect(device.feed(.deadline) == [.tellWaiting("holds vfat")])
        device.feed(.waitingHeard(checkInSeconds: 300))
        #expect(device.wake == device.now.adding(seconds: 300))
        #expect(device.feed(.driveWanted("holds vfat")) == [] && device.wake == device.now.adding(seconds: 300), "the same is no news")
        device.feed(.driveWanted("none"))
        #expect(device.feed(.deadline) == [.tellWaiting("none")])
        device.feed(.waitingUnheard("timeout"))
        #expect(device.notes == [.checkInFailed] && device.wake != nil)
        #expect(device.feed(.driveReady(stick)) == [.drawLease])
        #expect(device.feed(.waitingHeard(checkInSeconds: 300)) == [] && device.feed(.waitingUnheard("late")) == [])
    }

    @Test(arguments: Stand.allCases.filter { $0 != .waiting })
    func `why there is no drive is told only without a lease`(stand: Stand) {
        var device = Device.at(stand)
        device.feed(.driveWanted("holds vfat"))
        #expect(device.feed(.deadline).allSatisfy { if case .tellWaiting = $0 { false } else { true } })
    }

    @Test func `a drive that goes while its lease is asked for: the same lease is asked for again`() {
        var device = Device.at(.registering)
        device.feed(.pulled())
        #expect(device.feed(.driveReady(stick)) == [.register(firstLease)])
    }

    @Test func `a drive that goes while it is formatted is erased, then its lease is asked for again`() {
        var device = Device.at(.preparing)
        device.feed(.pulled())
        #expect(device.feed(.driveReady(stick)).last == .erase(nil, drive: stick.identity))
        #expect(device.feed(.erased(report)).last == .register(firstLease))
    }

    @Test func `a held lease goes on when its drive is back`() {
        var device = Device.at(.held)
        #expect(device.feed(.driveReady(stick)) == [.openStorage(firstLease)])
        device.feed(.storageReady, .containerUp, .tunnelUp)
        #expect(device.life.phase == .offered)
    }

    @Test func `a held lease that was rented in the meantime is suspended`() {
        var device = Device.at(.held)
        device.answer(.rented)
        #expect(device.life.phase == .suspended)
    }

    @Test func `a held lease is given up for another drive, which is erased first, once the market has said that nobody rented it`() {
        var device = Device.at(.held)
        #expect(device.feed(.driveReady(otherStick)) == [])
        #expect(device.answer(.offered).last == .erase(nil, drive: otherStick.identity))
        #expect(device.life.journal.lease == nil)
    }

    @Test func `a held lease that somebody rented in the meantime is kept, and the other drive not touched`() {
        var device = Device.at(.held)
        device.feed(.driveReady(otherStick))
        #expect(device.answer(.rented).allSatisfy { !$0.isGrave } && device.life.phase == .suspended)
        #expect(device.feed(.pulled(otherStick), .driveReady(stick)) == [.openStorage(firstLease)])
    }

    @Test func `a held lease is kept as long as the market can't be asked`() {
        var device = Device.at(.held)
        device.feed(.driveReady(otherStick))
        for _ in 1...5 {
            device.ask()
            #expect(device.feed(.checkInFailed("timeout")).allSatisfy { !$0.isGrave })
        }
        #expect(device.feed(.pulled(otherStick), .driveReady(stick)) == [.openStorage(firstLease)])
    }

    @Test func `another drive in place of a rented one is not touched`() {
        var device = Device.at(.suspended)
        let before = device.life.journal
        #expect(device.feed(.driveReady(otherStick)) == [] && device.notes.contains(.driveForeign))
        #expect(device.feed(.pulled(otherStick)) == [] && device.life.journal == before)
        #expect(device.feed(.driveReady(stick)) == [.openStorage(firstLease)])
    }

    @Test(arguments: [Stand.leased, .offered, .erasing])
    func `a drive goes that is not the one in use`(stand: Stand) {
        var device = Device.at(stand)
        let before = device.life
        #expect(device.feed(.pulled(otherStick)) == [] && device.life.state == before.state)
    }

    @Test(arguments: [Stand.erasingAway, .quarantined, .quarantinedAway])
    func `an erase that can't go on gives way to another drive, and is owed`(stand: Stand) {
        var device = Device.at(stand)
        let actions = device.feed(.driveReady(otherStick))
        #expect(actions.first == .destroyKey(firstLease) && actions.last == .erase(nil, drive: otherStick.identity))
        let owed = OwedErase(drive: stick.identity, lease: firstLease, failed: stand != .erasingAway)
        #expect(device.life.journal.owed == [owed] && device.life.journal.lease == nil && device.notes.contains(.driveOwed))
        #expect(device.feed(.erased(report)).last == .drawLease)
        // The lease that ended on it is no longer this device's.
        #expect(device.life.journal.clean == otherStick.identity)
    }

    @Test(arguments: [Stand.erasingAway, .quarantined])
    func `what is owed is paid when the drive is back: erased, and its lease gets its receipt`(stand: Stand) {
        var device = Device.at(stand)
        device.feed(.driveReady(otherStick), .erased(report), .leaseDrawn(secondLease), .pulled(otherStick))
        device = device.restarted()
        #expect(device.feed(.driveReady(stick)).last == .erase(firstLease, drive: stick.identity))
        let paid = device.feed(.erased(report))
        #expect(paid.first == .keepReceipt(firstLease, finished: nil, report))
        #expect(paid.last == .register(secondLease) && device.life.journal.owed == [])
    }

    @Test func `what is owed and fails again is quarantined, and still owed`() {
        var device = Device.at(.erasingAway)
        device.feed(.driveReady(otherStick), .erased(report), .pulled(otherStick), .driveReady(stick), .eraseFailed("write error"))
        #expect(device.life.phase == .quarantined && device.life.lamp == .sos)
        #expect(device.life.journal.owed == [OwedErase(drive: stick.identity, lease: firstLease, failed: true)])
        #expect(device.feed(.ownerActs).last == .erase(firstLease, drive: stick.identity))
        #expect(device.feed(.erased(report)).contains { if case .keepReceipt(firstLease, _, _) = $0 { true } else { false } })
    }

    @Test(arguments: [Stand.leased, .offered, .building])
    func `a drive that went read-only is closed, checked and opened anew, less and less often`(stand: Stand) {
        var device = Device.at(stand)
        #expect(device.feed(.driveHealth(.readOnly)) == [.tearDown] && device.notes.contains(.driveFailing))
        #expect(device.life.phase == .suspended && device.life.tenancy?.toldFault == "drive-read-only")
        var gaps: [Int64] = []
        for _ in 1...4 {
            gaps.append((device.life.retryAt ?? device.now).seconds(since: device.now))
            #expect(device.pass(seconds: 700).contains(.openStorage(firstLease)))
            device.feed(.storageReady, .driveHealth(.readOnly))
        }
        #expect(gaps[3] > gaps[0] * 4, "\(gaps)")
        device.pass(seconds: 700)
        device.feed(.storageReady, .containerUp, .tunnelUp)
        #expect(device.life.phase == (stand == .leased ? .leased : .offered))
    }

    @Test func `the first errors of a lease are mended, once`() {
        var device = Device.at(.leased)
        #expect(device.feed(.driveHealth(.errors)) == [.tearDown] && device.life.tenancy?.toldFault == "drive-errors")
        #expect(device.pass(seconds: 10).contains(.openStorage(firstLease)))
        device.feed(.storageReady, .containerUp, .tunnelUp)
        #expect(device.feed(.driveHealth(.errors)) == [] && device.life.phase == .leased)
    }

    @Test(arguments: [DriveHealth.full, .errors])
    func `a drive that is full or goes on to count errors stays in service, and the market hears of it`(health: DriveHealth) {
        var device = Device.at(.leased)
        if health == .errors {
            device.feed(.driveHealth(.errors))
            device.pass(seconds: 10)
            device.feed(.storageReady, .containerUp, .tunnelUp)
            device.answer(.rented)
        }
        #expect(device.feed(.driveHealth(health)) == [] && device.notes == [.driveFailing] && device.life.lamp == .steady)
        #expect(device.feed(.deadline) == [.checkIn(firstLease, phase: .leased, tunnel: .up, fault: health.rawValue)])
        device.answer(.rented)
        #expect(device.feed(.driveHealth(health)) == [] && device.notes == [], "the same again is no news")
        #expect(device.feed(.driveHealth(.good)) == [] && device.notes == [.driveMended])
        #expect(device.feed(.deadline) == [.checkIn(firstLease, phase: .leased, tunnel: .up, fault: nil)])
    }

    @Test(arguments: [Stand.preparing, .building, .offered, .leased])
    func `a second drive beside the one in use is not touched`(stand: Stand) {
        var device = Device.at(stand)
        let before = device.life.journal
        #expect(device.feed(.driveReady(otherStick)) == [] && device.life.journal == before)
    }

    @Test func `a second drive does not keep the first from being erased at the end`() {
        var device = Device.at(.leased)
        device.feed(.driveReady(otherStick))
        #expect(device.expire().last == .erase(firstLease, drive: stick.identity))
    }

    @Test func `a second drive during an erase is not the next one to be erased`() {
        var device = Device.at(.erasing)
        device.feed(.driveReady(otherStick))
        #expect(device.feed(.erased(report)).last == .drawLease && device.life.state == .registering(stick))
    }

    @Test func `a leased device with another drive in its place still expires; its own is erased when it is back`() {
        var device = Device.at(.suspended)
        device.feed(.driveReady(otherStick))
        let actions = device.expire()
        #expect(actions.contains(.tearDown) && actions.contains(.destroyKey(firstLease)))
        #expect(actions.last == .erase(nil, drive: otherStick.identity), "the lease is over: the other one serves from here on")
        #expect(device.feed(.pulled(otherStick)).allSatisfy { !$0.isDestructive })
        #expect(device.feed(.driveReady(stick)).last == .erase(firstLease, drive: stick.identity))
    }

    @Test func `storage that fails to open is tried again, and nothing is erased`() {
        var device = Device.at(.suspended)
        device.feed(.driveReady(stick))
        #expect(device.feed(.storageFailed("fsck")) == [] && device.life.phase == .suspended)
        #expect(device.pass(seconds: 3).contains(.openStorage(firstLease)))
    }

    @Test func `storage that failed is told to the market`() {
        var device = Device.at(.suspended)
        device.feed(.driveReady(stick), .storageFailed("fsck"))
        device.ask()
        #expect(device.last.contains(.checkIn(firstLease, phase: .suspended, tunnel: .down, fault: "storage-failed")))
    }

    @Test func `a format that failed starts over with an erase`() {
        var device = Device.at(.preparing)
        // It may have failed because it was pulled.
        #expect(device.feed(.storageFailed("mkfs")) == [.tearDown] && device.life.state == .waiting(held: nil))
        #expect(device.pass(seconds: 3).last == .erase(nil, drive: stick.identity))
    }

    @Test func `a drive that comes twice is opened once`() {
        var device = Device.at(.suspended)
        #expect(device.feed(.driveReady(stick)) == [.openStorage(firstLease)])
        #expect(device.feed(.driveReady(stick)) == [])
    }

    @Test func `a drive that comes twice is erased once`() {
        var device = Device.at(.erasing)
        #expect(device.feed(.driveReady(stick)) == [])
    }

    @Test func `an old storage-ready after the drive went mounts nothing`() {
        var device = Device.at(.suspended)
        device.feed(.driveReady(stick), .pulled())
        #expect(device.feed(.storageReady) == [] && device.life.phase == .suspended)
    }

    @Test func `a device that is erased after its drive went waits for it`() {
        var device = Device.at(.erasing)
        device.feed(.pulled())
        #expect(device.feed(.erased(report)) == [] && device.life.phase == .erasing)
    }

    @Test func `container down: the lease stays, the market hears of it`() {
        var device = Device.at(.leased)
        #expect(device.feed(.containerDown("OOM")) == [] && device.life.phase == .leased)
        #expect(device.feed(.deadline) == [.checkIn(firstLease, phase: .leased, tunnel: .up, fault: "container-down")])
    }

    @Test func `container up again: the market hears of it`() {
        var device = Device.at(.leased)
        device.feed(.containerDown("OOM"), .containerUp)
        #expect(device.feed(.deadline) == [.checkIn(firstLease, phase: .leased, tunnel: .up, fault: nil)])
    }

    @Test(arguments: [(Event.tunnelDown("reset"), TunnelState.down), (.tunnelRefused("port taken"), .refused)])
    func `tunnel down or refused: the lease stays, the market hears of it`(event: Event, told: TunnelState) {
        var device = Device.at(.leased)
        #expect(device.feed(event) == [] && device.life.phase == .leased)
        #expect(device.feed(.deadline) == [.checkIn(firstLease, phase: .leased, tunnel: told, fault: nil)])
    }

    @Test func `a tunnel that fails the same way again is no news`() {
        var device = Device.at(.leased)
        device.feed(.tunnelDown("reset"))
        device.answer(.rented)
        device.feed(.tunnelDown("reset"))
        #expect(device.wake == device.now.adding(seconds: 600))
    }
}
