import Protocol
import Testing

@testable import GovernorCore

/// The arrows of the diagram on top of Lifecycle.swift, one by one.
@Suite struct ArrowTests {
    @Test func `a device starts waiting`() {
        #expect(Device.at(.waiting).life.state == .waiting(held: nil))
    }

    @Test func `waiting to registering: a clean drive asks for the name of a lease`() {
        var device = Device.at(.waiting)
        #expect(device.feed(.driveReady(stick)) == [.drawLease])
        #expect(device.life.state == .registering(stick))
    }

    @Test func `the name of the lease is journaled before the market hears it`() {
        var device = Device.at(.drawing)
        let journal = changed(device.life.journal) { ($0.stage, $0.lease) = (.registering, firstLease) }
        #expect(device.feed(.leaseDrawn(firstLease)) == [.journal(journal), .register(firstLease)])
    }

    @Test func `waiting to erasing: a drive that is not clean is erased before its first tenant`() {
        var device = Device()
        device.feed(.started)
        let journal = changed(Journal()) { ($0.stage, $0.drive) = (.cleaning, stick.identity) }
        #expect(device.feed(.driveReady(stick)) == [.journal(journal), .erase(nil, drive: stick.identity)])
    }

    @Test func `a drive that another one was clean for is erased too`() {
        var device = Device.at(.waiting)
        #expect(device.feed(.driveReady(otherStick)).last == .erase(nil, drive: otherStick.identity))
        #expect(device.life.journal.clean == nil)
    }

    @Test func `erasing to waiting to registering: a cleaned drive is registered`() {
        var device = Device.at(.cleaning)
        #expect(device.feed(.erased(report)) == [.journal(Device.cleanJournal), .drawLease])
        #expect(device.life.state == .registering(stick))
    }

    @Test func `registering to preparing: a granted lease formats the drive, and the journal says so first`() {
        var device = Device.at(.registering)
        let journal = changed(device.life.journal) {
            ($0.stage, $0.drive, $0.clean, $0.tunnel, $0.marketTime) =
                (.preparing, stick.identity, nil, target(), UnixTime(device.time))
        }
        #expect(device.grant() == [.journal(journal), .prepareStorage(firstLease, renter)])
        #expect(device.life.phase == .preparing)
    }

