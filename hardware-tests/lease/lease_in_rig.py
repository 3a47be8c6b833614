#!/usr/bin/python3
"""A lease on a drive that is really encrypted, told in chapters; each is one boot of the fast rig (see ../lease.bats).

    lease_in_rig.py CHAPTER [WORD]
"""

import os
import secrets
import sys
import time

from evidence import Evidence
from world_in_rig import (
    DRIVE, IO, MAPPER, START, at, await_power_cut, expect, header_is_zero, marker_digest, read_raw, runs, say, tell_chapter,
)
from world import run, ssh, wait_for  # (world_in_rig knows where it is)


class Story(Evidence):
    """A lease whose power is cut at chosen places."""

    def freeze_at(self, place):
        """Stops the device at a place inside an erase or a preparation."""
        stage, reached = PLACES[place]

        def is_here():
            # At the start the journal still tells of the preparation that the last power cut broke off.
            is_new = stage != "preparing" or self.device.events("lease.registered")
            return is_new and self.device.stage() == stage and reached(self)

        wait_for(f"the place {place}", is_here, 300, 0)
        self.device.freeze()
        if place.endswith("-due"):
            self.device.sync_journal()
        header = "is gone" if not any(read_raw(DRIVE, 0, 4096)) else "is there"
        rest = "zero" if header_is_zero() else "not zero"
        key = "is there" if self.key.exists() else "is gone"
        slots = "there" if slots_on_drive() else "gone"
        say(
            f"stopped at {place}: the journal says {self.device.stage()}; on the drive the header {header}, key slots are {slots}, "
            f"the first 16 MiB are {rest}; the key file {key}"
        )


def slots_on_drive():
    """Whether the LUKS2 header on the medium (its JSON begins at 4 KiB) names a key slot."""
    text = read_raw(DRIVE, 4096, 8192)
    return b'"keyslots":{"' in text


# Where the power can go: the journal's stage, and what else must be true.
PLACES = {
    "erase-due": ("erasing", lambda here: True),
    "erase-begun": ("erasing", lambda here: runs("governor storage erase")),
    "key-file-gone": ("erasing", lambda here: not here.key.exists()),
    "slots-destroyed": ("erasing", lambda here: not slots_on_drive()),
    "header-wiped": ("erasing", lambda here: not any(read_raw(DRIVE, 0, 4096))),
    "prepare-due": ("preparing", lambda here: True),
    "key-made": ("preparing", lambda here: here.key.exists()),
    "formatted": ("preparing", lambda here: any(read_raw(DRIVE, 0, 4096))),
    "opened": ("preparing", lambda here: os.path.exists(MAPPER)),
    "file-system": ("preparing", lambda here: runs("mkfs.ext4")),
}


# The chapters.


def whole(here):
    """A whole lease, and the next renter; then the power goes."""
    marker, second = ("sublet-marker-" + secrets.token_hex(16) for _ in range(2))
    (IO / "markers").write_text(f"{marker}\n{second}\n")
    here.start()
    here.event("lease.erased")
    here.event("lease.registered")
    here.event("storage.ready")
    here.event("lease.offered", seconds=600)
    # Long enough for what is looked at below, also on a slow machine.
    access = here.rent(f"{max(60, int(2.5 * (time.monotonic() - START)))}s")
    here.event("lease.rented")
    here.write_marker(access, marker)
    here.show_encryption()
    block = here.show_medium(marker)
    here.show_wrong_key_refused()
    here.fill_drive(access, marker)
    here.steal()
    at("live")
    here.lose_dockerd()
    # With the market away nothing new is registered, so what an erase leaves can be looked at.
    here.market.end()
    say("the market is gone; the device ends the lease by itself")
    here.event("lease.expired", seconds=900)
    here.event("lease.erased", 2)
    here.show_erased()
    here.show_stolen_key_useless()
    here.show_card_opens_nothing()
    expect(
        here.stolen_pair_reads(marker, block),
        "the limit of an erase by key: who copied header AND key while the lease lived still reads what is not overwritten",
    )
    at("erased")
    here.market.start()
    here.event("lease.registered", 2)
    checks = here.show_receipt(access["lease"])
    expect(set(checks) >= {"old-key-refused", "key-file-gone", "no-header", "header-zero"}, "all checks of an erase by key")
    here.event("lease.offered", 2, seconds=600)
    again = here.rent("2h")
    expect(all(again[key] != access[key] for key in ("lease", "user", "password")), "another lease, another user, another password")
    seen = ssh(again, "ls -A /data; ls /home").stdout.split()
    expect(seen == [again["user"]], "the second renter sees nothing of the first")
    here.show_docker_forgot(marker)
    expect(ssh({**access, "sshPort": again["sshPort"]}, "true", check=False).returncode != 0, "the old password is refused")
    here.write_marker(again, second)
    here.facts.keep(access=again, first=access["lease"], marker=second, host_key=here.host_key(again), leases=[access["lease"]])
    run("sync")
    await_power_cut("leased")


