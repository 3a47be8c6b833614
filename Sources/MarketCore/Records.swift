import Protocol

/// A device as the market knows it.
public struct DeviceRecord: Equatable, Sendable {
    /// Its public name.
    public let id: DeviceID
    /// Whose it is.
    public let owner: String
    /// A name for people, `[A-Za-z0-9._-]{1,64}`, not necessarily unique.
    public let name: String
    /// SHA-256 of its key's 64 hex digits; the key itself is not kept. Empty once the key was revoked.
    public var keyHash: [UInt8]
    /// Its public key for the tunnel and for receipts; nil until it registered.
    public var tunnelKey: String?
    /// The version of its governor; nil until it registered.
    public var governor: String?
    /// What it measured of itself; nil until it registered.
    public var hardware: Hardware?
    /// When it was added.
    public let added: UnixTime
    /// What it waits for, as it last told, while it asks for no lease.
    public var waiting: Waiting?

    /// Whether no key lets it in.
    public var isRevoked: Bool { keyHash.isEmpty }

    /// Why a device offers nothing.
    public struct Waiting: Equatable, Sendable {
        /// In the device's words.
        public var reason: String
        /// When it told that.
        public var told: UnixTime

        /// A reason.
        public init(reason: String, told: UnixTime) {
            self.reason = reason
            self.told = told
        }
    }

    /// A device.
    public init(
        id: DeviceID, owner: String, name: String, keyHash: [UInt8], tunnelKey: String? = nil, governor: String? = nil,
        hardware: Hardware? = nil, added: UnixTime, waiting: Waiting? = nil
    ) {
        self.id = id
        self.owner = owner
        self.name = name
        self.keyHash = keyHash
        self.tunnelKey = tunnelKey
        self.governor = governor
        self.hardware = hardware
        self.added = added
        self.waiting = waiting
    }
}

/// A machine whose sshd takes the devices' tunnels, and the ports that may be given out on it.
public struct TunnelHost: Equatable, Sendable {
    /// Name or address, unique: two sshds on one machine share its ports.
    public let host: String
    /// Its sshd's port.
    public var sshPort: Int64
    /// The account there.
    public var user: String
    /// Its host key, `ssh-ed25519 AAAA…`.
    public var hostKey: String
    /// The address that the ssh forwards listen on; the web forwards listen on 127.0.0.1.
    public var bind: String
    /// The ports that may be given out, each 1024 to 65535.
    public var range: ClosedRange<Int64>
    /// Whether it is this machine, so that a port can be probed before it is given out.
    public var isLocal: Bool
    /// How many of its ports nobody has. The ledger counts; what a caller writes here is ignored.
    public var free: Int64

    /// A tunnel host.
    public init(
        host: String, sshPort: Int64, user: String, hostKey: String, bind: String, range: ClosedRange<Int64>, isLocal: Bool,
        free: Int64 = 0
    ) {
        self.host = host
        self.sshPort = sshPort
        self.user = user
        self.hostKey = hostKey
        self.bind = bind
        self.range = range
        self.isLocal = isLocal
        self.free = free
    }

    /// Where a device with these ports opens its tunnel.
    public func target(_ ports: ForwardPorts) -> TunnelTarget {
        TunnelTarget(host: host, port: sshPort, user: user, hostKey: hostKey, bind: bind, ports: ports)
    }
}

/// A kept wipe receipt.
public struct ReceiptRecord: Equatable, Sendable {
    /// What the device sent.
    public let receipt: Receipt
    /// The device that signed it.
    public let device: DeviceID
    /// The key that the signature was checked with: the device may change its key later.
    public let key: String
    /// When the market got it.
    public let received: UnixTime

    /// A kept receipt.
    public init(receipt: Receipt, device: DeviceID, key: String, received: UnixTime) {
        self.receipt = receipt
        self.device = device
        self.key = key
        self.received = received
    }
}

/// What an operator sets once for the whole market; kept in the ledger, so that every command knows it.
public struct Rules: Equatable, Sendable {
    /// Seconds between two check-ins of a device.
    public var checkInSeconds: Int64
    /// Seconds a tunnel must be refused without a break before the lease gets other ports.
    public var refusedSeconds: Int64

    /// Rules; by default a check-in every ten minutes, and other ports after two minutes.
    public init(checkInSeconds: Int64 = 600, refusedSeconds: Int64 = 120) {
        self.checkInSeconds = checkInSeconds
        self.refusedSeconds = refusedSeconds
    }

    /// Seconds after which a silent device is not rented out: two and a half check-ins, at least 30 s.
    public var freshSeconds: Int64 { max(30, checkInSeconds * 5 / 2) }

    /// Seconds before its end from which on a lease is not extended any more: with five to spare, its device asks for the last time then.
    public var lastCallSeconds: Int64 { (LeaseTerms.lastCalls(checkInSeconds: checkInSeconds).min() ?? 0) + 5 }
}
