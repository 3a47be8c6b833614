/// Every statement the ledger runs, by name; prepared once and kept.
enum Query: Int, CaseIterable {
    case begin, commit, rollback, savepoint, release, undo
    case rules, setRules
    case addOwner, owner
    case addDevice, updateDevice, setKey, device, devicesNamed, deviceHolding, eachDevice
    case lease, latestLease, addLease, updateLease, setLatest, setSighting, overdue
    case setHost, addPorts, countFree, host, hosts, freePorts, postpone, nextTurn, claim, counted, free
    case receipt, addReceipt

    private static let deviceColumns = """
        d.id, d.owner, d.name, d.key_hash, d.tunnel_key, d.governor, d.architecture, d.processors, d.memory_mib, d.storage_mib, \
        d.encryption, d.added, d.waiting, d.waiting_told
        """
    private static let leaseColumns = """
        l.id, l.device, l.state, l.registered, l.expires, l.ended, l.reason, l.account, l.password, l.password_hash, l.ssh_keys, l.host, \
        l.ssh, l.http, l.https, s.phase, s.tunnel, s.fault, s.uptime, s.seen, s.refused_since, s.start
        """
    private static let hostColumns = "host, ssh_port, user, host_key, bind, first, last, is_local, free"

    /// Its text.
    var sql: String {
        switch self {
        // IMMEDIATE takes the write lock before anything is read: what a request saw is what it changes.
        case .begin: "BEGIN IMMEDIATE"
        case .commit: "COMMIT"
        case .rollback: "ROLLBACK"
        case .savepoint: "SAVEPOINT request"
        case .release: "RELEASE request"
        case .undo: "ROLLBACK TO request"
        case .rules: "SELECT check_in_seconds, refused_seconds FROM rules"
        case .setRules: "INSERT OR REPLACE INTO rules VALUES (1, ?, ?)"
        case .addOwner: "INSERT INTO owner VALUES (?, ?) ON CONFLICT DO NOTHING"
        case .owner: "SELECT 1 FROM owner WHERE name = ?"
        default: recordSQL
        }
    }

    private var recordSQL: String {
        switch self {
        case .addDevice: "INSERT INTO device (id, owner, name, key_hash, added) VALUES (?, ?, ?, ?, ?)"
        case .updateDevice:
            """
            UPDATE device SET tunnel_key = ?, governor = ?, architecture = ?, processors = ?, memory_mib = ?, storage_mib = ?, \
            encryption = ?, waiting = ?, waiting_told = ? WHERE id = ?
            """
        case .setKey: "UPDATE device SET key_hash = ? WHERE id = ?"
        case .device: "SELECT \(Self.deviceColumns) FROM device d WHERE d.id = ?"
        case .devicesNamed: "SELECT \(Self.deviceColumns) FROM device d WHERE d.name = ? LIMIT 2"
        case .deviceHolding: "SELECT \(Self.deviceColumns) FROM device d WHERE d.tunnel_key = ?"
        case .eachDevice:
            """
            SELECT \(Self.leaseColumns), \(Self.deviceColumns) FROM device d LEFT JOIN lease l ON l.id = d.latest_lease \
            LEFT JOIN sighting s ON s.lease = l.id ORDER BY d.owner, d.name, d.id
            """
        case .lease: "SELECT \(Self.leaseColumns) FROM lease l JOIN sighting s ON s.lease = l.id WHERE l.id = ?"
        case .latestLease:
            """
            SELECT \(Self.leaseColumns) FROM device d JOIN lease l ON l.id = d.latest_lease JOIN sighting s ON s.lease = l.id \
            WHERE d.id = ?
            """
        case .addLease: "INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        case .updateLease:
            """
            UPDATE lease SET state = ?2, expires = ?3, ended = ?4, reason = ?5, password = ?6, password_hash = ?7, ssh_keys = ?8, \
            host = ?9, ssh = ?10, http = ?11, https = ?12 WHERE id = ?1
            """
        case .setLatest: "UPDATE device SET latest_lease = ? WHERE id = ?"
        case .setSighting: "INSERT OR REPLACE INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        case .overdue:
            """
            SELECT \(Self.leaseColumns) FROM lease l JOIN sighting s ON s.lease = l.id \
            WHERE l.state = 'rented' AND l.expires <= ? ORDER BY l.expires LIMIT ?
            """
        case .receipt: "SELECT lease, device, statement, signature, key, received FROM receipt WHERE lease = ?"
        case .addReceipt: "INSERT INTO receipt VALUES (?, ?, ?, ?, ?, ?)"
        default: portSQL
        }
    }

    private var portSQL: String {
        switch self {
        case .setHost:
            """
            INSERT INTO tunnel_host VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 1) ON CONFLICT (host) DO UPDATE SET ssh_port = excluded.ssh_port, \
            user = excluded.user, host_key = excluded.host_key, bind = excluded.bind, first = excluded.first, last = excluded.last, \
            is_local = excluded.is_local
            """
        case .addPorts:
            """
            WITH RECURSIVE fresh (port) AS (SELECT ?2 UNION ALL SELECT port + 1 FROM fresh WHERE port < ?3) \
            INSERT OR IGNORE INTO port SELECT ?1, port, NULL, 0 FROM fresh
            """
        case .countFree:
            "UPDATE tunnel_host SET free = (SELECT count(*) FROM port WHERE tunnel_host = ?1 AND lease IS NULL) WHERE host = ?1"
        case .host: "SELECT \(Self.hostColumns) FROM tunnel_host WHERE host = ?"
        case .hosts: "SELECT \(Self.hostColumns) FROM tunnel_host ORDER BY free DESC, host"
        case .freePorts: "SELECT port FROM port WHERE tunnel_host = ? AND lease IS NULL ORDER BY turn, port LIMIT ?"
        case .nextTurn: "UPDATE tunnel_host SET turn = turn + 1 WHERE host = ?"
        case .postpone:
            "UPDATE port SET turn = (SELECT turn FROM tunnel_host WHERE host = ?1) WHERE tunnel_host = ?1 AND port = ?2 AND lease IS NULL"
        case .claim: "UPDATE port SET lease = ?5 WHERE tunnel_host = ?1 AND port IN (?2, ?3, ?4) AND lease IS NULL"
        case .counted: "UPDATE tunnel_host SET free = free + ?2 WHERE host = ?1"
        case .free:
            """
            UPDATE port SET lease = NULL, turn = (SELECT turn FROM tunnel_host WHERE host = ?1) \
            WHERE tunnel_host = ?1 AND port IN (?2, ?3, ?4) AND lease IS NOT NULL
            """
        default: preconditionFailure("every query has its text")
        }
    }
}
