import Crypto
import Protocol

/// The rules of the market over a ledger and a world. It holds nothing itself and reads no clock: every function that needs the time is
/// told it, so that a simulator can run the same rules in virtual time.
public struct Market<Store: Ledger, World: MarketWorld> {
    /// Where the records are.
    public let store: Store
    /// The machine.
    public let world: World

    /// A market.
    public init(store: Store, world: World) {
        self.store = store
        self.world = world
    }

    /// The device of this id if `key`, the text after `Bearer`, is its key. An unknown device, a revoked one and a wrong key get the same
    /// refusal after the same work, so that nobody learns from it which ids exist.
    public func authenticate(_ id: DeviceID, key: [UInt8]) throws(MarketError) -> DeviceRecord {
        let device = try store.device(id)
        let given = Crypto.sha256(key)
        let known = device.flatMap { $0.isRevoked ? nil : $0.keyHash } ?? [UInt8](repeating: 0, count: 32)
        let matches = Crypto.areEqual(given, known)
        guard let device, matches else { throw .refused(Self.unauthorized) }
        return device
    }

    /// The refusal of `authenticate`.
    public static var unauthorized: Refusal {
        Refusal(.unauthorized, "no device of this id has this key; see deviceId and deviceKey in device-config.json")
    }

    /// Adds an owner. Refused: a bad name (1 to 64 bytes, no control characters), or one that is there already.
    public func addOwner(_ name: String, at now: UnixTime) throws(MarketError) {
        guard isPersonName(name) else { throw .refused(.badRequest, "an owner's name has 1 to 64 bytes and no control characters") }
        try store.atomically { () throws(MarketError) in
            guard try store.addOwner(name, at: now) else { throw .refused(.conflict, "there is an owner \"" + name + "\" already") }
        }
    }

    /// Adds a device and answers it with its key: 64 hex digits, of which only the SHA-256 is kept.
    /// Refused: an unknown owner, a bad name.
    public func addDevice(owner: String, name: String?, at now: UnixTime) throws(MarketError) -> (device: DeviceRecord, key: Secret) {
        let key = Self.deviceKey(try world.randomBytes(32))
        let id = try Credentials.deviceID(try world.randomBytes(16))
        let name = name ?? "device-" + String(id.text.prefix(8))
        guard isDeviceName(name) else {
            throw .refused(.badRequest, "a device's name has 1 to 64 letters, digits, dots, dashes and underscores")
        }
        let device = DeviceRecord(id: id, owner: owner, name: name, keyHash: Crypto.sha256(key), added: now)
        try store.atomically { () throws(MarketError) in
            guard try store.hasOwner(owner) else {
                throw .refused(.notFound, "there is no owner \"" + owner + "\"; add one with: market owner add")
            }
            try store.addDevice(device)
        }
        return (device, Secret(key))
    }

    /// The device that is meant by an id or a name. Refused: none, or two of that name.
    public func find(_ word: String) throws(MarketError) -> DeviceRecord {
        if let id = DeviceID(word), let device = try store.device(id) { return device }
        let devices = try store.devices(named: word)
        guard let device = devices.first else { throw .refused(.notFound, "there is no device \"" + word + "\"") }
        guard devices.count == 1 else {
            throw .refused(.conflict, "several devices are named \"" + word + "\"; name it by its id: market device list")
        }
        return device
    }

    /// The terms of a lease as they stand.
    func terms(_ lease: LeaseRecord, at now: UnixTime) throws(MarketError) -> LeaseTerms {
        guard let host = try store.tunnelHost(lease.host) else {
            throw .failed(LedgerError(0, "lease " + lease.id.text + " names no known tunnel host"))
        }
        return LeaseTerms(
            lease: lease.id, time: now, state: lease.state, expires: lease.expires, checkInSeconds: try store.rules().checkInSeconds,
            sshKeys: lease.sshKeys, tunnel: host.target(lease.ports))
    }

    /// Ends a lease and frees its ports. Inside a transaction.
    func end(_ lease: inout LeaseRecord, _ reason: EndReason, at now: UnixTime) throws(MarketError) {
        lease.end(reason, at: now)
        try store.updateLease(lease)
        try store.release(lease.ports, on: lease.host)
        world.note(.ended(lease.id, lease.device, reason))
    }

    /// Ends the lease if its time is up. Inside a transaction.
    func settle(_ lease: inout LeaseRecord, at now: UnixTime) throws(MarketError) {
        if lease.isOverdue(at: now) { try end(&lease, .expired, at: now) }
    }

    /// Ends what the device offers. A lease that is rented stays, and is answered: never lose a renter silently. The operator ends it, or its
    /// time does, or a receipt that its data is gone. Inside a transaction.
    func endOffer(of device: DeviceID, _ reason: EndReason, at now: UnixTime) throws(MarketError) -> LeaseRecord? {
        guard var lease = try store.latestLease(of: device), lease.state != .ended else { return nil }
        try settle(&lease, at: now)
        if lease.state == .offered { try end(&lease, reason, at: now) }
        return lease.state == .rented ? lease : nil
    }
}

/// 1 to 64 bytes without control characters.
func isPersonName(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
}

/// 1 to 64 letters, digits, dots, dashes and underscores, the first one no dash: it stands in command lines.
func isDeviceName(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, bytes.count <= 64, first != UInt8(ascii: "-") else { return false }
    return bytes.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
