import MarketCore
import Protocol
import Testing

@Suite struct PortTests {
    @Test(arguments: LedgerKind.allCases) func heldPortsAreSkipped(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        bench.world.held = [20_000, 20_002]
        let (_, _, answer) = try bench.offered()
        #expect(answer.terms.tunnel.ports.all == [20_001, 20_003, 20_004])
        #expect(bench.world.events.contains(.portTaken("tunnel.example", 20_002)))
    }

    @Test(arguments: LedgerKind.allCases) func whenAllPortsAreHeldItSaysSo(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        bench.world.held = Set(20_001...20_010)
        let device = try bench.device()
        let lease = try bench.draw()
        #expect(refusal { () throws(MarketError) in try bench.register(device, lease) } == .unavailable)
        #expect(try bench.free() == 12)
    }

    @Test(arguments: LedgerKind.allCases) func aTunnelRefusedLongEnoughGetsOtherPorts(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, answer) = try bench.offered()
        let old = answer.terms.tunnel.ports
        try bench.checkIn(device, lease, .offered, .refused)
        bench.wait(119)
        #expect(try bench.checkIn(device, lease, .offered, .refused).tunnel.ports == old)
        bench.world.held = Set(old.all)
        bench.wait(1)
        let moved = try bench.checkIn(device, lease, .offered, .refused).tunnel.ports
        #expect(Set(moved.all).isDisjoint(with: old.all))
        #expect(try bench.checkIn(device, lease, .offered, .refused).tunnel.ports == moved, "the count starts again")
        #expect(try bench.free() == 9)
    }

    @Test(arguments: LedgerKind.allCases) func aBreakInTheRefusalsStartsTheCountAgain(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, lease, answer) = try bench.offered()
        try bench.checkIn(device, lease, .offered, .refused)
        bench.wait(100)
        try bench.checkIn(device, lease, .offered, .down)
        bench.wait(100)
        #expect(try bench.checkIn(device, lease, .offered, .refused).tunnel == answer.terms.tunnel)
    }

    @Test(arguments: LedgerKind.allCases) func withoutOtherPortsTheDeviceStillHearsItsTerms(kind: LedgerKind) throws {
        let bench = try Bench(kind, ports: 20_000...20_002)
        let (device, lease, answer) = try bench.offered()
        try bench.checkIn(device, lease, .leased, .refused)
        bench.wait(200)
        #expect(try bench.checkIn(device, lease, .leased, .refused).tunnel == answer.terms.tunnel)
        #expect(bench.world.events.contains { if case .stuck = $0 { true } else { false } })
    }

    @Test(arguments: LedgerKind.allCases) func theEmptiestHostIsTaken(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        try bench.market.setTunnelHost(bench.host("second.example", 30_000...30_099))
        #expect(try bench.offered().answer.terms.tunnel.host == "second.example")
    }

    @Test(arguments: LedgerKind.allCases) func aRangeOnlyGrows(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        _ = try bench.offered()
        try bench.market.setTunnelHost(bench.host("tunnel.example", 20_000...20_020))
        #expect(try bench.free() == 18)
        let smaller = bench.host("tunnel.example", 20_000...20_010)
        #expect(refusal { () throws(MarketError) in try bench.market.setTunnelHost(smaller) } == .conflict)
        let withSSH = bench.host("third.example", 20_000...20_010)
        var overlapping = withSSH
        overlapping.sshPort = 20_005
        #expect(refusal { () throws(MarketError) in try bench.market.setTunnelHost(overlapping) } == .badRequest)
    }

    /// Devices come, change their lease, rent, end and expire at random; at every step no port is in two running leases, and free and
    /// taken ports add up.
    @Test(arguments: LedgerKind.allCases, [1, 2, 3] as [UInt64]) func noPortIsEverInTwoLeases(kind: LedgerKind, seed: UInt64) throws {
        let bench = try Bench(kind, ports: 20_000...20_040)
        bench.world.state = seed
        let devices = try (0..<16).map { try bench.device("d\($0)") }
        for step in 0..<400 {
            let draw = try bench.world.randomBytes(3)
            let index = Int(draw[0]) % devices.count
            let device = devices[index]
            bench.world.held = draw[2] < 64 ? [20_000 + Int64(draw[2]) % 41] : []
            switch draw[1] % 6 {
            case 0, 1, 2:
                let lease = try bench.draw()
                _ = refusal { () throws(MarketError) in try bench.register(device, lease, key: index) }
            case 3:
                if let lease = try bench.ledger.latestLease(of: device.id) { try bench.checkIn(device, lease.id) }
                _ = refusal { () throws(MarketError) in try bench.market.rent(device, seconds: 50, sshKeys: [], at: bench.now) }
            case 4: _ = refusal { () throws(MarketError) in try bench.market.end(device, at: bench.now) }
            default:
                bench.wait(20)
                _ = try bench.market.sweep(at: bench.now)
            }
            var seen: Set<Int64> = []
            for device in devices {
                guard let lease = try bench.ledger.latestLease(of: device.id), lease.state != .ended else { continue }
                for port in lease.ports.all { #expect(seen.insert(port).inserted, "port \(port) twice at step \(step), seed \(seed)") }
            }
            #expect(Int64(seen.count) + (try bench.free()) == 41)
        }
    }

    @Test(arguments: LedgerKind.allCases) func sshdHearsOnlyOfTheLeasesOwnPorts(kind: LedgerKind) throws {
        let bench = try Bench(kind)
        let (device, _, _) = try bench.offered()
        let line =
            "restrict,port-forwarding,permitlisten=\"0.0.0.0:20000\",permitlisten=\"127.0.0.1:20001\","
            + "permitlisten=\"127.0.0.1:20002\" " + Bench.key(1)
        #expect(try bench.market.authorizedKeys(for: Bench.key(1), at: bench.now) == line)
        #expect(try bench.market.authorizedKeys(for: Bench.key(2), at: bench.now) == nil)
        _ = try bench.market.rent(device, seconds: 60, sshKeys: [], at: bench.now)
        #expect(try bench.market.authorizedKeys(for: Bench.key(1), at: bench.now) == line)
        bench.wait(60)
        #expect(try bench.market.authorizedKeys(for: Bench.key(1), at: bench.now) == nil, "even before the sweep notes the end")
    }
}
