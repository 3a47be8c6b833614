import CSQLite
import MarketCore
import Platform

/// SQLite's handle; closed with its owner. Every statement is prepared once and finalized before.
final class Connection {
    private let handle: OpaquePointer
    private var statements: [Statement?] = Array(repeating: nil, count: Query.allCases.count)

    /// sqlite3_open_v2 of a file that is there already.
    init(_ path: String, readOnly: Bool) throws(MarketError) {
        var opened: OpaquePointer?
        let flags = (readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(path, &opened, flags, nil)
        guard let opened else { throw .failed(LedgerError(code, "open " + path + ": no memory")) }
        guard code == SQLITE_OK else {
            sqlite3_close_v2(opened)
            throw .failed(LedgerError(code, "open " + path + ": " + String(cString: sqlite3_errstr(code))))
        }
        handle = opened
        // Another process of ours holds the lock for milliseconds; ten seconds means that something is wrong.
        sqlite3_busy_timeout(handle, 10_000)
    }

    deinit {
        statements.removeAll()
        sqlite3_close_v2(handle)
    }

    /// What the last call on this connection complained about.
    func failure(_ tried: String, _ code: Int32) -> MarketError {
        .failed(LedgerError(code, "database: " + tried + ": " + String(cString: sqlite3_errmsg(handle))))
    }

    /// sqlite3_exec: statements without parameters and rows.
    func execute(_ sql: String) throws(MarketError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw failure(String(sql.prefix(40)), code) }
    }

    /// Whether a transaction is open (sqlite3_get_autocommit).
    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Rows that the last statement changed.
    var changes: Int { Int(sqlite3_changes(handle)) }

    /// The prepared statement of a query, ready for its parameters.
    func statement(_ query: Query) throws(MarketError) -> Statement {
        if let ready = statements[query.rawValue] { return ready }
        let made = try prepare(query.sql)
        statements[query.rawValue] = made
        return made
    }

    /// sqlite3_prepare_v3 of a statement that is used again and again.
    func prepare(_ sql: String) throws(MarketError) -> Statement {
        var raw: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &raw, nil)
        guard code == SQLITE_OK, let raw else { throw failure("prepare " + sql, code) }
        return Statement(raw)
    }

    /// Runs a query that answers no rows.
    func run(_ query: Query, _ values: borrowing [Value]) throws(MarketError) {
        let statement = try statement(query)
        defer { statement.reset() }
        try statement.bind(values)
        while try statement.step() {}
    }

    /// Reads the rows of a query, one call each.
    func read(_ query: Query, _ values: borrowing [Value], _ row: (Statement) throws(MarketError) -> Void) throws(MarketError) {
        let statement = try statement(query)
        defer { statement.reset() }
        try statement.bind(values)
        while try statement.step() { try row(statement) }
    }
}

/// A parameter.
enum Value {
    case null
    case integer(Int64)
    case text(String)
    case bytes([UInt8])

    static func optional(_ text: String?) -> Value { text.map { .text($0) } ?? .null }
    static func optional(_ number: Int64?) -> Value { number.map { .integer($0) } ?? .null }
}

/// A prepared statement; finalized with its owner.
final class Statement {
    private let raw: OpaquePointer

    init(_ raw: OpaquePointer) { self.raw = raw }

    deinit { sqlite3_finalize(raw) }

    private func failure(_ tried: String, _ code: Int32) -> MarketError {
        .failed(LedgerError(code, "database: " + tried + ": " + String(cString: sqlite3_errmsg(sqlite3_db_handle(raw)))))
    }

    func bind(_ values: borrowing [Value]) throws(MarketError) {
        for index in 0..<values.count {
            let code = bind(values[index], at: Int32(index + 1))
            guard code == SQLITE_OK else { throw failure("bind", code) }
        }
    }

    private func bind(_ value: Value, at index: Int32) -> Int32 {
        switch value {
        case .null: return sqlite3_bind_null(raw, index)
        case .integer(let number): return sqlite3_bind_int64(raw, index, number)
        case .text(var text):
            return text.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) { csqlite_bind_text(raw, index, $0.baseAddress, Int32($0.count)) }
            }
        case .bytes(let bytes): return bytes.withUnsafeBytes { csqlite_bind_blob(raw, index, $0.baseAddress, Int32($0.count)) }
        }
    }

    /// sqlite3_step: true while there is a row.
    func step() throws(MarketError) -> Bool {
        let code = sqlite3_step(raw)
        if code == SQLITE_ROW { return true }
        guard code == SQLITE_DONE else { throw failure("step", code) }
        return false
    }

    /// sqlite3_reset and sqlite3_clear_bindings: no lock and no secret stays in it.
    func reset() {
        sqlite3_reset(raw)
        sqlite3_clear_bindings(raw)
    }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(raw, column) }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(raw, column) == SQLITE_NULL }

    func optionalInteger(_ column: Int32) -> Int64? { isNull(column) ? nil : integer(column) }

    func text(_ column: Int32) -> String { String(decoding: bytes(column), as: UTF8.self) }

    func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }

    func bytes(_ column: Int32) -> [UInt8] {
        guard let start = sqlite3_column_blob(raw, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(raw, column))))
    }
}
