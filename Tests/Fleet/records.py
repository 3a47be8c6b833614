"""The market's records: where the fleet comes from, and what they must say at the end."""

import contextlib
import hashlib
import secrets
import sqlite3
import time
import uuid


def add_devices(path, count):
    """Adds devices; gives number, id and key of each. Straight into the table: a command for each would take longer than the whole trial."""
    found = [(number, str(uuid.uuid4()), secrets.token_hex(32)) for number in range(count)]
    with contextlib.closing(sqlite3.connect(path)) as ledger:
        ledger.executemany(
            "INSERT INTO device (id, owner, name, key_hash, added) VALUES (?, 'olga', ?, ?, ?)",
            [(ident, f"d{number}", hashlib.sha256(key.encode()).digest(), int(time.time())) for number, ident, key in found],
        )
        ledger.commit()
    return found


def find_faults(fleet):
    """What was seen on the way, and a trial that tried nothing."""
    faults = list(fleet.faults)
    if not (fleet.rented and fleet.answered and fleet.receipts):
        faults.append(f"too little happened: {fleet.rented} rented, {fleet.answered} check-ins, {fleet.receipts} receipts")
    return faults


def compare(fleet, market):
    """What the records say that is not so; the market still runs."""
    faults = []
    with contextlib.closing(sqlite3.connect(f"file:{market.data / 'market.db'}?mode=ro", uri=True)) as ledger:
        ledger.execute("BEGIN")
        leases = {row[0]: row[1:] for row in ledger.execute("SELECT id, state, expires, ended, reason FROM lease")}
        for device in fleet.devices:
            for lease, sale in device.history:
                faults += judge(device, lease, sale, leases.pop(lease, None))
        # A registration whose answer was lost, or that nobody waited for at the end, is one that its device asks for again.
        asked = {device.lease for device in fleet.devices}
        faults += [f"lease {lease} is nobody's" for lease in leases if lease not in asked]
        held = ledger.execute("SELECT lease, count(*) FROM port WHERE lease IS NOT NULL GROUP BY lease").fetchall()
        running = {row[0] for row in ledger.execute("SELECT id FROM lease WHERE state <> 'ended'")}
        faults += [f"lease {lease} holds {count} ports" for lease, count in held if count != 3 or lease not in running]
        faults += [f"lease {lease} runs without ports" for lease in running - {lease for lease, _ in held}]
        faults += [f"{text}" for (text,) in ledger.execute("PRAGMA integrity_check") if text != "ok"]
    return faults


def judge(device, lease, sale, row):
    if row is None:
        return [f"{device.name}: lease {lease} was granted, and the records don't know it"]
    state, expires, ended, reason = row
    if not sale.is_known:
        is_true = expires is None and (reason is None or (reason == "ended" and sale.is_ending))
        return [] if is_true else [f"{device.name}: lease {lease} is {state} ({reason}), and nobody rented it"]
    if expires not in sale.may_end:
        return [f"{device.name}: lease {lease} ends at {expires} by the records; its renter was told {sorted(sale.may_end)}"]
    if state == "rented" or (reason == "expired" and ended >= expires) or (reason == "ended" and sale.is_ending):
        return []
    return [f"{device.name}: lease {lease}, rented until {expires}, is {state} since {ended} ({reason})"]
