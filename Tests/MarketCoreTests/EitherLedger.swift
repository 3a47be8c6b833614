import MarketCore
import Protocol

/// Passes everything on to one of two ledgers, so that one suite runs over both.
final class EitherLedger: Ledger {
    let inner: any Ledger
    init(_ inner: any Ledger) { self.inner = inner }

    func atomically<Result>(_ body: () throws(MarketError) -> Result) throws(MarketError) -> Result { try inner.atomically(body) }
    func rules() throws(MarketError) -> Rules { try inner.rules() }
    func setRules(_ rules: Rules) throws(MarketError) { try inner.setRules(rules) }
    func addOwner(_ name: String, at now: UnixTime) throws(MarketError) -> Bool { try inner.addOwner(name, at: now) }
    func hasOwner(_ name: String) throws(MarketError) -> Bool { try inner.hasOwner(name) }
    func addDevice(_ device: DeviceRecord) throws(MarketError) { try inner.addDevice(device) }
    func updateDevice(_ device: DeviceRecord) throws(MarketError) { try inner.updateDevice(device) }
    func setKey(_ keyHash: [UInt8], of device: DeviceID) throws(MarketError) { try inner.setKey(keyHash, of: device) }
    func device(_ id: DeviceID) throws(MarketError) -> DeviceRecord? { try inner.device(id) }
    func devices(named name: String) throws(MarketError) -> [DeviceRecord] { try inner.devices(named: name) }
    func device(holding tunnelKey: String) throws(MarketError) -> DeviceRecord? { try inner.device(holding: tunnelKey) }
    func eachDevice(_ visit: (DeviceRecord, LeaseRecord?) -> Void) throws(MarketError) { try inner.eachDevice(visit) }
    func lease(_ id: LeaseID) throws(MarketError) -> LeaseRecord? { try inner.lease(id) }
    func latestLease(of device: DeviceID) throws(MarketError) -> LeaseRecord? { try inner.latestLease(of: device) }
    func addLease(_ lease: LeaseRecord) throws(MarketError) { try inner.addLease(lease) }
    func updateLease(_ lease: LeaseRecord) throws(MarketError) { try inner.updateLease(lease) }
    func setSighting(_ sighting: Sighting, of lease: LeaseID) throws(MarketError) { try inner.setSighting(sighting, of: lease) }
    func overdueLeases(at now: UnixTime, limit: Int) throws(MarketError) -> [LeaseRecord] { try inner.overdueLeases(at: now, limit: limit) }
    func setTunnelHost(_ host: TunnelHost) throws(MarketError) { try inner.setTunnelHost(host) }
    func tunnelHost(_ host: String) throws(MarketError) -> TunnelHost? { try inner.tunnelHost(host) }
    func tunnelHosts() throws(MarketError) -> [TunnelHost] { try inner.tunnelHosts() }
    func freePorts(on host: String, limit: Int) throws(MarketError) -> [Int64] { try inner.freePorts(on: host, limit: limit) }
    func postpone(_ port: Int64, on host: String) throws(MarketError) { try inner.postpone(port, on: host) }
    func claim(_ ports: ForwardPorts, on host: String, for lease: LeaseID) throws(MarketError) {
        try inner.claim(ports, on: host, for: lease)
    }
    func release(_ ports: ForwardPorts, on host: String) throws(MarketError) { try inner.release(ports, on: host) }
    func receipt(of lease: LeaseID) throws(MarketError) -> ReceiptRecord? { try inner.receipt(of: lease) }
    func addReceipt(_ receipt: ReceiptRecord) throws(MarketError) { try inner.addReceipt(receipt) }
}
