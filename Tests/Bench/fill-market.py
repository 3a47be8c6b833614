"""Fills a market's fresh records with devices that hold offered leases: DATABASE COUNT; prints "id key lease" for each.

It writes the tables directly, for registering a hundred thousand devices one command each would take the bench's whole time.
"""
import hashlib
import secrets
import sqlite3
import sys
import time
import uuid

path, count = sys.argv[1], int(sys.argv[2])
now = int(time.time())
ledger = sqlite3.connect(path)
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
hosts = count * 3 // 60_000 + 1
ledger.execute("INSERT INTO owner VALUES ('bench', ?)", (now,))
for number in range(hosts):
    ledger.execute("INSERT INTO tunnel_host VALUES (?, 22, 'tunnel', ?, '127.0.0.1', 2000, 62000, 0, 0, 1)", (f"tunnel{number}", host_key))
for number in range(count):
    device, key, lease = str(uuid.uuid4()), secrets.token_hex(32), secrets.token_hex(16)
    host, first = f"tunnel{number % hosts}", 2000 + number // hosts * 3
    ledger.execute(
        "INSERT INTO device (id, owner, name, key_hash, tunnel_key, governor, architecture, processors, memory_mib, storage_mib,"
        " encryption, added) VALUES (?, 'bench', ?, ?, ?, '0.1.0', 'aarch64', 4, 4096, 60000, 'luks2', ?)",
        (device, f"d{number}", hashlib.sha256(key.encode()).digest(), "ssh-ed25519 " + secrets.token_hex(34), now))
    ledger.execute(
        "INSERT INTO lease VALUES (?, ?, 'offered', ?, NULL, NULL, NULL, 'renterabcd', ?, x'', '', ?, ?, ?, ?)",
        (lease, device, now, b"abcdefghjkmnpqrstuvw", host, first, first + 1, first + 2))
    ledger.execute("INSERT INTO sighting VALUES (?, 'offered', 'up', NULL, 0, ?, NULL, 1)", (lease, now))
    ledger.execute("UPDATE device SET latest_lease = ? WHERE id = ?", (lease, device))
    ledger.executemany("INSERT INTO port VALUES (?, ?, ?, 0)", [(host, first + offset, lease) for offset in range(3)])
    print(device, key, lease)
ledger.commit()
