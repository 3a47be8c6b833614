"""What must be true of drive, card and device after any power cut, judged by what stands outside of them."""

import base64
import json
import secrets
import time

from outside import Renter, marker_digest

DRIVE = "path:/dev/ubda"
STAGES = ("idle", "cleaning", "registering", "preparing", "live", "erasing", "quarantined")
# Nothing here breaks drive, card or market: whoever complains of them is wrong.
NEVER = (
    "journal.failed", "journal.unreadable", "config.bad", "drive.gone", "drive.foreign", "drive.failing", "drive.owed", "storage.failed",
    "lease.erase-failed", "market.answer-refused", "lease.registration-useless", "receipt.failed",
)


class Wrong(Exception):
    """Something that a power cut must never bring about."""


class Judge:
    """Keeps books of the leases, and holds every boot against them."""

    def __init__(self, machine, outside, facts):
        self.machine, self.outside = machine, outside
        # The lease on the drive: id, key, uuid; settled (it lives, by the journal or an offer); access, wasEmpty, marker, counted, hostKey, over; erasing
        # (it said so).
        self.lease = facts.get("lease")
        # What ended leases had.
        self.retired = facts.get("retired", [])
        # Whether the drive was seen erased, from outside, and nothing was written on it since.
        self.verified = facts.get("verified", False)
        self.renter = None
        self.checks = 0
        machine.on_event = self._at_once

    def facts(self):
        return {"lease": self.lease, "retired": self.retired, "verified": self.verified}

    def _at_once(self, event):
        if event.name == "lease.erasing":
            self.outside.freeze()

    def expect(self, holds, text):
        self.checks += 1
        if not holds:
            raise Wrong(text)

    def is_over(self, margin=0):
        """Whether the lease on the drive may have ended: by its expiration, or by the market's word."""
        access = self.lease and self.lease.get("access")
        return bool(access) and (self.lease.get("over", False) or time.time() >= access["expires"] - 1 - margin)

    # After a cut, before the next boot.

    def look(self):
        """Reads card and drive as the cut left them; gives the journal, {} where there is none yet."""
        self.outside.thaw()
        self.hear_renter()
        text, key = self.machine.read_card()
        journal = json.loads(text) if text else {}
        stage = journal.get("stage", "idle")
        self.expect(stage in STAGES, f"the journal's stage is {stage!r}")
        self.expect(stage != "quarantined", "the drive is quarantined, but nothing was wrong with it")
        if self.lease and not self.lease["settled"]:
            self.settle_or_drop(stage, journal)
        if journal.get("clean"):
            self.expect(self.machine.header_is_zero(), "the journal calls the drive clean, but there is data in its first 16 MiB")
            self.expect(key is None, "the journal calls the drive clean, but a key is on the card")
        if self.lease:
            self.look_at_lease(stage, journal, key)
        self.verified = journal.get("clean") == DRIVE
        return journal

    def settle_or_drop(self, stage, journal):
        if stage == "live" and journal.get("lease") == self.lease["id"]:
            self.lease["settled"] = True
        else:
            # The cut came before the journal said that it lives: its key is thrown away, the lease is prepared once more.
            self.expect(stage == "preparing", f"the drive was ready, but the journal's stage is {stage}")
            self.retire()

    def look_at_lease(self, stage, journal, key):
        lease = self.lease
        if journal.get("lease") != lease["id"]:
            self.expect(self.is_over(), "the journal has another lease, but this one is not over")
            self.expect(journal.get("clean") == DRIVE, "the journal forgot a lease, and does not call the drive clean")
            return self.retire()
        if stage == "erasing":
            return self.expect(self.is_over(), "the journal says that the lease is to be erased, but it is not over")
        self.expect(not lease.get("erasing"), f"the erase of a lease had begun, but the journal's stage is {stage}")
        self.expect(stage == "live", f"the lease lives, but the journal's stage is {stage}")
        self.expect(key is not None and key == base64.b64decode(lease["key"]), "the key of a live lease is not on the card")
        self.expect(self.machine.luks_uuid() == lease["uuid"], "the drive of a live lease has another header")
        self.expect(self.machine.opens(key), "the key of a live lease does not open the drive")

    # While it runs.

    def judge(self, event, journal):
        """Holds one line against the books; `journal` is what the boot began with."""
        name = event.name
        if name in NEVER:
            raise Wrong(f"in a world where nothing is broken: {event.line}")
        if name == "governor.started":
            self.expect(event.fields.get("stage") == journal.get("stage", "idle"), f"it reads another journal than we: {event.line}")
        elif name == "lease.erasing":
            lives = self.lease and self.lease["settled"]
            self.expect(not lives or self.is_over(), "a lease that lives is being erased")
            if lives:
                self.lease["erasing"] = True
        elif name == "lease.erased":
            self.erased()
        elif name == "lease.registration-failed":
            # Then nothing is heard; but it must not even ask.
            self.expect(not self.outside.is_frozen, "it asks for a lease before it said that the drive is erased")
        elif name == "lease.registered":
            self.expect(self.lease is None, "it registers, but a lease is on the drive")
            self.expect(self.verified, "it registers, but the drive was not seen erased")
            self.verified = False
        elif name == "storage.ready":
            self.ready(event)
        elif name == "lease.offered":
            self.offered(event)

    def erased(self):
        """It says that the drive is erased. The market is frozen, so nothing new has begun."""
        self.expect(self.machine.header_is_zero(), "it says erased, but there is data in the first 16 MiB of the drive")
        _, key = self.machine.read_card()
        self.expect(key is None, "it says erased, but a key is on the card")
        if self.lease:
            self.retire()
        for old in self.retired[-2:]:
            self.expect(not self.machine.card_holds(base64.b64decode(old["key"])), "the key of an ended lease stands on the card")
        self.verified = True
        self.outside.thaw()

    def retire(self):
        self.retired.append(self.lease)
        self.lease = None
        if self.renter:
            self.renter.stop()
        self.renter = None

    def ready(self, event):
        _, key = self.machine.read_card()
        uuid = self.machine.luks_uuid()
        if self.lease:
            self.expect(self.lease["uuid"] == uuid, "a lease that lived has another header")
            return
        self.expect(uuid is not None and key is not None and len(key) == 64, "no header on the drive or no key on the card")
        text = base64.b64encode(key).decode()
        for old in self.retired:
            self.expect(old["uuid"] != uuid and old["key"] != text, "the key or the header of an earlier lease is used again")
        self.lease = {"id": event.fields.get("lease"), "uuid": uuid, "key": text, "settled": False}

    def offered(self, event):
        lease = self.lease
        self.expect(lease is not None, "offered, but no drive is ready")
        self.expect(event.fields.get("lease") == lease["id"], "offered under another lease than that of the drive")
        self.expect(not lease.get("access"), "a lease that was rented is offered again")
        self.expect(self.machine.luks_uuid() == lease["uuid"], "offered on another header")
        lease["settled"] = True

    # The renter's view.

    def rented(self, access):
        self.expect(access["lease"] == self.lease["id"], "the market rents out another lease than the one on the drive")
        for old in self.retired:
            before = old.get("access")
            self.expect(not before or access["password"] != before["password"], "an account is used again")
        self.lease["access"] = access
        self.lease["settled"] = True

    def move_in(self):
        """First login: the machine is empty; then data goes on it. False where that can't be seen (yet)."""
        self.renter = renter = Renter(self.lease["access"])
        if "wasEmpty" not in self.lease:
            seen = renter.login("ls -A /data; ls /home")
            if seen is None:
                return False
            self.expect(seen.split() == [self.lease["access"]["user"]], f"a new renter finds {seen.split()}")
            # From now on our own data may be there, however far the first try comes.
            self.lease["wasEmpty"] = True
        marker = "sublet-marker-" + secrets.token_hex(16)
        host_key = renter.ask_host_key()
        if not host_key:
            return False
        # It must stay, even if the power goes before anything is written.
        self.expect(self.lease.setdefault("hostKey", host_key) == host_key, "the machine has another host key")
        if not renter.write(marker):
            return False
        self.lease["marker"] = marker
        renter.start_counting()
        return True

    def come_back(self):
        """After a cut: the same account, the same machine, and all that was on the drive. None where that can't be seen (yet)."""
        lease = self.lease
        self.renter = renter = Renter(lease["access"])
        text = renter.login("sha256sum <~/marker; sha256sum </data/marker; cat /data/n ~/n || echo 0 0" if "marker" in lease else "true")
        if text is None:
            return None
        if "marker" in lease:
            words = text.split()
            is_same = [words[0], words[2]] == [marker_digest(lease["marker"])] * 2
            self.expect(is_same, f"the renter's data is another after the cut: {words}")
            counted = lease.get("counted", 0)
            self.expect(
                all(int(word) >= counted for word in words[4:6]), f"told that it is synced: {counted}; in /data and at home: {words[4:6]}"
            )
            host_key = renter.ask_host_key()
            self.expect(not host_key or host_key == lease["hostKey"], "the machine has another host key")
        return True

    def work(self):
        """A renter who is busy: counts, and installs packages. False where that can't be seen (yet)."""
        if "installed" in self.lease:
            found = self.renter.mend()
            if found is None:
                return False
            installed = self.lease["installed"]
            self.expect(int(found[0]) >= installed, f"told that version {installed} is installed; dpkg knows {found[0]}")
            number = found[1].split()[0] if found[1].strip() else "nothing"
            self.expect(found[1].split() == [number, "1", "20"], f"after the cut dpkg can't mend what it did: {found[1]!r}")
        if not self.renter.processes:
            self.renter.start_counting()
        self.renter.start_installing()
        return True

    def hear_renter(self):
        """What the renter was told before the power went."""
        if self.renter and self.lease:
            self.renter.stop()
            self.lease["counted"] = max(self.lease.get("counted", 0), self.renter.counted)
            if self.renter.installed:
                self.lease["installed"] = self.renter.installed
        self.renter = None
