import Crypto
import Protocol

/// A device's key once it is known: another in its place, or none.
extension Market {
    /// Gives the device another key: 64 hex digits, of which only the SHA-256 is kept. The one before is refused from now on. Its lease goes
    /// on; also a revoked device is let in again.
    public func rekey(_ device: DeviceRecord) throws(MarketError) -> Secret {
        let key = Self.deviceKey(try world.randomBytes(32))
        try store.atomically { () throws(MarketError) in try store.setKey(Crypto.sha256(key), of: device.id) }
        return Secret(key)
    }

    /// Lets the device in no more, neither at the market nor at a tunnel host, until it gets another key; what it offers ends.
    /// Refused: its lease is rented, for a renter is never lost silently; it is revoked already.
    public func revoke(_ device: DeviceRecord, at now: UnixTime) throws(MarketError) {
        try store.atomically { () throws(MarketError) in
            guard var known = try store.device(device.id), !known.isRevoked else {
                throw .refused(.conflict, "device \(device.name) is revoked already")
            }
            guard try endOffer(of: known.id, .ended, at: now) == nil else {
                throw .refused(.conflict, "the lease of device \(device.name) is rented; end it first: market end")
            }
            try store.setKey([], of: known.id)
            known.tunnelKey = nil
            known.waiting = nil
            try store.updateDevice(known)
        }
    }

    /// A key out of 32 random bytes.
    static func deviceKey(_ random: [UInt8]) -> [UInt8] { Array(hexDigits(random).utf8) }
}
