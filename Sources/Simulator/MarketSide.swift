import GovernorCore
import MarketCore
import Protocol

/// What the market's rules need of a machine: numbers of the seed, the ports that somebody listens on, signatures that are words.
final class MarketMachine: MarketWorld {
    private var chance: Chance
    private let tunnels: TunnelServer

    init(seed: UInt64, tunnels: TunnelServer) {
        chance = Chance(seed: seed)
        self.tunnels = tunnels
    }

    func randomBytes(_ count: Int) throws(MarketError) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: chance.next() >> 17) }
    }

    func isFree(_ port: Int64, on host: TunnelHost) -> Bool { tunnels.isFree(port) }

    func isSigned(_ statement: String, _ signature: String, with key: String) throws(MarketError) -> Bool {
        signature == "signed with " + key
    }

    func note(_ event: MarketEvent) {}
}

/// The market: the real rules over a ledger in memory, up or down, and a backup of some time ago.
final class MarketSide {
    static let host = "tunnel.example"

    let ledger = MemoryLedger()
    let rules: Market<MemoryLedger, MarketMachine>
    var isUp = true
    /// Whether it ever fell back to a backup: what it forgot it can't answer for.
    private(set) var hasForgotten = false
    private var backup: MemoryLedger.Contents?
    private var requests = 0

    init(seed: UInt64, tunnels: TunnelServer) {
        rules = Market(store: ledger, world: MarketMachine(seed: seed, tunnels: tunnels))
    }

    /// An owner and a tunnel host with few ports, so that they are used again soon.
    func open(_ universe: Universe) {
        let host = TunnelHost(
            host: Self.host, sshPort: 22, user: "tunnel", hostKey: Self.key(0), bind: "0.0.0.0", range: 20_000...20_017, isLocal: true)
        do throws(MarketError) {
            try rules.addOwner("olga", at: universe.time)
            try rules.setTunnelHost(host)
        } catch { universe.promises.breaks("the market did not open") }
    }

    /// A public key that is told apart by a number.
    static func key(_ number: Int) -> String {
        let digits = String(number)
        return "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + String(repeating: "A", count: 43 - digits.utf8.count) + digits
    }

    func newDevice(_ number: Int, at time: UnixTime) -> DeviceID? {
        do throws(MarketError) { return try rules.addDevice(owner: "olga", name: "pi\(number)", at: time).device.id } catch { return nil }
    }

    func keepBackup() { backup = ledger.contents }

    /// The operator restores the last backup. False where there is none.
    func fallBack() -> Bool {
        guard let backup else { return false }
        ledger.contents = backup
        hasForgotten = true
        return true
    }

    /// It serves again, after whatever kept it from it.
    func start(in universe: Universe) {
        do throws(MarketError) { try rules.reopen() } catch { universe.promises.breaks("the market did not start") }
        isUp = true
    }

    /// One request of a device and its answer.
    func answer(_ request: Request, from device: DeviceID, in universe: Universe) -> Answer {
        do throws(MarketError) {
            switch request {
            case .register(let body): return .registered(try rules.register(body, from: device, at: universe.time))
            case .checkIn(let body): return .checkedIn(try rules.checkIn(body, from: device, at: universe.time))
            case .waiting(let body): return .waited(try rules.note(body, from: device, at: universe.time))
            case .receipt(let body): return .received(try rules.keepReceipt(body, from: device, at: universe.time))
            }
        } catch {
            switch error {
            case .refused(let refusal): return .refused(refusal)
            case .failed(let failure):
                // A ledger in memory fails only where the rules asked for what must not be.
                universe.promises.breaks("the market's ledger: " + failure.message)
                return .failed("HTTP 503")
            }
        }
    }
}
