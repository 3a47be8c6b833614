import Protocol
import Testing

@testable import GovernorCore

/// Fail closed: a drive whose erase was not verified is offered to nobody.
@Suite struct QuarantineTests {
    @Test func `a failed erase registers nothing, however often it fails`() {
        var device = Device.at(.erasing)
        for _ in 1...20 {
            #expect(device.feed(.eraseFailed("samples equal")).allSatisfy { !$0.isGrave })
            #expect(device.life.phase == .quarantined && device.life.journal.clean == nil)
            device.pass(seconds: 4_600)
            #expect(device.life.phase == .erasing)
        }
    }

    @Test func `tries come less and less often, an hour apart at most`() {
        var device = Device.at(.erasing)
        var gaps: [Int64] = []
        for _ in 1...12 {
            device.feed(.eraseFailed("samples equal"))
            gaps.append((device.life.retryAt ?? device.now).seconds(since: device.now))
            device.feed(.ownerActs)
        }
        #expect((7...12).contains(gaps[0]) && gaps[1] > gaps[0] && gaps[11] >= 2_700 && gaps.allSatisfy { $0 <= 4_500 })
    }

    @Test func `it survives a restart`() {
        var device = Device.at(.quarantined).restarted()
        #expect(device.life.phase == .quarantined && device.life.lamp == .sos)
        #expect(device.feed(.driveReady(stick)) == [])
        let journal = changed(device.life.journal) { $0.stage = .erasing }
        let actions = device.feed(.deadline)
        #expect(actions.prefix(2) == [.journal(journal), .erase(firstLease, drive: stick.identity)])
        // The market hears of it too, even where the drive never comes back.
        #expect(actions.contains(.checkIn(firstLease, phase: .erasing, tunnel: .down, fault: nil)))
    }

    @Test func `after a restart the drive is still quarantined while another one serves`() {
        var device = Device.at(.quarantined).restarted()
        #expect(device.feed(.driveReady(otherStick)).last == .erase(nil, drive: otherStick.identity))
        device = device.restarted()
        #expect(device.life.journal.owed == [OwedErase(drive: stick.identity, lease: firstLease, failed: true)])
        #expect(device.feed(.driveReady(stick), .erased(report)).contains { $0 == .drawLease } && device.life.journal.owed == [])
    }

    @Test func `the owner can't make it try without the drive`() {
        var device = Device.at(.quarantinedAway)
        #expect(device.feed(.ownerActs) == [] && device.life.phase == .quarantined)
    }

    @Test func `it is tried at once when the drive comes back`() {
        var device = Device.at(.quarantinedAway)
        device.feed(.driveReady(stick))
        #expect(device.wake == device.now)
        #expect(device.feed(.deadline).contains(.erase(firstLease, drive: stick.identity)))
    }

    @Test func `a failed clean-up before the first tenant is quarantined too`() {
        var device = Device.at(.cleaning)
        #expect(device.feed(.eraseFailed("write error")) == [.journal(device.life.journal)] && device.life.lamp == .sos)
        #expect(device.life.journal.owed == [OwedErase(drive: stick.identity, lease: nil, failed: true)])
    }

    @Test func `after a restart a failed clean-up is a clean-up again, and leaves no receipt`() {
        var device = Device.at(.cleaning)
        device.feed(.eraseFailed("write error"))
        device = device.restarted()
        #expect(device.feed(.driveReady(stick)).contains(.erase(nil, drive: stick.identity)))
    }

    @Test func `and cleaned when it works`() {
        var device = Device.at(.cleaning)
        device.feed(.eraseFailed("write error"))
        #expect(device.feed(.ownerActs) == [.erase(nil, drive: stick.identity)])
        #expect(device.feed(.erased(report)).last == .drawLease)
    }

    @Test(arguments: LeaseState.allCases)
    func `the market can't talk a device out of it`(state: LeaseState) {
        var device = Device.at(.quarantined)
        #expect(device.answer(state) == [] && device.life.phase == .quarantined)
    }

    @Test(arguments: [Stand.erasing, .cleaning])
    func `an erase cut by a power failure is done again, whole`(stand: Stand) {
        var device = Device.at(stand).restarted()
        let again = device.feed(.driveReady(stick))
        #expect(again.last == .erase(stand == .erasing ? firstLease : nil, drive: stick.identity))
    }

    @Test func `a drive that ended while away is erased when it is back, across a restart`() {
        var device = Device.at(.suspended)
        device.expire()
        device = device.restarted()
        #expect(device.feed(.driveReady(stick)) == [.erase(firstLease, drive: stick.identity)])
    }

    @Test func `a key whose destruction was cut by a power failure is destroyed at the next start`() {
        var device = Device.at(.suspended)
        device.expire()
        var again = Device(device.life.journal)
        #expect(again.feed(.started).contains(.destroyKey(firstLease)))
    }
}
