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

/// What a device says to the market.
enum Request {
    case register(RegisterRequest)
    case checkIn(CheckInRequest)
    case waiting(WaitRequest)
    case receipt(Receipt)
}

/// What comes back.
enum Answer {
    case registered(RegisterAnswer)
    case checkedIn(CheckInAnswer)
    case waited(WaitAnswer)
    case received(ReceiptAnswer)
    case refused(Refusal)
    case failed(String)
}

/// The tunnel host's sshd: which ports are listened on, and for whom.
final class TunnelServer {
    /// One connection of a device.
    struct Connection: Equatable {
        let number: Int
        let device: Int
        let lease: LeaseID
        let ports: ForwardPorts
    }

    private(set) var connections: [Connection] = []
    /// Ports that somebody else's program holds.
    private var foreign: Set<Int64> = []
    private var drawn = 0
    var isUp = true

    func isFree(_ port: Int64) -> Bool { !foreign.contains(port) && !connections.contains { $0.ports.all.contains(port) } }

    /// Listens on three ports for a device; nil where one is taken.
    func connect(_ device: Int, _ lease: LeaseID, _ ports: ForwardPorts) -> Int? {
        guard isUp, ports.all.allSatisfy({ isFree($0) }) else { return nil }
        drawn += 1
        connections.append(Connection(number: drawn, device: device, lease: lease, ports: ports))
        return drawn
    }

    func close(_ number: Int?) { connections.removeAll { $0.number == number } }

    func has(_ number: Int?) -> Bool { connections.contains { $0.number == number } }

    /// Who is reached at a port.
    func holder(of port: Int64) -> Connection? { connections.first { $0.ports.all.contains(port) } }

    /// It ends with all its sessions.
    func end() {
        isUp = false
        connections = []
    }

    func occupy(_ port: Int64) { if isFree(port) { foreign.insert(port) } }

    func vacate(_ port: Int64) { foreign.remove(port) }

    func becomeWhole() {
        isUp = true
        foreign = []
    }
}
