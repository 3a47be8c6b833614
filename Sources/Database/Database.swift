import CLinux
import CSQLite
import MarketCore
import Platform
import Protocol

/// The ledger in an SQLite file: write-ahead log, every commit synced, foreign keys checked.
///
/// Two ways to write. By itself each `atomically` is a transaction with its own sync. While a batch is open (`serve`'s loop round) each is
/// a savepoint in one common transaction, and `commitBatch` syncs once for all of them: that is what makes thousands a second durable.
public final class Database: Ledger {
    let connection: Connection
    private var isBatching = false
    private var isBatchLost = false
    private var knownRules: Rules?

    /// Opens the file, makes it (mode 0600) where there is none, and brings its tables up to date.
    /// `.failed` where that can't be done, or a newer market wrote it.
    public convenience init(_ path: String) throws(MarketError) {
        do throws(SystemError) {
            // Made before SQLite sees it: it and the log beside it then have this mode, whatever the umask.
            _ = try FileDescriptor.open(path, O_RDWR | O_CREAT, mode: 0o600)
        } catch { throw .failed(LedgerError(0, "database: " + error.message)) }
        try self.init(Connection(path, readOnly: false))
        try connection.execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;"
                + "PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -65536;")
        try migrate()
    }

    /// Opens a file that is there, to read only; for commands that may run as another user than the market.
    public convenience init(readingOnly path: String) throws(MarketError) {
        try self.init(Connection(path, readOnly: true))
        guard try version() == Schema.steps.count else {
            throw .failed(LedgerError(0, "database: \(path) is of another version; run: market serve, or any other command, once"))
        }
    }

    private init(_ connection: Connection) throws(MarketError) { self.connection = connection }

    private func version() throws(MarketError) -> Int {
        let statement = try connection.prepare("PRAGMA user_version")
        defer { statement.reset() }
        return try statement.step() ? Int(statement.integer(0)) : 0
    }

    private func migrate() throws(MarketError) {
        guard try version() < Schema.steps.count else { return try refuseNewer() }
        try connection.execute("BEGIN IMMEDIATE")
        do throws(MarketError) {
            // Another process may have done it while we waited for the lock.
            let from = try version()
            for step in from..<max(from, Schema.steps.count) { try connection.execute(Schema.steps[step]) }
            try connection.execute("PRAGMA user_version = \(max(from, Schema.steps.count))")
            try connection.execute("COMMIT")
        } catch {
            if connection.isInTransaction { try connection.execute("ROLLBACK") }
            throw error
        }
    }

    private func refuseNewer() throws(MarketError) {
        let version = try version()
        guard version == Schema.steps.count else {
            throw .failed(LedgerError(0, "database: it is of version \(version), this market knows \(Schema.steps.count): use a newer one"))
        }
    }

    /// Empties the write-ahead log, so that what was deleted (a password that its renter has now) stands in no file any more. Waits for
    /// who reads just now, and leaves it to the next time where that takes long.
    public func forgetHistory() throws(MarketError) { try connection.execute("PRAGMA wal_checkpoint(TRUNCATE)") }

    /// From now on until `commitBatch` all `atomically` share one transaction, which begins with the first of them.
    public func beginBatch() { isBatching = true }

    /// Whether a transaction is open whose writes are not durable yet.
    public var isWriting: Bool { connection.isInTransaction }

    /// Commits and syncs what was written since `beginBatch`. Where this throws nothing of it was kept.
    public func commitBatch() throws(MarketError) {
        isBatching = false
        if isBatchLost {
            isBatchLost = false
            throw .failed(LedgerError(0, "database: the transaction was rolled back under way"))
        }
        guard connection.isInTransaction else { return }
        do throws(MarketError) { try connection.run(.commit, []) } catch {
            knownRules = nil
            if connection.isInTransaction { try connection.run(.rollback, []) }
            throw error
        }
    }

    /// A transaction of its own, or a savepoint of the open batch.
    public func atomically<Result>(_ body: () throws(MarketError) -> Result) throws(MarketError) -> Result {
        // What came earlier in this batch is gone; a new transaction would let its answers out as if it were kept.
        guard !isBatchLost else { throw .failed(LedgerError(0, "database: the batch is lost")) }
        if !connection.isInTransaction {
            try connection.run(.begin, [])
            knownRules = nil
        }
        if isBatching { return try within(begin: .savepoint, end: .release, undo: .undo, body) }
        return try within(begin: nil, end: .commit, undo: .rollback, body)
    }

    private func within<Result>(
        begin: Query?, end: Query, undo: Query, _ body: () throws(MarketError) -> Result
    ) throws(MarketError) -> Result {
        if let begin { try connection.run(begin, []) }
        do throws(MarketError) {
            let result = try body()
            try connection.run(end, [])
            return result
        } catch {
            knownRules = nil
            // A full disk makes SQLite roll back all of the transaction by itself; then there is nothing to undo.
            if connection.isInTransaction {
                try connection.run(undo, [])
                if undo == .undo { try connection.run(.release, []) }
            } else if isBatching {
                isBatchLost = true
            }
            throw error
        }
    }

    /// Read once a transaction: every check-in asks.
    public func rules() throws(MarketError) -> Rules {
        if connection.isInTransaction, let knownRules { return knownRules }
        var rules = Rules()
        try connection.read(.rules, []) { row in
            rules = Rules(checkInSeconds: row.integer(0), refusedSeconds: row.integer(1))
        }
        knownRules = rules
        return rules
    }

    /// Replaces the rules.
    public func setRules(_ rules: Rules) throws(MarketError) {
        try connection.run(.setRules, [.integer(rules.checkInSeconds), .integer(rules.refusedSeconds)])
        knownRules = nil
    }

    /// Adds an owner; false where there is one of that name.
    public func addOwner(_ name: String, at now: UnixTime) throws(MarketError) -> Bool {
        try connection.run(.addOwner, [.text(name), .integer(now.seconds)])
        return connection.changes == 1
    }

    /// Whether there is an owner of that name.
    public func hasOwner(_ name: String) throws(MarketError) -> Bool {
        var found = false
        try connection.read(.owner, [.text(name)]) { _ in found = true }
        return found
    }

    /// The receipt of a lease.
    public func receipt(of lease: LeaseID) throws(MarketError) -> ReceiptRecord? {
        var found: ReceiptRecord?
        try connection.read(.receipt, [.text(lease.text)]) { row throws(MarketError) in found = try row.receipt() }
        return found
    }

    /// Keeps a receipt.
    public func addReceipt(_ receipt: ReceiptRecord) throws(MarketError) {
        try connection.run(
            .addReceipt,
            [
                .text(receipt.receipt.lease.text), .text(receipt.device.text), .text(receipt.receipt.statement),
                .text(receipt.receipt.signature), .text(receipt.key), .integer(receipt.received.seconds),
            ])
    }
}
