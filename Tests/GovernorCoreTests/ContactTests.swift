import Protocol
import Testing

@testable import GovernorCore

/// When the market is spoken to.
@Suite struct ContactTests {
    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 1 << 63])
    func `backoff doubles with a quarter of jitter either way, and stops at the longest`(seed: UInt64) {
        var backoff = Backoff(first: 2_000, longest: 600_000)
        var jitter = Jitter(seed: seed)
        for failure in 0..<100 {
            let plain = min(2_000 << Int64(min(failure, 9)), 600_000)
            let wait = backoff.fail(at: .seconds(0), &jitter).nanoseconds / 1_000_000
            #expect(wait >= plain * 3 / 4 && wait < plain * 5 / 4)
        }
    }

    @Test func `jitter differs from device to device`() {
        let waits = (UInt64(0)..<64).map { seed in
            var jitter = Jitter(seed: seed)
            return jitter.spread(milliseconds: 600_000)
        }
        #expect(Set(waits).count > 60)
    }

    @Test func `jitter can be repeated`() {
        var one = Jitter(seed: 9)
        var other = Jitter(seed: 9)
        for _ in 0..<10 {
            let number = one.next()
            #expect(other.next() == number)
        }
    }

    @Test func `SplitMix64 gives its known numbers`() {
        var jitter = Jitter(seed: 1_234_567)
        let numbers = [jitter.next(), jitter.next()]
        #expect(numbers == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973])
    }

    @Test(arguments: [Int64(0), 1, 2, 3])
    func `a wait of next to nothing does not trap`(milliseconds: Int64) {
        var jitter = Jitter(seed: 1)
        let wait = jitter.spread(milliseconds: milliseconds)
        #expect((0...milliseconds).contains(wait))
    }

    @Test func `success starts the backoff anew`() {
        var backoff = Backoff(first: 2_000, longest: 600_000)
        var jitter = Jitter(seed: 1)
        for _ in 1...9 { _ = backoff.fail(at: .seconds(0), &jitter) }
        backoff.succeed()
        let again = backoff.fail(at: .seconds(0), &jitter)
        #expect(backoff.failures == 1 && again < .seconds(3))
    }

    @Test func `a short interval bounds the backoff`() {
        var contact = Contact()
        var jitter = Jitter(seed: 1)
        contact.interval = 10
        for _ in 1...12 { contact.fail(at: .seconds(0), &jitter) }
        #expect(contact.due.map { $0 < .seconds(13) } == true)
    }

    @Test func `however long the market was away, it is asked again within minutes`() {
        var contact = Contact()
        var jitter = Jitter(seed: 1)
        for _ in 1...100 { contact.fail(at: .seconds(0), &jitter) }
        #expect(contact.due.map { $0 > .seconds(89) && $0 < .seconds(150) } == true)
    }

    @Test func `the owner's word cuts the backoff short, and nothing else`() {
        var contact = Contact()
        var jitter = Jitter(seed: 1)
        contact.succeed(at: .seconds(0), before: nil)
        contact.again(at: .seconds(1))
        #expect(contact.due == .seconds(600))
        contact.fail(at: .seconds(600), &jitter)
        contact.again(at: .seconds(601))
        #expect(contact.due == .seconds(601) && contact.failures == 1)
        contact.send()
        contact.again(at: .seconds(602))
        #expect(contact.due == nil)
    }

    @Test func `news goes out at once`() {
        var contact = Contact()
        contact.soon(at: .seconds(5))
        #expect(contact.due == .seconds(5))
    }

    @Test func `news does not shorten the backoff`() {
        var contact = Contact()
        var jitter = Jitter(seed: 1)
        contact.fail(at: .seconds(0), &jitter)
        let due = contact.due
        contact.soon(at: .seconds(0))
        #expect(contact.due == due)
    }

    @Test func `news during a message goes out after it`() {
        var contact = Contact()
        contact.send()
        contact.soon(at: .seconds(5))
        #expect(contact.due == nil)
        contact.succeed(at: .seconds(6), before: nil)
        #expect(contact.due == .seconds(6))
    }

    @Test func `all well: once an interval`() {
        var contact = Contact()
        contact.send()
        contact.succeed(at: .seconds(5), before: nil)
        #expect(contact.due == .seconds(605) && !contact.isUnderWay)
    }

    /// Seconds to the end, then seconds to the next check-in, at an interval of 600 s.
    @Test(arguments: [
        (Int64(10_000), Int64(600)), (720, 600), (719, 599), (121, 1), (120, 90), (100, 70), (31, 1), (30, 600), (1, 600), (-5, 600),
    ])
    func `two check-ins fall shortly before the end`(end: Int64, next: Int64) {
        var contact = Contact()
        contact.succeed(at: .seconds(1_000), before: .seconds(1_000 + end))
        #expect(contact.due == .seconds(1_000 + next))
    }

    @Test func `resting says nothing`() {
        var contact = Contact()
        contact.soon(at: .seconds(5))
        contact.rest()
        #expect(contact == Contact())
    }

    @Test func `three failures in a row are a failing market`() {
        var contact = Contact()
        var jitter = Jitter(seed: 1)
        for count in 1...3 {
            contact.fail(at: .seconds(0), &jitter)
            #expect(contact.isFailing == (count == 3))
        }
    }

    @Test func `a market that does not answer is asked at once when the owner acts`() {
        var device = Device.at(.leased)
        for _ in 1...12 {
            device.ask()
            device.feed(.checkInFailed("timeout"))
        }
        #expect(device.pass(seconds: 1) == [])
        device.feed(.ownerActs)
        #expect(device.wake == device.now)
        #expect(device.pass(seconds: 0).contains { if case .checkIn = $0 { true } else { false } })
    }
}
