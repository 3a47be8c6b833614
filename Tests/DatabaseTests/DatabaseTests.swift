import MarketCore
import Platform
import Protocol
import Testing

@testable import Database

/// A folder that goes with the test.
final class Scratch {
    let path: String
    var file: String { path + "/market.db" }
    init() throws {
        path = "/tmp/database-test-" + (try Random.hex(8))
        try Files.makeFolder(path)
    }
    deinit { _ = try? run(Command(["rm", "-rf", path])) }
}

private let now = UnixTime(1_800_000_000)

@Suite struct DatabaseTests {
    @Test func onlyItsOwnerReadsTheFiles() throws {
        let scratch = try Scratch()
        let database = try Database(scratch.file)
        _ = try database.addOwner("ada", at: now)
        for name in ["", "-wal", "-shm"] { #expect(try #require(try Files.status(scratch.file + name)).st_mode & 0o777 == 0o600) }
    }

    @Test func whatWasCommittedIsThereAfterReopening() throws {
        let scratch = try Scratch()
        do {
            let database = try Database(scratch.file)
            try database.atomically { () throws(MarketError) in try database.setRules(Rules(checkInSeconds: 7, refusedSeconds: 8)) }
        }
        #expect(try Database(scratch.file).rules() == Rules(checkInSeconds: 7, refusedSeconds: 8))
        #expect(try Database(readingOnly: scratch.file).rules().checkInSeconds == 7)
    }

    @Test func aBatchIsSeenByOthersOnlyAfterItsCommit() throws {
        let scratch = try Scratch()
        let database = try Database(scratch.file)
        let reader = try Database(readingOnly: scratch.file)
        database.beginBatch()
        _ = try database.atomically { () throws(MarketError) in try database.addOwner("ada", at: now) }
        #expect(database.isWriting)
        #expect(try !reader.hasOwner("ada"))
        try database.commitBatch()
        #expect(!database.isWriting)
        #expect(try reader.hasOwner("ada"))
    }

    @Test func oneRefusedRequestOfABatchTakesNoOtherWithIt() throws {
        let scratch = try Scratch()
        let database = try Database(scratch.file)
        database.beginBatch()
        _ = try database.atomically { () throws(MarketError) in try database.addOwner("ada", at: now) }
        #expect(throws: MarketError.refused(Refusal(.conflict, "no"))) {
            try database.atomically { () throws(MarketError) in
                _ = try database.addOwner("bob", at: now)
                throw .refused(Refusal(.conflict, "no"))
            }
        }
        _ = try database.atomically { () throws(MarketError) in try database.addOwner("cyd", at: now) }
        try database.commitBatch()
        #expect(try database.hasOwner("ada") && database.hasOwner("cyd"))
        #expect(try !database.hasOwner("bob"))
    }

