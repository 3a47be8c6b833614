import Protocol
import Testing

@testable import GovernorCore

/// The market is a witness, not a weapon: what is believed of its answers.
@Suite struct AnswerTests {
    /// Answers to the check-in of a leased device that must change nothing but the log and the backoff.
    static let lies: [(String, @Sendable (Device) -> LeaseTerms)] = [
        ("another lease", { $0.terms(.rented, secondLease) }),
        ("another lease, ended", { $0.terms(.ended, secondLease) }),
        ("offered: an old backup forgot the rental", { $0.terms(.offered) }),
        ("an expiration before the known one", { $0.terms(.rented, expires: Device.end - 1) }),
        ("an expiration before the answer's own time", { $0.terms(.rented, expires: $0.time - 1) }),
        ("a clock that jumped 5,000 s ahead", { $0.terms(.rented, time: $0.time + 5_000) }),
        ("a clock in 2038", { $0.terms(.rented, expires: 2_147_483_648 + 60, time: 2_147_483_648) }),
        ("ended, from a clock in 2038", { $0.terms(.ended, time: 2_147_483_648) }),
        ("ended, from a clock that jumped 5,000 s ahead", { $0.terms(.ended, time: $0.time + 5_000) }),
    ]

    @Test(arguments: lies.indices)
    func `a leased device does not believe`(index: Int) {
        var device = Device.at(.leased)
        let before = device.life.journal
        #expect(device.answer(Self.lies[index].1) == [], "\(Self.lies[index].0)")
        #expect(device.notes == [.answerRefused] && device.life.journal == before && device.life.phase == .leased)
        #expect(device.life.contact.failures == 1)
    }

    @Test(arguments: lies.indices)
    func `a suspended device does not believe`(index: Int) {
        var device = Device.at(.suspended)
        let before = device.life.journal
        #expect(device.answer(Self.lies[index].1) == [], "\(Self.lies[index].0)")
        #expect(device.life.journal == before && device.life.phase == .suspended)
    }

    @Test func `a clock that jumped once does not move the end`() {
        var device = Device.at(.leased)
        let end = device.life.end
        device.answer { $0.terms(.rented, time: $0.time + 100_000) }
        #expect(device.life.end == end)
    }

    @Test func `300 seconds ahead are still believed`() {
        var device = Device.at(.leased)
        device.answer { $0.terms(.rented, time: $0.time + 300) }
        #expect(device.notes.contains(.checkedIn))
    }

    @Test func `a clock that falls back lengthens a lease and ends nothing`() {
        var device = Device.at(.leased)
        device.answer { $0.terms(.rented, time: $0.time - 3_600) }
        #expect(device.expire().allSatisfy { !$0.isDestructive })
        #expect(device.life.phase == .leased)
    }

    @Test func `an extension is journaled`() {
        var device = Device.at(.leased)
        device.ask()
        let journal = changed(device.life.journal) { ($0.expires, $0.marketTime) = (UnixTime(Device.end + 3_600), UnixTime(device.time)) }
        #expect(device.answer { $0.terms(.rented, expires: Device.end + 3_600) } == [.journal(journal)])
        #expect(device.notes.contains(.extended))
    }

    @Test func `an extended lease outlives the old end`() {
        var device = Device.at(.leased)
        device.answer { $0.terms(.rented, expires: Device.end + 3_600) }
        #expect(device.expire().allSatisfy { !$0.isDestructive } && device.life.phase == .leased)
        #expect(device.pass(seconds: 3_600).last == .erase(firstLease, drive: stick.identity))
    }

    @Test func `the same answer again writes nothing`() {
        var device = Device.at(.leased)
        #expect(device.answer(.rented) == [])
    }

