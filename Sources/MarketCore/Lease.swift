import Protocol

// A lease, by the market's word:
//
//     register ──▶ offered ──rent──▶ rented ──┐ extend (later)
//                     │                │  ▲───┘
//                     │ replaced       │ expired
//                     │ ended          │ ended
//                     │ erased         │ erased
//                     └──────▶ ended ◀─┘
//
// Ports belong to a lease from `register` until it is ended; the row stays for the history, and so that every message can be repeated.

/// Why a lease is over.
public enum EndReason: String, CaseIterable, Sendable {
    /// Its time was up.
    case expired
    /// The operator or the renter ended it.
    case ended
    /// The device proved that its data is gone.
    case erased
    /// The device registered another lease before anybody rented this one.
    case replaced
}

/// The renter's account as the market keeps it.
public struct AccountRecord: Equatable, Sendable {
    /// The user name.
    public let user: String
    /// The password while nobody has been told it; nil afterwards.
    public var password: Secret?
    /// 16 random bytes and the SHA-256 of them and the password, once the password itself is gone; empty before. One round of SHA-256
    /// is enough here: the password has 99 random bits, which no list and no search reaches.
    public var hash: [UInt8]

    /// An account.
    public init(user: String, password: Secret?, hash: [UInt8]) {
        self.user = user
        self.password = password
        self.hash = hash
    }
}

/// What the last check-in of a lease said.
public struct Sighting: Equatable, Sendable {
    /// Where the device stands.
    public var phase: DevicePhase
    /// Its tunnel.
    public var tunnel: TunnelState
    /// What is wrong, nil where nothing is.
    public var fault: String?
    /// The device's count of its governor's starts.
    public var start: Int64
    /// Seconds since the device booted.
    public var uptime: Int64
    /// When it was said; before the first check-in the time of the registration.
    public var seen: UnixTime
    /// Since when every check-in said `refused`; nil while the last one did not.
    public var refusedSince: UnixTime?

    /// A sighting.
    public init(
        phase: DevicePhase, tunnel: TunnelState, fault: String?, start: Int64, uptime: Int64, seen: UnixTime, refusedSince: UnixTime?
    ) {
        self.phase = phase
        self.tunnel = tunnel
        self.fault = fault
        self.start = start
        self.uptime = uptime
        self.seen = seen
        self.refusedSince = refusedSince
    }

    /// What is known right after the registration.
    static func registered(at now: UnixTime) -> Sighting {
        Sighting(phase: .registering, tunnel: .down, fault: nil, start: 0, uptime: 0, seen: now, refusedSince: nil)
    }

    /// Whether a check-in was overtaken on its way by the one that this is of: an earlier start of the device's governor said it, or this one
    /// when it had been up for less. What it says is over; it must not make a device look offered that is not any more. No message is on its
    /// way for an hour: then the device's card was put back to what it was before.
    func isLater(than request: CheckInRequest, at now: UnixTime) -> Bool {
        guard now.seconds - seen.seconds < 3_600 else { return false }
        return request.start == start ? request.uptime < uptime : request.start < start
    }

    /// The sighting after a check-in.
    func after(_ request: CheckInRequest, at now: UnixTime) -> Sighting {
        Sighting(
            phase: request.phase, tunnel: request.tunnel, fault: request.fault, start: request.start, uptime: request.uptime, seen: now,
            refusedSince: request.tunnel == .refused ? refusedSince ?? now : nil)
    }
}

/// A lease as the ledger keeps it.
public struct LeaseRecord: Equatable, Sendable {
    /// Its name, drawn by the device.
    public let id: LeaseID
    /// The device that offers it.
    public let device: DeviceID
    /// Where it stands.
    public private(set) var state: LeaseState
    /// When the device registered it.
    public let registered: UnixTime
    /// When it expires or would have; nil if it was never rented.
    public private(set) var expires: UnixTime?
    /// When it was ended; nil while it runs.
    public private(set) var ended: UnixTime?
    /// Why it was ended; nil while it runs.
    public private(set) var reason: EndReason?
    /// The renter's account.
    public private(set) var account: AccountRecord
    /// The renter's public keys.
    public private(set) var sshKeys: [String]
    /// The tunnel host.
    public private(set) var host: String
    /// The ports there; after the end those it had.
    public private(set) var ports: ForwardPorts
    /// The last check-in.
    public var sighting: Sighting

    /// A lease as it was kept.
    public init(
        id: LeaseID, device: DeviceID, state: LeaseState, registered: UnixTime, expires: UnixTime?, ended: UnixTime?, reason: EndReason?,
        account: AccountRecord, sshKeys: [String], host: String, ports: ForwardPorts, sighting: Sighting
    ) {
        self.id = id
        self.device = device
        self.state = state
        self.registered = registered
        self.expires = expires
        self.ended = ended
        self.reason = reason
        self.account = account
        self.sshKeys = sshKeys
        self.host = host
        self.ports = ports
        self.sighting = sighting
    }

    /// A lease that a device has just registered.
    init(offering id: LeaseID, device: DeviceID, account: AccountRecord, host: String, ports: ForwardPorts, at now: UnixTime) {
        self.init(
            id: id, device: device, state: .offered, registered: now, expires: nil, ended: nil, reason: nil, account: account,
            sshKeys: [], host: host, ports: ports, sighting: .registered(at: now))
    }

    /// Whether it is rented and its time is up, though nobody has noted that yet.
    public func isOverdue(at now: UnixTime) -> Bool {
        guard state == .rented, let expires else { return false }
        return expires <= now
    }

    /// offered → rented. The password leaves the record with the answer; a hash stays.
    mutating func rent(until expires: UnixTime, sshKeys: [String], passwordHash: [UInt8]) {
        precondition(state == .offered, "only an offered lease is rented")
        state = .rented
        self.expires = expires
        self.sshKeys = sshKeys
        forgetPassword(keeping: passwordHash)
    }

    /// rented → rented, with a later end.
    mutating func extend(until expires: UnixTime) {
        precondition(state == .rented && expires >= self.expires ?? expires, "a lease is extended while it runs, and forward")
        self.expires = expires
    }

    /// offered or rented → ended.
    mutating func end(_ reason: EndReason, at now: UnixTime) {
        precondition(state != .ended, "a lease ends once")
        state = .ended
        self.reason = reason
        ended = now
        forgetPassword(keeping: account.hash)
    }

    /// Other ports: the old ones turned out to be taken.
    mutating func move(to host: String, _ ports: ForwardPorts) {
        precondition(state != .ended, "an ended lease has no ports")
        self.host = host
        self.ports = ports
        sighting.refusedSince = nil
    }

    private mutating func forgetPassword(keeping hash: [UInt8]) {
        account.password = nil
        account.hash = hash
    }
}
