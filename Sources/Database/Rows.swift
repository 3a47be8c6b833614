import MarketCore
import Protocol

/// Rows into records. What can't be in a database that only we write is a failure of the ledger, not of the asker.
extension Statement {
    private func broken(_ what: String) -> MarketError {
        .failed(LedgerError(11, "database: a row holds no good " + what))
    }

    /// The device in the fourteen columns from `first`.
    func device(from first: Int32 = 0) throws(MarketError) -> DeviceRecord {
        guard let id = DeviceID(text(first)) else { throw broken("device id") }
        var hardware: Hardware?
        if let architecture = optionalText(first + 6) {
            guard let encryption = Encryption(rawValue: text(first + 10)) else { throw broken("encryption") }
            hardware = Hardware(
                architecture: architecture, processors: integer(first + 7), memoryMiB: integer(first + 8),
                storageMiB: integer(first + 9), encryption: encryption)
        }
        let waiting = optionalText(first + 12).map { DeviceRecord.Waiting(reason: $0, told: UnixTime(integer(first + 13))) }
        return DeviceRecord(
            id: id, owner: text(first + 1), name: text(first + 2), keyHash: bytes(first + 3), tunnelKey: optionalText(first + 4),
            governor: optionalText(first + 5), hardware: hardware, added: UnixTime(integer(first + 11)), waiting: waiting)
    }

    /// The lease and its sighting in the first 22 columns.
    func lease() throws(MarketError) -> LeaseRecord {
        guard let id = LeaseID(text(0)), let device = DeviceID(text(1)) else { throw broken("lease id") }
        guard let state = LeaseState(rawValue: text(2)) else { throw broken("lease state") }
        var reason: EndReason?
        if let word = optionalText(6) {
            reason = EndReason(rawValue: word)
            if reason == nil { throw broken("reason") }
        }
        let password = isNull(8) ? nil : Secret(bytes(8))
        let keys = text(10)
        return LeaseRecord(
            id: id, device: device, state: state, registered: UnixTime(integer(3)), expires: optionalInteger(4).map { UnixTime($0) },
            ended: optionalInteger(5).map { UnixTime($0) }, reason: reason,
            account: AccountRecord(user: text(7), password: password, hash: bytes(9)),
            sshKeys: keys.isEmpty ? [] : keys.split(separator: "\n").map { String($0) }, host: text(11),
            ports: ForwardPorts(ssh: integer(12), http: integer(13), https: integer(14)), sighting: try sighting())
    }

    private func sighting() throws(MarketError) -> Sighting {
        guard let phase = DevicePhase(rawValue: text(15)), let tunnel = TunnelState(rawValue: text(16)) else { throw broken("sighting") }
        return Sighting(
            phase: phase, tunnel: tunnel, fault: optionalText(17), start: integer(21), uptime: integer(18),
            seen: UnixTime(integer(19)), refusedSince: optionalInteger(20).map { UnixTime($0) })
    }

    /// The tunnel host in the first nine columns.
    func tunnelHost() throws(MarketError) -> TunnelHost {
        let (first, last) = (integer(5), integer(6))
        guard first <= last else { throw broken("port range") }
        return TunnelHost(
            host: text(0), sshPort: integer(1), user: text(2), hostKey: text(3), bind: text(4), range: first...last,
            isLocal: integer(7) != 0, free: integer(8))
    }

    /// The receipt in the first six columns.
    func receipt() throws(MarketError) -> ReceiptRecord {
        guard let lease = LeaseID(text(0)), let device = DeviceID(text(1)) else { throw broken("receipt") }
        return ReceiptRecord(
            receipt: Receipt(lease: lease, statement: text(2), signature: text(3)), device: device, key: text(4),
            received: UnixTime(integer(5)))
    }
}
