/// The tables, as steps: step N makes version N+1 (user_version) out of version N. A step that was ever released is never changed.
enum Schema {
    static let steps = [first, second, third]

    // A lease's password is in the clear only until its renter has been told it. Times are seconds since 1970.
    // `port` holds every port that may be given out; who leaves gets the host's next `turn`, so the free ones stand in a line.
    private static let first = """
        CREATE TABLE rules (
            one INTEGER PRIMARY KEY CHECK (one = 1), check_in_seconds INTEGER NOT NULL, refused_seconds INTEGER NOT NULL) STRICT;
        CREATE TABLE owner (name TEXT PRIMARY KEY, added INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE device (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL REFERENCES owner, name TEXT NOT NULL, key_hash BLOB NOT NULL,
            tunnel_key TEXT UNIQUE, governor TEXT, architecture TEXT, processors INTEGER, memory_mib INTEGER, storage_mib INTEGER,
            encryption TEXT, added INTEGER NOT NULL, latest_lease TEXT REFERENCES lease) STRICT, WITHOUT ROWID;
        CREATE INDEX device_name ON device (name);
        CREATE INDEX device_owner ON device (owner, name, id);
        CREATE TABLE lease (
            id TEXT PRIMARY KEY, device TEXT NOT NULL REFERENCES device, state TEXT NOT NULL, registered INTEGER NOT NULL,
            expires INTEGER, ended INTEGER, reason TEXT, account TEXT NOT NULL, password BLOB, password_hash BLOB NOT NULL,
            ssh_keys TEXT NOT NULL, host TEXT NOT NULL REFERENCES tunnel_host, ssh INTEGER NOT NULL, http INTEGER NOT NULL,
            https INTEGER NOT NULL, CHECK (state IN ('offered', 'rented', 'ended')),
            CHECK ((state = 'ended') = (ended IS NOT NULL)), CHECK (state <> 'rented' OR expires IS NOT NULL),
            CHECK (state = 'offered' OR password IS NULL)) STRICT, WITHOUT ROWID;
        CREATE UNIQUE INDEX one_lease_runs ON lease (device) WHERE state <> 'ended';
        CREATE INDEX lease_expires ON lease (expires) WHERE state = 'rented';
        CREATE TABLE sighting (
            lease TEXT PRIMARY KEY REFERENCES lease, phase TEXT NOT NULL, tunnel TEXT NOT NULL, fault TEXT, uptime INTEGER NOT NULL,
            seen INTEGER NOT NULL, refused_since INTEGER) STRICT, WITHOUT ROWID;
        CREATE TABLE tunnel_host (
            host TEXT PRIMARY KEY, ssh_port INTEGER NOT NULL, user TEXT NOT NULL, host_key TEXT NOT NULL, bind TEXT NOT NULL,
            first INTEGER NOT NULL, last INTEGER NOT NULL, is_local INTEGER NOT NULL, free INTEGER NOT NULL,
            turn INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE port (
            tunnel_host TEXT NOT NULL REFERENCES tunnel_host, port INTEGER NOT NULL, lease TEXT REFERENCES lease, turn INTEGER NOT NULL,
            PRIMARY KEY (tunnel_host, port)) STRICT, WITHOUT ROWID;
        CREATE INDEX port_line ON port (tunnel_host, turn, port) WHERE lease IS NULL;
        CREATE INDEX port_lease ON port (lease) WHERE lease IS NOT NULL;
        CREATE TABLE receipt (
            lease TEXT PRIMARY KEY REFERENCES lease, device TEXT NOT NULL REFERENCES device, statement TEXT NOT NULL,
            signature TEXT NOT NULL, key TEXT NOT NULL, received INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        """

    // What a device without a lease waits for, in its words.
    private static let second = """
        ALTER TABLE device ADD COLUMN waiting TEXT;
        ALTER TABLE device ADD COLUMN waiting_told INTEGER;
        """

    // Which start of its governor a device's last check-in was of.
    private static let third = "ALTER TABLE sighting ADD COLUMN start INTEGER NOT NULL DEFAULT 0"
}
