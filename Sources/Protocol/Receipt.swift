import JSON

/// What a device found when it checked an erase.
public struct EraseReport: Equatable, Sendable {
    /// How it was erased.
    public var method: EraseMethod
    /// How the drive kept the data until then.
    public var encryption: Encryption
    /// The drive's serial, or its path where it has none.
    public var drive: String
    /// Its size in bytes.
    public var bytes: Int64
    /// Milliseconds the erase took, and then the check.
    public var eraseMilliseconds: Int64
    /// Milliseconds the check took.
    public var checkMilliseconds: Int64
    /// What was checked and held, each a word: `old-key-refused`, `no-header`, `samples-differ`, `all-zero`.
    public var checks: [String]

    /// A report.
    public init(
        method: EraseMethod, encryption: Encryption, drive: String, bytes: Int64, eraseMilliseconds: Int64, checkMilliseconds: Int64,
        checks: [String]
    ) {
        self.method = method
        self.encryption = encryption
        self.drive = drive
        self.bytes = bytes
        self.eraseMilliseconds = eraseMilliseconds
        self.checkMilliseconds = checkMilliseconds
        self.checks = checks
    }

    /// Reads a report strictly; also what the erasing child prints.
    public init(_ reader: consuming ObjectReader) throws(JSONError) {
        method = try reader.word("method", as: EraseMethod.self)
        encryption = try reader.word("encryption", as: Encryption.self)
        drive = try reader.string("drive", 1...256)
        bytes = try reader.integer("bytes", 0...(1 << 60))
        eraseMilliseconds = try reader.integer("eraseMilliseconds", 0...(1 << 40))
        checkMilliseconds = try reader.integer("checkMilliseconds", 0...(1 << 40))
        checks = try reader.strings("checks", atMost: 16, 1...64)
        try reader.finish()
    }

    /// Its JSON.
    public var json: JSON {
        .object([
            .init("method", .string(method.rawValue)), .init("encryption", .string(encryption.rawValue)),
            .init("drive", .string(drive)), .init("bytes", .integer(bytes)),
            .init("eraseMilliseconds", .integer(eraseMilliseconds)), .init("checkMilliseconds", .integer(checkMilliseconds)),
            .init("checks", .array(checks.map { .string($0) })),
        ])
    }
}

/// The statement that a device signs after a verified erase. Its text, byte for byte, is what the signature covers.
public struct ReceiptStatement: Equatable, Sendable {
    /// The lease whose data is gone.
    public var lease: LeaseID
    /// The device that says so.
    public var device: DeviceID
    /// When the check ended, by the market's clock; nil where the device has had no answer since it booted.
    public var finished: UnixTime?
    /// What was done and checked.
    public var report: EraseReport

    /// A statement.
    public init(lease: LeaseID, device: DeviceID, finished: UnixTime?, report: EraseReport) {
        self.lease = lease
        self.device = device
        self.finished = finished
        self.report = report
    }

    /// The namespace of the signature (`ssh-keygen -Y sign -n`), so that it can't be used for anything else.
    public static let namespace = "sublet-wipe-receipt"

    /// Reads a statement strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        lease = try reader.lease("lease")
        let name = try reader.string("device", 36...36)
        guard let device = DeviceID(name) else { throw reader.failure("device", expected: DeviceID.form, found: name) }
        self.device = device
        finished = try reader.optionalTime("finished")
        report = try EraseReport(try reader.object("erase"))
        try reader.finish()
    }

    /// Its JSON, on one line.
    public var json: JSON {
        var members: [JSON.Member] = [.init("lease", .string(lease.text)), .init("device", .string(device.text))]
        if let finished { members.append(.init("finished", .integer(finished.seconds))) }
        members.append(.init("erase", report.json))
        return .object(members)
    }
}

/// `POST …/receipts`: a signed statement. Sending it again changes nothing.
public struct Receipt: Equatable, Sendable {
    /// The lease.
    public var lease: LeaseID
    /// The statement's text as it was signed.
    public var statement: String
    /// An armored OpenSSH signature (PROTOCOL.sshsig).
    public var signature: String

    /// A receipt.
    public init(lease: LeaseID, statement: String, signature: String) {
        self.lease = lease
        self.statement = statement
        self.signature = signature
    }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        lease = try reader.lease("lease")
        statement = try reader.string("statement", 2...8_192)
        signature = try reader.multiline("signature", 64...4_096)
        try reader.finish()
    }

    /// The body; also the file that `market receipt verify` reads.
    public var json: JSON {
        .object([
            .init("lease", .string(lease.text)), .init("statement", .string(statement)), .init("signature", .string(signature)),
        ])
    }
}

/// The answer to a receipt: the market keeps it.
public struct ReceiptAnswer: Equatable, Sendable {
    /// The lease.
    public var lease: LeaseID
    /// The market's clock.
    public var time: UnixTime

    /// An answer.
    public init(lease: LeaseID, time: UnixTime) {
        self.lease = lease
        self.time = time
    }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        lease = try reader.lease("lease")
        time = try reader.time("time")
        try reader.finish()
    }

    /// The body.
    public var json: JSON { .object([.init("lease", .string(lease.text)), .init("time", .integer(time.seconds))]) }
}
