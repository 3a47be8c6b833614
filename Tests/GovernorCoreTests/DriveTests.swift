import Protocol
import Testing

@testable import GovernorCore

/// Drives that come, go, fail, and are not the right ones; containers and tunnels that mend themselves.
@Suite struct DriveTests {
    /// What the loss of the drive brings in each state, and the state after it.
    static let gone: [(Stand, [Action], String)] = [
        (.waiting, [], "waiting"), (.held, [], "waiting"), (.cleaning, [], "erasing"), (.drawing, [], "waiting"),
        (.registering, [], "waiting"), (.preparing, [.tearDown], "waiting"), (.building, [.tearDown], "waiting"),
        (.offered, [.tearDown], "waiting"), (.leased, [.tearDown], "suspended"), (.suspended, [], "suspended"),
        (.erasing, [], "erasing"), (.erasingAway, [], "erasing"), (.quarantined, [], "quarantined"), (.quarantinedAway, [], "quarantined"),
    ]

    @Test(arguments: gone.indices)
    func `the drive goes in each state`(index: Int) {
        let (stand, actions, word) = Self.gone[index]
        var device = Device.at(stand)
        let before = device.life.journal
        #expect(device.feed(.driveGone("pulled")) == actions)
        #expect(device.life.word == word && device.life.journal == before)
    }

    @Test func `the table of gone drives has every state`() { #expect(Set(Self.gone.map(\.0)) == Set(Stand.allCases)) }

    @Test func `a drive that goes while its lease is asked for: the same lease is asked for again`() {
        var device = Device.at(.registering)
        device.feed(.driveGone("pulled"))
        #expect(device.feed(.driveReady(stick)) == [.register(firstLease)])
    }

    @Test func `a drive that goes while it is formatted is erased, then its lease is asked for again`() {
        var device = Device.at(.preparing)
        device.feed(.driveGone("pulled"))
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

    @Test func `a held lease is given up for another drive, which is erased first`() {
        var device = Device.at(.held)
        #expect(device.feed(.driveReady(otherStick)).last == .erase(nil, drive: otherStick.identity))
        #expect(device.life.journal.lease == nil)
    }

    @Test(arguments: [Stand.suspended, .erasingAway, .quarantinedAway])
    func `another drive in its place is not touched`(stand: Stand) {
        var device = Device.at(stand)
        let before = device.life.journal
        #expect(device.feed(.driveReady(otherStick)) == [] && device.notes.contains(.driveForeign))
        #expect(device.life.journal == before)
        #expect(device.feed(.driveGone("pulled"), .driveReady(stick)).contains { $0 == .openStorage(firstLease) } || stand != .suspended)
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

    @Test func `a leased device with another drive in its place still expires, and erases only its own`() {
        var device = Device.at(.suspended)
        device.feed(.driveReady(otherStick))
        #expect(device.expire().suffix(2) == [.tearDown, .destroyKey(firstLease)])
        #expect(device.feed(.driveGone("pulled")).allSatisfy { !$0.isDestructive })
        #expect(device.feed(.driveReady(stick)) == [.erase(firstLease, drive: stick.identity)])
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
        device.feed(.storageFailed("mkfs"))
        #expect(device.life.state == .waiting(held: nil))
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
        device.feed(.driveReady(stick), .driveGone("pulled"))
        #expect(device.feed(.storageReady) == [] && device.life.phase == .suspended)
    }

    @Test func `a device that is erased after its drive went waits for it`() {
        var device = Device.at(.erasing)
        device.feed(.driveGone("pulled"))
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
