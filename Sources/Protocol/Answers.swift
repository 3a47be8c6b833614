import JSON

extension ObjectReader {
    /// A lease's name.
    public mutating func lease(_ key: String) throws(JSONError) -> LeaseID { try lease(try string(key, 1...64), key) }

    /// A lease's name, or nil where the key is absent.
    public mutating func optionalLease(_ key: String) throws(JSONError) -> LeaseID? {
        guard let text = try optionalString(key, 1...64) else { return nil }
        return try lease(text, key)
    }

    private func lease(_ text: String, _ key: String) throws(JSONError) -> LeaseID {
        guard let lease = LeaseID(text) else {
            throw failure(key, expected: "32 lower-case hex digits", found: "\"" + text + "\"")
        }
        return lease
    }

    /// A string of printable ASCII: it goes into logs and listings as it is.
    public mutating func plain(_ key: String, _ length: ClosedRange<Int>) throws(JSONError) -> String {
        try plain(try string(key, length), key)
    }

    /// A string of printable ASCII, or nil where the key is absent.
    public mutating func optionalPlain(_ key: String, _ length: ClosedRange<Int>) throws(JSONError) -> String? {
        guard let text = try optionalString(key, length) else { return nil }
        return try plain(text, key)
    }

    private func plain(_ text: String, _ key: String) throws(JSONError) -> String {
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else {
            throw failure(key, expected: "printable ASCII", found: "something else")
        }
        return text
    }

    /// A sane time.
    public mutating func time(_ key: String) throws(JSONError) -> UnixTime { UnixTime(try integer(key, UnixTime.sane)) }

    /// A sane time, or nil where the key is absent.
    public mutating func optionalTime(_ key: String) throws(JSONError) -> UnixTime? {
        guard let seconds = try optionalInteger(key, UnixTime.sane) else { return nil }
        return UnixTime(seconds)
    }
}

/// What the market says of a lease, in every answer about it.
public struct LeaseTerms: Equatable, Sendable {
    /// The lease this is about. A device ignores an answer about another.
    public var lease: LeaseID
    /// The market's clock when it answered.
    public var time: UnixTime
    /// Where the lease stands.
    public var state: LeaseState
    /// When a rented lease ends; nil while offered.
    public var expires: UnixTime?
    /// Seconds until the market wants the next check-in.
    public var checkInSeconds: Int64
    /// Public keys that may log in beside the password.
    public var sshKeys: [String]
    /// Where the tunnel goes. It changes when a port turned out to be taken.
    public var tunnel: TunnelTarget

    /// Seconds before its end at which a device asks once more whether the lease goes on, where it checks in so often: twice, for one answer
    /// may be lost. After the last time it hears of no extension.
    public static func lastCalls(checkInSeconds: Int64) -> [Int64] { [120, 30].map { min($0, checkInSeconds) } }

    /// What `checkInSeconds` may be.
    public static let checkInRange: ClosedRange<Int64> = 1...86_400

    /// Terms.
    public init(
        lease: LeaseID, time: UnixTime, state: LeaseState, expires: UnixTime?, checkInSeconds: Int64, sshKeys: [String],
        tunnel: TunnelTarget
    ) {
        self.lease = lease
        self.time = time
        self.state = state
        self.expires = expires
        self.checkInSeconds = checkInSeconds
        self.sshKeys = sshKeys
        self.tunnel = tunnel
    }

    /// Reads the terms out of an answer and checks that they make sense together.
    init(_ reader: inout ObjectReader) throws(JSONError) {
        lease = try reader.lease("lease")
        time = try reader.time("time")
        state = try reader.word("state", as: LeaseState.self)
        expires = try reader.optionalTime("expires")
        checkInSeconds = try reader.integer("checkInSeconds", Self.checkInRange)
        sshKeys = try reader.strings("sshKeys", atMost: 16, 40...8_192)
        tunnel = try TunnelTarget(try reader.object("tunnel"))
        if let bad = sshKeys.first(where: { !isPublicKeyLine($0) }) {
            throw reader.failure("sshKeys", expected: "OpenSSH public keys", found: "\"" + String(bad.prefix(20)) + "…\"")
        }
        if state == .rented && expires == nil {
            throw reader.failure("expires", expected: "a time, for the lease is rented", found: "nothing")
        }
        if let expires, expires.seconds > time.seconds + UnixTime.longestLease {
            throw reader.failure("expires", expected: "at most 400 days after \"time\"", found: "\(expires.seconds)")
        }
    }

    var members: [JSON.Member] {
        var members: [JSON.Member] = [
            .init("lease", .string(lease.text)), .init("time", .integer(time.seconds)), .init("state", .string(state.rawValue)),
        ]
        if let expires { members.append(.init("expires", .integer(expires.seconds))) }
        members.append(.init("checkInSeconds", .integer(checkInSeconds)))
        members.append(.init("sshKeys", .array(sshKeys.map { .string($0) })))
        members.append(.init("tunnel", tunnel.json))
        return members
    }
}