    @Test func `400 failures of any kind end nothing before the known end`() {
        var device = Device.at(.leased)
        var random = Jitter(seed: 7)
        device.answer { $0.terms(.rented, expires: noon + 400 * 86_400) }
        // A clock that is ahead and ends nothing is believed when it is said for long.
        let lies = Self.lies.filter { $0.0 != "a clock that jumped 5,000 s ahead" }
        for _ in 1...400 {
            let lie = lies[Int(random.next() % UInt64(lies.count))].1
            device.ask()
            switch random.next() % 4 {
            case 0: device.feed(.checkInFailed("HTTP 500"))
            case 1: device.feed(.checkInFailed("expected JSON, found \"<html>\""))
            case 2: device.feed(.checkInFailed("TLS: unknown authority"))
            default: device.answer(lie)
            }
            #expect(device.last.allSatisfy { !$0.isGrave && !$0.isJournal } && device.life.phase == .leased)
        }
        #expect(device.life.contact.failures == 400)
    }

    @Test func `past the known end the device acts by itself, without the market`() {
        var device = Device.at(.leased)
        for _ in 1...3 { device.failCheckIn() }
        #expect(device.expire().last == .erase(firstLease, drive: stick.identity))
    }

    @Test func `one second before the end nothing is erased`() {
        var device = Device.at(.leased)
        #expect(device.pass(seconds: Device.end - device.time - 1).allSatisfy { !$0.isDestructive })
        #expect(device.pass(seconds: 1).last == .erase(firstLease, drive: stick.identity))
    }

    @Test func `after a boot without network a lease never ends`() {
        var device = Device.at(.leased).restarted()
        device.feed(.driveReady(stick), .storageReady)
        for _ in 1...50 { device.failCheckIn() }
        #expect(device.pass(seconds: 3_000_000).allSatisfy { !$0.isDestructive } && device.life.phase == .leased)
    }

    @Test func `two check-ins go out shortly before the end`() {
        var device = Device.at(.leased)
        for left in [120, 30] as [Int64] {
            device.answer { $0.terms(.rented, checkIn: 86_400) }
            #expect(device.wake == device.life.end?.adding(seconds: -left))
            let said = device.pass(seconds: Device.end - left - device.time)
            #expect(said == [.checkIn(firstLease, phase: .leased, tunnel: .up, fault: nil)])
        }
    }

    @Test func `an end by a market that forgot the rental, or an extension of it, is none`() {
        var device = Device.at(.leased)
        device.answer { $0.terms(.rented, expires: Device.end + 3_600) }
        for expires in [Device.end, 0] {
            let actions = device.answer {
                var terms = $0.terms(.ended, expires: expires)
                if expires == 0 { terms.expires = nil }
                return terms
            }
            #expect(!actions.contains { $0.isDestructive } && device.notes == [.answerRefused] && device.life.phase == .leased)
        }
        #expect(device.answer { $0.terms(.ended, expires: Device.end + 3_600) }.contains(.erase(firstLease, drive: stick.identity)))
    }

    @Test func `after a boot a market that forgot a lease tells the time all the same: the lease ends in time, and not before`() {
        for forgot in [true, false] {
            var device = Device.at(.leased).restarted()
            device.feed(.driveReady(stick), .storageReady)
            device.ask()
            if forgot {
                device.feed(.leaseUnknown(UnixTime(Device.end - 100)))
            } else {
                device.answer { $0.terms(.offered, time: Device.end - 100) }
            }
            #expect(device.life.phase == .leased && device.life.clock.time(at: device.now) == UnixTime(Device.end - 100))
            #expect(!device.pass(seconds: 98).contains { $0.isDestructive })
            #expect(device.pass(seconds: 3).contains(.erase(firstLease, drive: stick.identity)))
        }
    }

    @Test func `an extension in that last check-in comes in time`() {
        var device = Device.at(.leased)
        device.answer { $0.terms(.rented, checkIn: 86_400) }
        device.answer { $0.terms(.rented, expires: Device.end + 60) }
        #expect(device.pass(seconds: 30) == [] && device.life.phase == .leased)
    }

    @Test func `ports changed: the tunnel moves, and the journal knows first`() {
        var device = Device.at(.leased)
        let journal = changed(device.life.journal) { $0.tunnel = target(ssh: 30_000) }
        #expect(device.answer { $0.terms(.rented, ssh: 30_000) } == [.journal(journal), .openTunnel(target(ssh: 30_000))])
        #expect(device.life.tenancy?.target == target(ssh: 30_000))
    }

