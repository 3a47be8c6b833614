import JSON
import Protocol

/// A drive that went away, or failed, before its erase was verified. It waits for its return; other drives may serve meanwhile.
public struct OwedErase: Equatable, Sendable {
    /// The most that are remembered.
    static let most = 64

    /// The drive by its identity.
    public let drive: String
    /// The lease that ended on it, which is owed a receipt; nil where it was being erased before a first tenant.
    public let lease: LeaseID?
    /// Whether its last erase could not be verified: it is quarantined.
    public let failed: Bool

    init(drive: String, lease: LeaseID?, failed: Bool) {
        self.drive = drive
        self.lease = lease
        self.failed = failed
    }

    init(_ reader: consuming ObjectReader) throws(JSONError) {
        drive = try reader.string("drive", 1...4_096)
        lease = try reader.optionalLease("lease")
        failed = try reader.bool("failed")
        try reader.finish()
    }

    var json: JSON {
        var members: [JSON.Member] = [.init("drive", .string(drive)), .init("failed", .bool(failed))]
        if let lease { members.append(.init("lease", .string(lease.text))) }
        return .object(members)
    }
}

/// What the device must know after a power cut. Written (write, fsync, rename, fsync the folder) before what can't be undone.
public struct Journal: Equatable, Sendable {
    /// What was going on.
    public enum Stage: String, CaseIterable, Sendable {
        /// Nothing: no lease.
        case idle
        /// The drive is being erased before a first tenant.
        case cleaning
        /// A lease was asked for under `lease`; nothing of it is on the drive.
        case registering
        /// The drive is being formatted for `lease`.
        case preparing
        /// `lease` lives on `drive`.
        case live
        /// `lease` is over; `drive` is being erased.
        case erasing
        /// An erase of `drive` could not be verified.
        case quarantined
    }

    /// What was going on.
    public var stage: Stage
    /// The lease; nil while idle.
    public var lease: LeaseID?
    /// The drive by its identity; nil while idle or registering.
    public var drive: String?
    /// The drive whose last erase was verified and on which nothing was written since.
    public var clean: String?
    /// Whether the lease was rented, by the market's last word.
    public var rented: Bool
    /// When it expires, by the market's last word.
    public var expires: UnixTime?
    /// The market's time as it was last believed, to the hour: what the first answer after a boot is judged by.
    public var marketTime: UnixTime?
    /// How often a governor has begun to tell the market of the lease since it was started: what orders check-ins over restarts.
    public internal(set) var starts: Int64
    /// Where the tunnel goes.
    public var tunnel: TunnelTarget?
    /// The renter's public keys.
    public var sshKeys: [String]
    /// Drives other than `drive` that must be erased before they serve again.
    public var owed: [OwedErase]

    /// A journal of a device that has never had a lease.
    public init() {
        stage = .idle
        rented = false
        starts = 0
        sshKeys = []
        owed = []
    }

    /// The drives that are ours by what is written here, whatever is on them.
    public var claims: [String] { [drive, clean].compactMap { $0 } + owed.map { $0.drive } }

    /// The drives whose last erase could not be verified.
    public var quarantined: [String] {
        owed.filter { $0.failed }.map { $0.drive } + (stage == .quarantined ? [drive].compactMap { $0 } : [])
    }

    /// What is owed to a drive.
    func owed(to drive: String) -> OwedErase? { owed.first { $0.drive == drive } }

    /// Puts a drive among those that are owed an erase.
    mutating func owe(_ erase: OwedErase) {
        owed.removeAll { $0.drive == erase.drive }
        owed.append(erase)
    }

    /// Forgets the lease, keeps what is known of the drive.
    mutating func forgetLease() {
        stage = .idle
        lease = nil
        drive = nil
        rented = false
        expires = nil
        starts = 0
        tunnel = nil
        sshKeys = []
    }

    /// The format's version.
    static let version: Int64 = 1

    /// Reads a journal strictly. A journal that can't be read is never taken for an empty one.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        _ = try reader.integer("version", Self.version...Self.version)
        stage = try reader.word("stage", as: Stage.self)
        lease = try reader.optionalLease("lease")
        drive = try reader.optionalString("drive", 1...4_096)
        clean = try reader.optionalString("clean", 1...4_096)
        rented = try reader.bool("rented")
        expires = try reader.optionalTime("expires")
        marketTime = try reader.optionalTime("marketTime")
        starts = try reader.optionalInteger("starts", CheckInRequest.starts) ?? 0
        if let inner = try reader.optionalObject("tunnel") { tunnel = try TunnelTarget(inner) } else { tunnel = nil }
        sshKeys = try reader.strings("sshKeys", atMost: 16, 40...8_192)
        owed = []
        for inner in try reader.optionalList("owed", atMost: OwedErase.most) {
            owed.append(try OwedErase(try ObjectReader(inner, at: "owed")))
        }
        switch stage {
        case .idle, .cleaning: break
        case .registering:
            guard lease != nil else { throw reader.failure("lease", expected: "a lease in this stage", found: "nothing") }
        case .preparing, .live, .erasing:
            guard lease != nil, drive != nil else {
                throw reader.failure("drive", expected: "a lease and its drive in this stage", found: "nothing")
            }
        case .quarantined:
            guard drive != nil else { throw reader.failure("drive", expected: "a drive in this stage", found: "nothing") }
        }
        if stage == .live, tunnel == nil {
            throw reader.failure("tunnel", expected: "a tunnel in this stage", found: "nothing")
        }
        if rented, expires == nil { throw reader.failure("expires", expected: "a time, for the lease is rented", found: "nothing") }
        try reader.finish()
    }

    /// Its JSON.
    public var json: JSON {
        var members: [JSON.Member] = [.init("version", .integer(Self.version)), .init("stage", .string(stage.rawValue))]
        if let lease { members.append(.init("lease", .string(lease.text))) }
        if let drive { members.append(.init("drive", .string(drive))) }
        if let clean { members.append(.init("clean", .string(clean))) }
        members.append(.init("rented", .bool(rented)))
        if let expires { members.append(.init("expires", .integer(expires.seconds))) }
        if let marketTime { members.append(.init("marketTime", .integer(marketTime.seconds))) }
        if starts > 0 { members.append(.init("starts", .integer(starts))) }
        if let tunnel { members.append(.init("tunnel", tunnel.json)) }
        members.append(.init("sshKeys", .array(sshKeys.map { .string($0) })))
        if !owed.isEmpty { members.append(.init("owed", .array(owed.map { $0.json }))) }
        return .object(members)
    }
}