/// The answer to `register`: the terms, and the renter's account while nobody has been told it yet.
public struct RegisterAnswer: Equatable, Sendable {
    /// The terms.
    public var terms: LeaseTerms
    /// The account for the container. Absent once the renter has it: the market then keeps only a hash, and the device has it on its drive.
    public var account: Account?

    /// An answer.
    public init(terms: LeaseTerms, account: Account?) {
        self.terms = terms
        self.account = account
    }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        terms = try LeaseTerms(&reader)
        if let inner = try reader.optionalObject("account") { account = try Account(inner) } else { account = nil }
        try reader.finish()
    }

    /// The body.
    public var json: JSON {
        var members = terms.members
        if let account { members.append(.init("account", account.json)) }
        return .object(members)
    }
}

/// `POST …/check-in`: a device lives, holds this lease, and stands here.
public struct CheckInRequest: Equatable, Sendable {
    /// The lease the device holds.
    public var lease: LeaseID
    /// Where it stands.
    public var phase: DevicePhase
    /// Its tunnel.
    public var tunnel: TunnelState
    /// How often the device's governor has begun to tell of this lease since it was started; for one lease it only grows.
    public var start: Int64
    /// Seconds since the device booted.
    public var uptime: Int64
    /// What is wrong, in a word or two of `[a-z-]`; nil where all is well.
    public var fault: String?

    /// What may be said of that.
    public static let starts: ClosedRange<Int64> = 0...Int64(UInt32.max)

    /// A request.
    public init(lease: LeaseID, phase: DevicePhase, tunnel: TunnelState, start: Int64, uptime: Int64, fault: String?) {
        self.lease = lease
        self.phase = phase
        self.tunnel = tunnel
        self.start = start
        self.uptime = uptime
        self.fault = fault
    }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        lease = try reader.lease("lease")
        phase = try reader.word("phase", as: DevicePhase.self)
        tunnel = try reader.word("tunnel", as: TunnelState.self)
        start = try reader.integer("start", Self.starts)
        uptime = try reader.integer("uptime", 0...Int64(UInt32.max))
        fault = try reader.optionalPlain("fault", 1...64)
        try reader.finish()
    }

    /// The body.
    public var json: JSON {
        var members: [JSON.Member] = [
            .init("lease", .string(lease.text)), .init("phase", .string(phase.rawValue)),
            .init("tunnel", .string(tunnel.rawValue)), .init("start", .integer(start)), .init("uptime", .integer(uptime)),
        ]
        if let fault { members.append(.init("fault", .string(fault))) }
        return .object(members)
    }
}

/// The answer to `check-in`: the terms as they stand.
public struct CheckInAnswer: Equatable, Sendable {
    /// The terms.
    public var terms: LeaseTerms

    /// An answer.
    public init(terms: LeaseTerms) { self.terms = terms }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        terms = try LeaseTerms(&reader)
        try reader.finish()
    }

    /// The body.
    public var json: JSON { .object(terms.members) }
}

/// Any refusal: a fixed word for programs, a sentence for people, and the key it is about.
public struct Refusal: Equatable, Sendable {
    /// The fixed words.
    public enum Code: String, CaseIterable, Sendable {
        case badRequest = "bad-request"
        case unauthorized = "unauthorized"
        case notFound = "not-found"
        case methodNotAllowed = "method-not-allowed"
        case conflict = "conflict"
        case tooLarge = "too-large"
        case unsupportedMediaType = "unsupported-media-type"
        case unavailable = "unavailable"

        /// The HTTP status that goes with it (RFC 9110).
        public var status: Int {
            switch self {
            case .badRequest: 400
            case .unauthorized: 401
            case .notFound: 404
            case .methodNotAllowed: 405
            case .conflict: 409
            case .tooLarge: 413
            case .unsupportedMediaType: 415
            case .unavailable: 503
            }
        }
    }

    /// The fixed word.
    public var code: Code
    /// What was wrong and what was expected.
    public var message: String
    /// The market's clock, where it says that it knows no such lease: a device that was off knows no other, and its lease must end in time.
    public var time: UnixTime?

    /// Both, for a log.
    public var text: String { code.rawValue + ": " + message }

    /// A refusal.
    public init(_ code: Code, _ message: String, time: UnixTime? = nil) {
        self.code = code
        self.message = message
        self.time = time
    }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var outer = try ObjectReader(json)
        var reader = try outer.object("error")
        code = try reader.word("code", as: Code.self)
        message = try reader.string("message", 1...1_024)
        time = try reader.optionalTime("time")
        try reader.finish()
        try outer.finish()
    }

    /// The body.
    public var json: JSON {
        var members: [JSON.Member] = [.init("code", .string(code.rawValue)), .init("message", .string(message))]
        if let time { members.append(.init("time", .integer(time.seconds))) }
        return .object([.init("error", .object(members))])
    }
}
