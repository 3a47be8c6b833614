import Protocol
import Testing

@testable import GovernorCore

/// A whole lease in a tiny world, cut before each of its actions: the card alone says how it goes on.
@Suite struct RestartTests {
    /// Goes on until the second lease is offered.
    private static func run(_ world: inout World, steps: Int = 2_000) {
        for _ in 0..<steps {
            if world.receipts.count >= 1, world.life.phase == .offered || world.life.phase == .leased { return }
            guard world.step() else { break }
        }
        world.promise(false, "never offered again: \(world.life.word)")
    }

    /// The actions of a whole lease that nothing disturbs.
    static let whole: Int = {
        var world = World()
        run(&world)
        return world.performed
    }()

    @Test func `a lease runs whole, from an unknown drive to the next lease`() {
        var world = World()
        Self.run(&world)
        #expect(world.broken == [] && world.receipts.count == 1 && world.registered.count == 2 && world.drawn == 2)
        #expect(world.key != nil && world.key == world.life.tenancy?.lease, "the old key is gone, the new one is there")
    }

    @Test(arguments: [true, false])
    func `each start is counted in the journal before its first check-in is sent`(rebooted: Bool) {
        var device = Device.at(.leased).restarted(rebooted: rebooted)
        let counted = changed(device.life.journal) { $0.starts = 2 }
        #expect(device.feed(.deadline) == [.journal(counted), .checkIn(firstLease, phase: .suspended, tunnel: .down, fault: nil)])
        #expect(device.feed(.checkInFailed("x")) == [] && device.pass(seconds: 3_600).count == 1, "and not again")
    }

    @Test(arguments: [Stand.cleaning, .preparing, .erasing, .quarantined])
    func `what may stand open from before is closed, for its drive may be gone`(stand: Stand) {
        var device = Device(Device.at(stand).life.journal)
        #expect(device.feed(.started).contains(.tearDown))
    }

    @Test func `there is much to cut`() { #expect(Self.whole > 30) }

    @Test(arguments: World.Cut.allCases)
    func `cut before any action, it resumes and keeps the promises`(cut: World.Cut) {
        for place in 0..<Self.whole {
            var world = World()
            (world.cutAt, world.cut) = (place, cut)
            Self.run(&world)
            #expect(world.broken == [], "cut by \(cut) before action \(place)")
        }
    }

    @Test func `cut twice, at any two places, it resumes and keeps the promises`() {
        for first in 0..<Self.whole {
            for second in first + 1..<Self.whole + 8 {
                var world = World()
                world.cutAt = first
                while world.performed <= first, world.step() {}
                (world.cutAt, world.cut) = (second, .restart)
                Self.run(&world)
                #expect(world.broken == [], "cut before actions \(first) and \(second)")
            }
        }
    }

    @Test func `cut at every action of a rented lease: the same lease, and no second registration`() {
        for place in 0..<Self.whole {
            var world = World()
            world.cutAt = place
            while world.life.phase != .leased, world.step() {}
            let lease = world.life.tenancy?.lease
            let registrations = world.registered.count
            world.crash(.reboot)
            while world.life.phase != .leased, world.step() {}
            #expect(world.life.tenancy?.lease == lease && world.registered.count == registrations && world.broken == [])
        }
    }

    @Test func `a market that is down from the start: nothing happens to the drive but its cleaning`() {
        var world = World()
        world.marketIsUp = false
        for _ in 0..<500 { _ = world.step() }
        #expect(world.broken == [] && world.content == .clean && Set(world.registered).count == 1 && world.key == nil)
    }

    @Test func `a market that goes down during the lease: it ends by itself, at its end`() {
        var world = World()
        while world.life.phase != .leased || world.life.contact.isUnderWay, world.step() {}
        world.marketIsUp = false
        let expires = world.card.expires?.seconds ?? 0
        while world.life.phase == .leased, world.step() {}
        #expect(world.time >= expires && world.time <= expires + 5 && world.broken == [])
    }

    @Test func `a reboot while the market is down: the lease goes on past its end, until an answer`() {
        var world = World()
        while world.life.phase != .leased || world.life.contact.isUnderWay, world.step() {}
        world.marketIsUp = false
        world.crash(.reboot)
        for _ in 0..<300 { _ = world.step() }
        #expect(world.life.phase == .leased && world.time > (world.card.expires?.seconds ?? 0) && world.broken == [])
        world.marketIsUp = true
        while world.receipts.isEmpty, world.step() {}
        #expect(world.receipts.count == 1 && world.broken == [])
    }
}

/// Hundreds of worlds where things go wrong at random. A seed repeats its world.
@Suite struct FaultTests {
    @Test(arguments: UInt64(1)...300)
    func `whatever happens, the promises hold and the device works again`(seed: UInt64) {
        var world = World(seed: seed)
        world.isFaulty = true
        var chance = Jitter(seed: seed)
        for _ in 0..<600 {
            switch chance.next() % 40 {
            case 0: world.crash(.reboot)
            case 1: world.crash(.restart)
            case 2:
                world.plug(nil)
            case 3, 4: world.plug(stick)
            case 5: world.plug(otherStick)
            case 6: world.marketIsUp.toggle()
            case 7: world.queue.append(.containerDown("OOM"))
            case 8: world.queue.append(.tunnelDown("reset"))
            case 9: world.queue.append(contentsOf: [.containerUp, .tunnelUp])
            case 10: world.queue.append(.ownerActs)
            case 11: world.queue.append(.checkInFailed("garbage"))
            case 12: world.elapsed += Int64(chance.next() % 5_000)
            case 13, 14: world.lie = World.Lie.allCases[Int(chance.next() % UInt64(World.Lie.allCases.count))]
            case 15, 16: world.lie = nil
            case 17: world.eraseFails = true
            case 18, 19: world.eraseFails = false
            case 21: world.queue.append(.driveWanted("look \(chance.next() % 3)"))
            case 20: world.queue.append(.driveHealth(DriveHealth.allCases[Int(chance.next() % 4)]))
            default: break
            }
            _ = world.step()
        }
        (world.marketIsUp, world.lie, world.eraseFails) = (true, nil, false)
        for drive in [stick, otherStick] {
            // Each drive in turn: what was owed to it is paid, and it serves again.
            world.plug(drive)
            world.crash(.reboot)
            let before = world.receipts.count
            for _ in 0..<3_000 where world.receipts.count < before + 2 { _ = world.step() }
            #expect(world.broken == [])
            #expect(world.receipts.count >= before + 2, "stuck in \(world.life.word) with \(drive.identity)")
        }
        #expect(world.card.owed == [])
        #expect(Set(world.contents.values).isDisjoint(with: Set(world.receipts.map { World.Content.lease($0) })))
    }
}
