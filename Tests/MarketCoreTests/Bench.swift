import Database
import JSON
import MarketCore
import Platform
import Protocol
import Simulator
import Testing

/// The two ledgers that every rule is tried on.
enum LedgerKind: String, CaseIterable, CustomTestStringConvertible {
    case memory, sqlite
    var testDescription: String { rawValue }
}

/// A world that a test can steer: numbers from a seed, ports held by others, signatures that are the word "signed by KEY".
final class FakeWorld: MarketWorld {
    var state: UInt64 = 0x5EED
    var held: Set<Int64> = []
    var events: [MarketEvent] = []

    func randomBytes(_ count: Int) throws(MarketError) -> [UInt8] {
        (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }
    func isFree(_ port: Int64, on host: TunnelHost) -> Bool { !held.contains(port) }
    func isSigned(_ statement: String, _ signature: String, with key: String) throws(MarketError) -> Bool {
        signature == "signed by " + key
    }
    func note(_ event: MarketEvent) { events.append(event) }
}

/// A market with an owner, a tunnel host with 12 ports and a clock that the test moves.
final class Bench {
    let ledger: EitherLedger
    let world = FakeWorld()
    let market: Market<EitherLedger, FakeWorld>
    var now = UnixTime(1_800_000_000)
    private var drawn = 0
    private let folder: String

    init(_ kind: LedgerKind, ports: ClosedRange<Int64> = 20_000...20_011) throws {
        folder = "/tmp/market-test-" + (try Random.hex(8))
        try Files.makeFolder(folder)
        ledger = EitherLedger(kind == .memory ? MemoryLedger() : try Database(folder + "/market.db"))
        market = Market(store: ledger, world: world)
        try market.addOwner("ada", at: now)
        try market.setTunnelHost(host("tunnel.example", ports))
    }

    deinit { _ = try? run(Command(["rm", "-rf", folder])) }

    func host(_ name: String, _ ports: ClosedRange<Int64>) -> TunnelHost {
        TunnelHost(
            host: name, sshPort: 22, user: "tunnel", hostKey: Self.key(0), bind: "0.0.0.0", range: ports, isLocal: true)
    }

    /// An ssh-ed25519 line that is told apart by a number.
    static func key(_ number: Int) -> String {
        let digits = String(number)
        return "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + String(repeating: "A", count: 43 - digits.count) + digits
    }

    func device(_ name: String = "pi") throws -> DeviceRecord {
        try market.addDevice(owner: "ada", name: name, at: now).device
    }

    /// A lease id that no other call drew.
    func draw() throws -> LeaseID {
        drawn += 1
        let digits = String(drawn, radix: 16)
        return try #require(LeaseID(String(repeating: "0", count: 32 - digits.count) + digits))
    }

    @discardableResult
    func register(_ device: DeviceRecord, _ lease: LeaseID, key: Int = 1) throws(MarketError) -> RegisterAnswer {
        let hardware = Hardware(architecture: "aarch64", processors: 4, memoryMiB: 4_096, storageMiB: 64_000, encryption: .luks2)
        let request = RegisterRequest(lease: lease, tunnelKey: Self.key(key), governor: "0.1.0", hardware: hardware)
        return try market.register(request, from: device.id, at: now)
    }

    @discardableResult
    func checkIn(
        _ device: DeviceRecord, _ lease: LeaseID, _ phase: DevicePhase = .offered, _ tunnel: TunnelState = .up, start: Int64 = 1,
        uptime: Int64 = 60
    ) throws(MarketError) -> LeaseTerms {
        let request = CheckInRequest(lease: lease, phase: phase, tunnel: tunnel, start: start, uptime: uptime, fault: nil)
        return try market.checkIn(request, from: device.id, at: now).terms
    }

    /// A device with a lease that can be rented at once.
    func offered(_ name: String = "pi", key: Int = 1) throws -> (device: DeviceRecord, lease: LeaseID, answer: RegisterAnswer) {
        let device = try device(name)
        let lease = try draw()
        let answer = try register(device, lease, key: key)
        try checkIn(device, lease)
        return (device, lease, answer)
    }

    func wait(_ seconds: Int64) { now = UnixTime(now.seconds + seconds) }

    func free() throws -> Int64 { try #require(try ledger.tunnelHost("tunnel.example")).free }

    func receipt(_ device: DeviceRecord, _ lease: LeaseID, bytes: Int64 = 1, key: Int = 1) -> Receipt {
        let report = EraseReport(
            method: .key, encryption: .luks2, drive: "S1", bytes: bytes, eraseMilliseconds: 1, checkMilliseconds: 1, checks: ["no-header"])
        let statement = ReceiptStatement(lease: lease, device: device.id, finished: now, report: report)
        let text = String(decoding: statement.json.encoded(), as: UTF8.self)
        return Receipt(lease: lease, statement: text, signature: "signed by " + Self.key(key))
    }
}

/// The code of the refusal that `body` throws; nil where it does not, or fails otherwise.
func refusal<Result>(_ body: () throws(MarketError) -> Result) -> Refusal.Code? {
    do throws(MarketError) {
        _ = try body()
        return nil
    } catch {
        if case .refused(let refusal) = error { return refusal.code }
        return nil
    }
}