    /// SQLite gives up a whole transaction where the disk is full: what came before in the batch must not be answered as kept.
    @Test func aBatchThatWasRolledBackUnderWayIsLostAsAWhole() throws {
        let scratch = try Scratch()
        let database = try Database(scratch.file)
        database.beginBatch()
        _ = try database.atomically { () throws(MarketError) in try database.addOwner("ada", at: now) }
        #expect(throws: MarketError.self) {
            try database.atomically { () throws(MarketError) in
                try database.connection.execute("ROLLBACK")
                throw .failed(LedgerError(13, "full"))
            }
        }
        #expect(throws: MarketError.self) {
            try database.atomically { () throws(MarketError) in try database.addOwner("bob", at: now) }
        }
        #expect(throws: MarketError.self) { try database.commitBatch() }
        database.beginBatch()
        _ = try database.atomically { () throws(MarketError) in try database.addOwner("cyd", at: now) }
        try database.commitBatch()
        #expect(try !database.hasOwner("ada") && !database.hasOwner("bob") && database.hasOwner("cyd"))
    }

    /// The market dies after the commit and before the answer: the device asks again and hears the same.
    @Test func anAnswerLostAfterTheCommitIsGivenAgain() throws {
        let scratch = try Scratch()
        let lease = try #require(LeaseID("0123456789abcdef0123456789abcdef"))
        let first = try Shop(scratch.file)
        let device = try first.furnish()
        let answer = try first.register(device, lease)
        let second = try Shop(scratch.file)
        #expect(try second.register(device, lease) == answer)
        #expect(try second.database.tunnelHost("tunnel.example")?.free == 7)
    }

    /// And before the commit: nothing of it is there, no port is lost.
    @Test func aCrashBeforeTheCommitLeavesNothing() throws {
        let scratch = try Scratch()
        let lease = try #require(LeaseID("0123456789abcdef0123456789abcdef"))
        var first: Shop? = try Shop(scratch.file)
        let device = try #require(try first?.furnish())
        first?.database.beginBatch()
        _ = try first?.register(device, lease)
        first = nil
        let second = try Shop(scratch.file)
        #expect(try second.database.lease(lease) == nil)
        #expect(try second.database.tunnelHost("tunnel.example")?.free == 10)
    }

    @Test func aPortThatSomebodyHasIsNeverGivenTwice() throws {
        let scratch = try Scratch()
        let shop = try Shop(scratch.file)
        let device = try shop.furnish()
        let lease = try #require(LeaseID("0123456789abcdef0123456789abcdef"))
        let ports = try shop.register(device, lease).terms.tunnel.ports
        #expect(throws: MarketError.self) { try shop.database.claim(ports, on: "tunnel.example", for: lease) }
    }

    @Test func aNewerDatabaseIsLeftAlone() throws {
        let scratch = try Scratch()
        try Database(scratch.file).connection.execute("PRAGMA user_version = 99")
        #expect(throws: MarketError.self) { try Database(scratch.file) }
        #expect(throws: MarketError.self) { try Database(readingOnly: scratch.file) }
    }

    @Test func anOlderDatabaseIsBroughtUpToDate() throws {
        let scratch = try Scratch()
        let lease = try #require(LeaseID("0123456789abcdef0123456789abcdef"))
        do {
            let shop = try Shop(scratch.file)
            _ = try shop.register(try shop.furnish(), lease)
            try shop.database.connection.execute("ALTER TABLE sighting DROP COLUMN start; PRAGMA user_version = 2")
        }
        let shop = try Shop(scratch.file)
        let device = try #require(try shop.database.lease(lease)?.device)
        #expect(try shop.database.lease(lease)?.sighting.start == 0)
        let request = CheckInRequest(lease: lease, phase: .offered, tunnel: .up, start: 7, uptime: 60, fault: nil)
        _ = try shop.market.checkIn(request, from: device, at: now)
        #expect(try shop.database.lease(lease)?.sighting.start == 7)
    }

    @Test func whatIsNoDatabaseIsRefused() throws {
        let scratch = try Scratch()
        try Files.replace(scratch.file, with: [UInt8](repeating: 0x41, count: 8_192))
        #expect(throws: MarketError.self) { try Database(scratch.file) }
        #expect(try Files.read(scratch.file, limit: 10_000) == [UInt8](repeating: 0x41, count: 8_192))
    }

    @Test func everyQueryIsGoodSQL() throws {
        let scratch = try Scratch()
        let database = try Database(scratch.file)
        for query in Query.allCases { _ = try database.connection.statement(query) }
    }

    @Test func theHotQueriesUseAnIndex() throws {
        let scratch = try Scratch()
        let database = try Database(scratch.file)
        for query in [Query.device, .deviceHolding, .lease, .latestLease, .overdue, .freePorts, .claim, .free, .receipt] {
            let plan = try database.connection.prepare("EXPLAIN QUERY PLAN " + query.sql)
            while try plan.step() { #expect(!plan.text(3).hasPrefix("SCAN"), "\(query): \(plan.text(3))") }
        }
    }
}

/// A world without surprises.
final class PlainWorld: MarketWorld {
    func randomBytes(_ count: Int) throws(MarketError) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255) } }
    func isFree(_ port: Int64, on host: TunnelHost) -> Bool { true }
    func isSigned(_ statement: String, _ signature: String, with key: String) throws(MarketError) -> Bool { true }
    func note(_ event: MarketEvent) {}
}

/// A market over a file.
final class Shop {
    let database: Database
    let market: Market<Database, PlainWorld>
    private let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + String(repeating: "A", count: 43)

    init(_ path: String) throws {
        database = try Database(path)
        market = Market(store: database, world: PlainWorld())
    }

    func furnish() throws -> DeviceRecord {
        try market.addOwner("ada", at: now)
        try market.setTunnelHost(
            TunnelHost(
                host: "tunnel.example", sshPort: 22, user: "tunnel", hostKey: key, bind: "127.0.0.1", range: 20_000...20_009,
                isLocal: false))
        return try market.addDevice(owner: "ada", name: "pi", at: now).device
    }

    func register(_ device: DeviceRecord, _ lease: LeaseID) throws -> RegisterAnswer {
        let hardware = Hardware(architecture: "armv7l", processors: 4, memoryMiB: 1_024, storageMiB: 64_000, encryption: .luks2)
        let request = RegisterRequest(lease: lease, tunnelKey: key, governor: "0.1.0", hardware: hardware)
        return try market.register(request, from: device.id, at: now)
    }
}
