import MarketCore
import Protocol

/// A ledger in memory: what a transaction throws away is restored from a copy, and what is on a backup too.
package final class MemoryLedger: Ledger {
    /// All that is kept.
    struct Contents {
        var rules = Rules()
        var owners: Set<String> = []
        var devices: [DeviceID: DeviceRecord] = [:]
        var latest: [DeviceID: LeaseID] = [:]
        var leases: [LeaseID: LeaseRecord] = [:]
        var hosts: [String: TunnelHost] = [:]
        var lines: [String: [Int64]] = [:]
        var taken: [String: [Int64: LeaseID]] = [:]
        var receipts: [LeaseID: ReceiptRecord] = [:]
    }
    var contents = Contents()

    /// An empty one.
    package init() {}

    package func atomically<Result>(_ body: () throws(MarketError) -> Result) throws(MarketError) -> Result {
        let before = contents
        do throws(MarketError) { return try body() } catch {
            contents = before
            throw error
        }
    }
    package func rules() throws(MarketError) -> Rules { contents.rules }
    package func setRules(_ rules: Rules) throws(MarketError) { contents.rules = rules }
    package func addOwner(_ name: String, at now: UnixTime) throws(MarketError) -> Bool { contents.owners.insert(name).inserted }
    package func hasOwner(_ name: String) throws(MarketError) -> Bool { contents.owners.contains(name) }
    package func addDevice(_ device: DeviceRecord) throws(MarketError) { contents.devices[device.id] = device }
    package func updateDevice(_ device: DeviceRecord) throws(MarketError) {
        var written = device
        if let kept = contents.devices[device.id] { written.keyHash = kept.keyHash }
        contents.devices[device.id] = written
    }
    package func setKey(_ keyHash: [UInt8], of device: DeviceID) throws(MarketError) { contents.devices[device]?.keyHash = keyHash }
    package func device(_ id: DeviceID) throws(MarketError) -> DeviceRecord? { contents.devices[id] }
    package func devices(named name: String) throws(MarketError) -> [DeviceRecord] {
        Array(contents.devices.values.filter { $0.name == name }.prefix(2))
    }
    package func device(holding tunnelKey: String) throws(MarketError) -> DeviceRecord? {
        contents.devices.values.first { $0.tunnelKey == tunnelKey }
    }
    package func eachDevice(_ visit: (DeviceRecord, LeaseRecord?) -> Void) throws(MarketError) {
        let order = contents.devices.values.sorted { ($0.owner, $0.name, $0.id.text) < ($1.owner, $1.name, $1.id.text) }
        for device in order { visit(device, try latestLease(of: device.id)) }
    }
    package func lease(_ id: LeaseID) throws(MarketError) -> LeaseRecord? { contents.leases[id] }
    package func latestLease(of device: DeviceID) throws(MarketError) -> LeaseRecord? {
        contents.latest[device].flatMap { contents.leases[$0] }
    }
    package func addLease(_ lease: LeaseRecord) throws(MarketError) {
        contents.leases[lease.id] = lease
        contents.latest[lease.device] = lease.id
    }
    package func updateLease(_ lease: LeaseRecord) throws(MarketError) {
        var written = lease
        if let kept = contents.leases[lease.id] { written.sighting = kept.sighting }
        contents.leases[lease.id] = written
    }
    package func setSighting(_ sighting: Sighting, of lease: LeaseID) throws(MarketError) { contents.leases[lease]?.sighting = sighting }
    package func overdueLeases(at now: UnixTime, limit: Int) throws(MarketError) -> [LeaseRecord] {
        Array(contents.leases.values.filter { $0.isOverdue(at: now) }.prefix(limit))
    }
    package func setTunnelHost(_ host: TunnelHost) throws(MarketError) {
        let known = Set(contents.lines[host.host, default: []] + contents.taken[host.host, default: [:]].keys)
        contents.hosts[host.host] = host
        contents.lines[host.host, default: []] += host.range.filter { !known.contains($0) }
    }
    package func tunnelHost(_ host: String) throws(MarketError) -> TunnelHost? {
        guard var found = contents.hosts[host] else { return nil }
        found.free = Int64(contents.lines[host, default: []].count)
        return found
    }
    package func tunnelHosts() throws(MarketError) -> [TunnelHost] {
        var hosts: [TunnelHost] = []
        for name in contents.hosts.keys.sorted() { if let host = try tunnelHost(name) { hosts.append(host) } }
        return hosts.sorted { $0.free > $1.free }
    }
    package func freePorts(on host: String, limit: Int) throws(MarketError) -> [Int64] {
        Array(contents.lines[host, default: []].prefix(limit))
    }
    package func postpone(_ port: Int64, on host: String) throws(MarketError) {
        contents.lines[host]?.removeAll { $0 == port }
        contents.lines[host]?.append(port)
    }
    package func claim(_ ports: ForwardPorts, on host: String, for lease: LeaseID) throws(MarketError) {
        for port in ports.all {
            guard contents.lines[host]?.contains(port) == true else { throw .failed(LedgerError(0, "not free")) }
            contents.lines[host]?.removeAll { $0 == port }
            contents.taken[host, default: [:]][port] = lease
        }
    }
    package func release(_ ports: ForwardPorts, on host: String) throws(MarketError) {
        for port in ports.all where contents.taken[host]?.removeValue(forKey: port) != nil { contents.lines[host]?.append(port) }
    }
    package func receipt(of lease: LeaseID) throws(MarketError) -> ReceiptRecord? { contents.receipts[lease] }
    package func addReceipt(_ receipt: ReceiptRecord) throws(MarketError) { contents.receipts[receipt.receipt.lease] = receipt }
}