    @Test func `preparing to building: the account is on the drive before the journal calls the lease live`() {
        var device = Device.at(.preparing)
        let journal = changed(device.life.journal) { $0.stage = .live }
        #expect(
            device.feed(.storageReady)
                == [.journal(journal), .startContainer(firstLease), .openTunnel(target())])
        #expect(device.life.phase == .building)
    }

    @Test(arguments: [[Event.containerUp, .tunnelUp], [.tunnelUp, .containerUp]])
    func `building to offered: container and tunnel, in either order`(events: [Event]) {
        var device = Device.at(.building)
        device.feed(events[0])
        #expect(device.life.phase == .building)
        device.feed(events[1])
        #expect(device.life.phase == .offered && device.notes.contains(.offered))
    }

    @Test func `offered to leased: the market says it is rented`() {
        var device = Device.at(.offered)
        device.ask()
        let journal = changed(device.life.journal) {
            ($0.rented, $0.expires, $0.marketTime) = (true, UnixTime(Device.end), UnixTime(device.time))
        }
        #expect(device.answer(.rented) == [.journal(journal)])
        #expect(device.life.phase == .leased)
    }

    @Test func `a rented device says at once that it knows`() {
        var device = Device.at(.offered)
        device.answer(.rented)
        #expect(device.wake == device.now)
        #expect(device.feed(.deadline) == [.checkIn(firstLease, phase: .leased, tunnel: .up, fault: nil)])
    }

    @Test func `building to leased: a lease that was rented while it was built`() {
        var device = Device.at(.building)
        device.answer(.rented)
        #expect(device.life.phase == .building)
        device.feed(.containerUp, .tunnelUp)
        #expect(device.life.phase == .leased)
    }

    @Test func `leased to suspended: the drive is pulled`() {
        var device = Device.at(.leased)
        #expect(device.feed(.pulled()) == [.tearDown])
        #expect(device.life.phase == .suspended)
    }

    @Test func `suspended to leased: the drive is back`() {
        var device = Device.at(.suspended)
        #expect(device.feed(.driveReady(stick)) == [.openStorage(firstLease)])
        #expect(device.feed(.storageReady) == [.startContainer(firstLease), .openTunnel(target())])
        #expect(device.life.phase == .leased)
    }

    @Test func `leased to erasing: expired`() {
        var device = Device.at(.leased)
        let journal = changed(device.life.journal) { $0.stage = .erasing }
        #expect(device.expire() == [.journal(journal), .erase(firstLease, drive: stick.identity)])
        #expect(device.notes.contains(.expired) && device.life.phase == .erasing)
    }

    @Test func `leased to erasing: the market ended this lease`() {
        var device = Device.at(.leased)
        let journal = changed(device.life.journal) { $0.stage = .erasing }
        #expect(device.answer(.ended) == [.journal(journal), .erase(firstLease, drive: stick.identity)])
        #expect(device.notes.contains(.endedByMarket))
    }

    @Test(arguments: [Stand.preparing, .building, .offered])
    func `a lease nobody rented ends when the market ends it`(stand: Stand) {
        var device = Device.at(stand)
        #expect(device.answer(.ended).last == .erase(firstLease, drive: stick.identity))
        #expect(device.life.journal.stage == .erasing)
    }

    @Test func `suspended to erasing: expired without its drive, the key dies at once`() {
        var device = Device.at(.suspended)
        let journal = changed(device.life.journal) { $0.stage = .erasing }
        #expect(device.expire() == [.journal(journal), .tearDown, .destroyKey(firstLease)])
        #expect(device.feed(.driveReady(stick)) == [.erase(firstLease, drive: stick.identity)])
    }

    @Test func `erasing to waiting: the receipt is kept before the lease is forgotten, and the next one is drawn`() {
        var device = Device.at(.erasing)
        let time = UnixTime(device.time)
        let journal = changed(Device.cleanJournal) { $0.marketTime = device.life.journal.marketTime }
        #expect(
            device.feed(.erased(report)) == [.keepReceipt(firstLease, finished: time, report), .journal(journal), .drawLease])
    }

    @Test func `erasing to quarantined: a failed erase is journaled`() {
        var device = Device.at(.erasing)
        let journal = changed(device.life.journal) { $0.stage = .quarantined }
        #expect(device.feed(.eraseFailed("old key still opens")) == [.journal(journal)])
        #expect(device.life.phase == .quarantined && device.notes == [.eraseFailed])
    }

    @Test func `quarantined to erasing: the owner acts`() {
        var device = Device.at(.quarantined)
        let journal = changed(device.life.journal) { $0.stage = .erasing }
        #expect(device.feed(.ownerActs) == [.journal(journal), .erase(firstLease, drive: stick.identity)])
    }

    @Test func `quarantined to erasing: the next try`() {
        var device = Device.at(.quarantined)
        #expect(device.pass(seconds: 5) == [.checkIn(firstLease, phase: .quarantined, tunnel: .down, fault: nil)])
        #expect(device.pass(seconds: 8).last == .erase(firstLease, drive: stick.identity))
    }

    @Test func `a tried-again erase that succeeds gives the drive back`() {
        var device = Device.at(.quarantined)
        device.feed(.ownerActs)
        #expect(device.feed(.erased(report)).last == .drawLease)
        #expect(changed(device.life.journal) { $0.marketTime = nil } == Device.cleanJournal)
    }

    @Test(arguments: [Stand.registering, .preparing])
    func `drive gone before the lease lives: waiting`(stand: Stand) {
        var device = Device.at(stand)
        device.feed(.pulled())
        #expect(device.life.state == .waiting(held: nil))
    }

    @Test(arguments: [Stand.building, .offered])
    func `drive gone from a lease nobody rented: it is held`(stand: Stand) {
        var device = Device.at(stand)
        #expect(device.feed(.pulled()) == [.tearDown])
        #expect(device.life.word == "waiting" && device.life.tenancy?.lease == firstLease)
    }
}