    @Test func `ports changed while suspended: the tunnel opens there when the drive is back`() {
        var device = Device.at(.suspended)
        #expect(device.answer { $0.terms(.rented, ssh: 30_000) } == [.journal(device.life.journal)])
        #expect(device.feed(.driveReady(stick)) == [.openStorage(firstLease)])
        #expect(device.feed(.storageReady).contains(.openTunnel(target(ssh: 30_000))))
    }

    @Test func `keys changed: they are authorized, and the journal knows first`() {
        var device = Device.at(.leased)
        let journal = changed(device.life.journal) { $0.sshKeys = [keyLine] }
        #expect(device.answer { $0.terms(.rented, keys: [keyLine]) } == [.journal(journal), .authorize([keyLine])])
    }

    @Test func `keys taken away are taken away`() {
        var device = Device.at(.leased)
        device.answer { $0.terms(.rented, keys: [keyLine]) }
        #expect(device.answer { $0.terms(.rented) }.last == .authorize([]))
    }

    @Test func `keys come back with the drive`() {
        var device = Device.at(.leased)
        device.answer { $0.terms(.rented, keys: [keyLine]) }
        device.feed(.pulled(), .driveReady(stick))
        #expect(device.feed(.storageReady) == [.startContainer(firstLease), .authorize([keyLine]), .openTunnel(target())])
    }

    @Test func `the market sets the pace`() {
        var device = Device.at(.leased)
        device.answer { $0.terms(.rented, checkIn: 60) }
        #expect(device.wake == device.now.adding(seconds: 60))
    }

    @Test func `a refused answer to a registration is asked for again, later`() {
        var device = Device.at(.registering)
        #expect(device.feed(.registered(RegisterAnswer(terms: device.terms(.offered, secondLease), account: renter))) == [])
        #expect(device.notes == [.answerRefused] && device.life.state == .registering(stick))
        #expect(device.pass(seconds: 3) == [.register(firstLease)])
    }

    @Test func `a grant without an account prepares nothing`() {
        var device = Device.at(.registering)
        #expect(device.grant(account: nil) == [] && device.notes == [.answerRefused])
    }

    @Test func `a lease that the market has ended already gets a new name`() {
        var device = Device.at(.registering)
        let journal = changed(device.life.journal) { $0.forgetLease() }
        #expect(device.grant(.ended) == [.journal(journal), .drawLease])
        #expect(device.feed(.leaseDrawn(secondLease)).last == .register(secondLease))
    }

    @Test func `a failed registration is tried again under the same name`() {
        var device = Device.at(.registering)
        #expect(device.feed(.registrationFailed("HTTP 503")) == [])
        #expect(device.pass(seconds: 3) == [.register(firstLease)])
    }

    @Test func `while erasing an answer sets the clock and no more`() {
        var device = Device.at(.erasing)
        let before = device.life.journal
        #expect(device.answer { $0.terms(.rented, expires: Device.end + 9_000) } == [])
        #expect(device.life.journal == before && device.life.phase == .erasing)
    }
}

/// A market that does not know the lease any more, under its seal.
@Suite struct UnknownLeaseTests {
    @Test func `an unrented lease that the market lost is erased and another is asked for`() {
        var device = Device.at(.offered)
        device.ask()
        #expect(device.feed(.leaseUnknown(nil)).contains(.erase(firstLease, drive: stick.identity)))
    }

    @Test func `a rented lease goes on though the market lost it`() {
        var device = Device.at(.leased)
        device.ask()
        #expect(!device.feed(.leaseUnknown(nil)).contains { $0.isDestructive } && device.life.phase == .leased)
    }

    @Test func `nobody asked: it means nothing`() {
        var device = Device.at(.offered)
        #expect(!device.feed(.leaseUnknown(nil)).contains { $0.isDestructive } && device.life.phase == .offered)
    }
}