def resume(here):
    """After a power cut the lease of the boot before goes on."""
    access = here.facts["access"]
    here.start()
    here.event("storage.ready")
    here.event("tunnel.up")
    here.event("container.up")
    expect(here.device.journal()["lease"] == access["lease"] and not here.device.events("lease.registered"), "the same lease")
    expect(not here.device.events("lease.erasing"), "nothing was erased")
    wait_for("the login", lambda: ssh(access, "true", check=False).returncode == 0, 120)
    digests = ssh(access, "sha256sum <~/marker; sha256sum </data/marker").stdout.split()[0::2]
    expect(digests == [marker_digest(here.facts["marker"])] * 2, "the same password, and all the data is there")
    expect(here.host_key(access) == here.facts["host_key"], "the same machine, by its host key")


def interrupted_erase(here, place="erase-due"):
    """The lease goes on, the market ends it, and the power goes when its erase is due or under way."""
    resume(here)
    here.market.command("end", "rig")
    here.freeze_at(place)
    await_power_cut("frozen")


def again_interrupted(here, place):
    """An erase or a preparation that the power cut off goes on by itself, and is cut off again."""
    if PLACES[place][0] == "preparing":
        here.start_market()
    here.device.start()
    here.freeze_at(place)
    await_power_cut("frozen")


def erased(here, place="formatted"):
    """After a power cut in an erase: erased before anything else. Then the power goes while the drive is prepared for the next."""
    lease = here.device.journal()["lease"]
    expect(here.device.stage() == "erasing" and lease == here.facts["access"]["lease"], "the journal says that the lease is to be erased")
    here.device.start()
    here.event("lease.erased")
    here.show_erased()
    expect(here.order("storage.ready", "container.up", "lease.offered", "lease.registered") == [], "nothing was opened before, or offered")
    expect(not ssh(here.facts["access"], "true", check=False).returncode == 0, "nobody can log in")
    here.start_market()
    here.freeze_at(place)
    here.facts.keep(leases=[here.facts["first"], lease], next=here.device.journal()["lease"])
    await_power_cut("frozen")


def prepared(here):
    """After a power cut while the drive was prepared: erased, and the same lease gets a fresh key and is prepared once more."""
    next_lease = here.facts["next"]
    expect(here.device.stage() == "preparing" and here.device.journal()["lease"] == next_lease, "the journal says that it was preparing")
    before = here.key.read_bytes() if here.key.exists() else b""
    here.start()
    here.event("storage.ready")
    order = here.order("lease.erased", "lease.registered", "storage.ready", "lease.offered")
    # (By now it may be offered too.)
    expect(order[:3] == ["lease.erased", "lease.registered", "storage.ready"], "erased, registered, prepared, in this order")
    expect(here.device.journal()["lease"] == next_lease, "the lease that was asked for before")
    expect(here.key.read_bytes() != before and here.key.stat().st_size == 64, "with another key")
    for lease in here.facts["leases"]:
        here.show_receipt(lease)
    here.end()


def other_method(here, method):
    """The lease goes on and is erased by overwriting or discarding too: then not even header and key together read anything."""
    here.device.config["storage"]["erase"] = method
    here.device.write_config()
    resume(here)
    block = here.show_medium(here.facts["marker"])
    here.show_wrong_key_refused()
    here.steal()
    here.market.command("end", "rig")
    here.event("lease.ended-by-market")
    here.market.end()
    here.event("lease.erased", seconds=600)
    here.show_erased()
    expect(not here.stolen_pair_reads(here.facts["marker"], block), "who copied header AND key while the lease lived reads nothing")
    here.market.start()
    expect("all-zero" in here.show_receipt(here.facts["access"]["lease"], method), "all of the drive was read back as zero")
    here.end()


CHAPTERS = {
    each.__name__.replace("_", "-"): each for each in (whole, interrupted_erase, again_interrupted, erased, prepared, other_method)
}


if __name__ == "__main__":
    sys.exit(tell_chapter(CHAPTERS, Story))
