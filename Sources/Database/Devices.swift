import MarketCore
import Protocol

extension Database {
    /// Adds a device.
    public func addDevice(_ device: DeviceRecord) throws(MarketError) {
        try connection.run(
            .addDevice,
            [.text(device.id.text), .text(device.owner), .text(device.name), .bytes(device.keyHash), .integer(device.added.seconds)])
    }

    /// Writes what a device said of itself anew: tunnel key, governor, hardware, and what it waits for.
    public func updateDevice(_ device: DeviceRecord) throws(MarketError) {
        let hardware = device.hardware
        try connection.run(
            .updateDevice,
            [
                .optional(device.tunnelKey), .optional(device.governor), .optional(hardware?.architecture),
                .optional(hardware?.processors), .optional(hardware?.memoryMiB), .optional(hardware?.storageMiB),
                .optional(hardware?.encryption.rawValue), .optional(device.waiting?.reason), .optional(device.waiting?.told.seconds),
                .text(device.id.text),
            ])
    }

    /// Writes what a device's key is known by.
    public func setKey(_ keyHash: [UInt8], of device: DeviceID) throws(MarketError) {
        try connection.run(.setKey, [.bytes(keyHash), .text(device.text)])
    }

    /// A device by its id.
    public func device(_ id: DeviceID) throws(MarketError) -> DeviceRecord? { try oneDevice(.device, id.text) }

    /// The device that has this tunnel key.
    public func device(holding tunnelKey: String) throws(MarketError) -> DeviceRecord? { try oneDevice(.deviceHolding, tunnelKey) }

    private func oneDevice(_ query: Query, _ text: String) throws(MarketError) -> DeviceRecord? {
        var found: DeviceRecord?
        try connection.read(query, [.text(text)]) { row throws(MarketError) in found = try row.device() }
        return found
    }

    /// The devices of a name, at most two: more are as ambiguous as two.
    public func devices(named name: String) throws(MarketError) -> [DeviceRecord] {
        var found: [DeviceRecord] = []
        try connection.read(.devicesNamed, [.text(name)]) { row throws(MarketError) in found.append(try row.device()) }
        return found
    }

    /// Every device in the order of owner, name and id, with its latest lease.
    public func eachDevice(_ visit: (DeviceRecord, LeaseRecord?) -> Void) throws(MarketError) {
        try connection.read(.eachDevice, []) { row throws(MarketError) in
            visit(try row.device(from: 22), row.isNull(0) ? nil : try row.lease())
        }
    }

    /// A lease by its id.
    public func lease(_ id: LeaseID) throws(MarketError) -> LeaseRecord? { try oneLease(.lease, id.text) }

    /// The lease that a device registered last.
    public func latestLease(of device: DeviceID) throws(MarketError) -> LeaseRecord? { try oneLease(.latestLease, device.text) }

    private func oneLease(_ query: Query, _ text: String) throws(MarketError) -> LeaseRecord? {
        var found: LeaseRecord?
        try connection.read(query, [.text(text)]) { row throws(MarketError) in found = try row.lease() }
        return found
    }

    /// Rented leases whose time is up, at most `limit`.
    public func overdueLeases(at now: UnixTime, limit: Int) throws(MarketError) -> [LeaseRecord] {
        var found: [LeaseRecord] = []
        try connection.read(.overdue, [.integer(now.seconds), .integer(Int64(limit))]) { row throws(MarketError) in
            found.append(try row.lease())
        }
        return found
    }

    /// Adds a lease, which becomes its device's latest.
    public func addLease(_ lease: LeaseRecord) throws(MarketError) {
        try connection.run(
            .addLease,
            [
                .text(lease.id.text), .text(lease.device.text), .text(lease.state.rawValue), .integer(lease.registered.seconds),
                .optional(lease.expires?.seconds), .optional(lease.ended?.seconds), .optional(lease.reason?.rawValue),
                .text(lease.account.user), password(of: lease), .bytes(lease.account.hash), .text(keys(of: lease)), .text(lease.host),
                .integer(lease.ports.ssh), .integer(lease.ports.http), .integer(lease.ports.https),
            ])
        try setSighting(lease.sighting, of: lease.id)
        try connection.run(.setLatest, [.text(lease.id.text), .text(lease.device.text)])
    }

    /// Writes a lease anew, except for its sighting.
    public func updateLease(_ lease: LeaseRecord) throws(MarketError) {
        try connection.run(
            .updateLease,
            [
                .text(lease.id.text), .text(lease.state.rawValue), .optional(lease.expires?.seconds), .optional(lease.ended?.seconds),
                .optional(lease.reason?.rawValue), password(of: lease), .bytes(lease.account.hash), .text(keys(of: lease)),
                .text(lease.host), .integer(lease.ports.ssh), .integer(lease.ports.http), .integer(lease.ports.https),
            ])
    }

    private func password(of lease: LeaseRecord) -> Value { lease.account.password.map { .bytes($0.reveal()) } ?? .null }

    private func keys(of lease: LeaseRecord) -> String { lease.sshKeys.joined(separator: "\n") }

    /// Writes the sighting of a lease anew.
    public func setSighting(_ sighting: Sighting, of lease: LeaseID) throws(MarketError) {
        try connection.run(
            .setSighting,
            [
                .text(lease.text), .text(sighting.phase.rawValue), .text(sighting.tunnel.rawValue), .optional(sighting.fault),
                .integer(sighting.uptime), .integer(sighting.seen.seconds), .optional(sighting.refusedSince?.seconds),
                .integer(sighting.start),
            ])
    }
}
