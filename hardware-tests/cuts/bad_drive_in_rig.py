#!/usr/bin/python3
"""A drive that fails in each step, for a while or in single sectors (see ../every-cut.bats): dm-flakey and dm-dust below dm-crypt.

    bad_drive_in_rig.py        one boot; prints `ok`/`not ok` lines of TAP

Finds: the drive /dev/ubda, the card /dev/ubdb, /base. Each step must end with a state that says what is wrong, never with a false `erased`,
and go on by itself or at the owner's word when the drive works again.
"""

import os
import pathlib
import signal
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
MEDIUM, NAME = "/dev/ubda", "sublet-drive"
PATH = os.environ["SUBLET_DRIVE"] = f"/dev/mapper/{NAME}"
sys.path[:0] = [str(HERE.parent / "lease"), str(HERE)]
import world_in_rig as rig  # noqa: E402
from evidence import Evidence  # noqa: E402
from world import Trouble, run, ssh, wait_for  # noqa: E402

SECTORS = int(run("blockdev", "--getsz", MEDIUM, check=False).stdout or 0)
# What says that something is wrong with the drive or what is on it.
MESSAGES = ("drive.gone", "drive.foreign", "drive.failing", "storage.failed", "lease.erase-failed", "container.down", "engine.down")


class Medium:
    """The drive through device-mapper: sound, failing, lying, or with bad sectors."""

    def __init__(self):
        run("modprobe", "-a", "dm-flakey", "dm-dust")
        run("dmsetup", "create", NAME, "--table", self.sound())

    @staticmethod
    def sound():
        return f"0 {SECTORS} linear {MEDIUM} 0"

    def become(self, table):
        # Without flushing what is under way: a drive that fails does not wait either.
        run("dmsetup", "suspend", "--noflush", "--nolockfs", NAME)
        run("dmsetup", "load", NAME, "--table", table)
        run("dmsetup", "resume", NAME)

    def fail(self):
        """Every read and write is an error."""
        self.become(f"0 {SECTORS} flakey {MEDIUM} 0 0 36000")

    def lie(self):
        """Writes are said to be done and are not; reads are right."""
        self.become(f"0 {SECTORS} flakey {MEDIUM} 0 0 36000 1 drop_writes")

    def mend(self):
        self.become(self.sound())

    def spoil(self, *sectors, lost_writes=0):
        """Reading these 512-byte sectors is an error until they are written; the first writes to each (at most 255) are errors too."""
        self.become(f"0 {SECTORS} dust {MEDIUM} 0 512")
        for sector in sectors:
            run("dmsetup", "message", NAME, "0", "addbadblock", sector, lost_writes)
        run("dmsetup", "message", NAME, "0", "enable")


class Story(Evidence):
    """The steps in turn; each is one line of TAP."""

    def __init__(self):
        self.medium = Medium()
        super().__init__()
        self.device.drive = pathlib.Path(PATH)
        self.number, self.failed, self.marker = 0, 0, None

    def since(self, offset):
        return [word[6:] for line in self.device.text()[offset:].splitlines() for word in line.split() if word.startswith("event=")]

    def offset(self):
        return len(self.device.text())

    def message(self, offset, seconds=60):
        """Waits for a message about the drive; gives the first."""
        def found():
            lines = self.device.text()[offset:].splitlines()
            return next((line for line in lines if any(f"event={name} " in line for name in MESSAGES)), None)

        line = wait_for("a message about the drive", found, seconds)
        print("#   it says:", line[line.index("event="):], flush=True)
        return line

    def comes(self, name, offset, seconds=120, nudge=False):
        """Waits for an event after the drive works again; the owner may have to say so (SIGHUP)."""
        if nudge:
            self.device.process.send_signal(signal.SIGHUP)
        wait_for(f"{name} after the drive works again", lambda: name in self.since(offset), seconds)

    def never(self, name, offset):
        if name in self.since(offset):
            raise Trouble(f"it says {name}, while the drive fails")

    def freeze_when(self, stage, reached, seconds=90):
        wait_for(f"the stage {stage}", lambda: self.device.stage() == stage and reached(self), seconds, 0)
        self.device.freeze()

    def go_on(self):
        (self.device.group / "cgroup.freeze").write_text("0")

    def stop_all(self):
        """As if the device had been switched off: nothing of it runs or is mounted."""
        (self.device.group / "cgroup.kill").write_text("1")
        wait_for("all to end", lambda: not (self.device.group / "cgroup.procs").read_text().split(), 30)
        self.device.end(signal.SIGKILL)
        self.device.pull_the_plug()
        wait_for("the volume to close", lambda: not os.path.exists(rig.MAPPER) or
                 run("cryptsetup", "close", rig.MAPPER, check=False).returncode == 0, 30)

    def tell(self, step):
        self.number += 1
        began = time.monotonic()
        try:
            step(self)
            result = "ok"
        except Exception as trouble:  # whatever it was: the next step may still tell something
            result, self.failed = "not ok", self.failed + 1
            print(f"#   {trouble}", *("#   | " + line for line in self.device.text().splitlines()[-25:]), sep="\n", flush=True)
            self.go_on()
            self.medium.mend()
        print(f"{result} {self.number} {step.__doc__.strip()} ({time.monotonic() - began:.0f} s)", flush=True)


def looked_at(here):
    """bad sectors while it is looked at: it says so and does nothing; read again, it goes on"""
    here.medium.spoil(0, 8)
    here.start_market()
    here.device.start()
    here.message(0)
    time.sleep(6)
    for name in ("lease.erased", "lease.registered", "lease.erasing"):
        here.never(name, 0)
    here.medium.mend()
    here.comes("drive.ready", 0)


def erased_first(here):
    """a drive that fails in the erase before its first tenant: never called erased; mended, it is erased"""
    # The first look went well; whatever of the erase has happened by now is done anew, by a new start.
    offset = anew(here, "cleaning")
    goes_on_mended(here, offset, here.medium.fail, "lease.erased")


def goes_on_mended(here, offset, spoil, goal, *beyond):
    """Frozen in a step, it goes on with a spoiled drive: it says so and does not come to its goal. Mended, and told so, it does."""
    spoil()
    here.go_on()
    here.message(offset)
    for name in (goal, *beyond):
        here.never(name, offset)
    # From before the mend: the governor may try again by itself at once.
    offset = here.offset()
    here.medium.mend()
    here.comes(goal, offset, nudge=True)


def anew(here, stage):
    """A device that knows nothing of this drive; stopped when it comes to a stage. Gives where its log stood."""
    here.stop_all()
    (here.device.state / "journal.json").unlink(missing_ok=True)
    offset = here.offset()
    here.device.start()
    here.freeze_when(stage, lambda _: True)
    return offset


def erased_first_with_bad_sectors(here):
    """sectors that can't be written in the erase before its first tenant: never called erased; mended, it is erased"""
    offset = anew(here, "cleaning")
    goes_on_mended(here, offset, lambda: here.medium.spoil(*range(64, 72), lost_writes=255), "lease.erased")


def prepared(here):
    """a drive that fails while it is prepared: not ready, not offered; mended, it is prepared"""
    here.freeze_when("preparing", lambda _: True)
    goes_on_mended(here, here.offset(), here.medium.fail, "storage.ready", "lease.offered")


def prepared_with_bad_sectors(here):
    """sectors that can't be written while it is prepared: not ready, not offered; mended, it is prepared"""
    anew(here, "preparing")
    # In the header's first copy, and where the file system begins.
    sectors = [*range(8, 16), *(rig.HEADER // 512 + sector for sector in range(8))]
    goes_on_mended(here, here.offset(), lambda: here.medium.spoil(*sectors, lost_writes=255), "storage.ready", "lease.offered")


def opened(here):
    """a drive that fails, or has bad sectors where its key slots are, when it is opened: the lease waits; mended, it goes on"""
    wait_for("the lease to live", lambda: here.device.stage() == "live", 30)
    lease = here.device.journal()["lease"]
    for spoil in (here.medium.fail, lambda: here.medium.spoil(*range(64, 72))):
        here.stop_all()
        spoil()
        offset = here.offset()
        here.device.start()
        here.message(offset)
        time.sleep(5)
        for name in ("storage.ready", "lease.erasing", "lease.erased", "lease.registered"):
            here.never(name, offset)
        here.medium.mend()
        here.comes("storage.ready", offset, nudge=True)
        if here.device.journal()["lease"] != lease:
            raise Trouble("another lease than before")


def bad_sectors_in_a_lease(here):
    """bad sectors under a renter's file: that file can't be read, all else can; the lease goes on"""
    here.comes("lease.offered", 0, seconds=400)
    here.access = here.rent("2h")
    here.event("lease.rented")
    here.marker = "sublet-marker-" + os.urandom(16).hex()
    here.write_marker(here.access, here.marker)
    block = here.show_medium(here.marker)
    offset = here.offset()
    first = (rig.HEADER + block * 4096) // 512
    here.medium.spoil(*range(first, first + 16))
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    read = ssh(here.access, "cat /data/marker", check=False)
    if read.returncode == 0 or "Input/output error" not in read.stderr:
        raise Trouble("the file over the bad sectors was read: the sectors are not bad")
    if ssh(here.access, "sha256sum <~/marker").stdout.split()[0] != rig.marker_digest(here.marker):
        raise Trouble("the other file is not right")
    time.sleep(5)
    here.never("lease.erasing", offset)
    here.medium.mend()
    if ssh(here.access, "sha256sum </data/marker").stdout.split()[0] != rig.marker_digest(here.marker):
        raise Trouble("the data is not back")


def failing_in_a_lease(here):
    """a drive that fails in the middle of a lease: it says so and keeps the lease; mended, the data is back"""
    lease = here.device.journal()["lease"]
    offset = here.offset()
    here.medium.fail()
    ssh(here.access, "echo x >/data/x; sync", check=False)
    try:
        here.message(offset, 60)
    finally:
        here.never("lease.erasing", offset)
        here.medium.mend()

    def is_back():
        done = ssh(here.access, "echo y >/data/y && sync && sha256sum </data/marker", check=False)
        return done.stdout.split()[:1] == [rig.marker_digest(here.marker)]

    wait_for("the renter to read and write again", is_back, 180, 2)
    if here.device.journal()["lease"] != lease:
        raise Trouble("another lease than before")


def restarted_after_failing(here):
    """after such a failure a restart of the device brings lease and data back"""
    here.stop_all()
    here.medium.mend()
    offset = here.offset()
    here.device.start()
    here.comes("storage.ready", offset)
    here.comes("container.up", offset, seconds=240)
    wait_for("the login", lambda: ssh(here.access, "true", check=False).returncode == 0, 60, 1)
    if ssh(here.access, "sha256sum </data/marker").stdout.split()[0] != rig.marker_digest(here.marker):
        raise Trouble("the data is another")
    here.never("lease.erasing", offset)


def erased(here):
    """a drive that fails within the erase of a lease: quarantined, not offered; mended, it is erased and has its receipt"""
    failing(here, here.medium.fail)


def lied_to(here):
    """a drive that only says that it writes: the erase is not believed; mended, it is erased"""
    next_lease(here)
    failing(here, here.medium.lie, receipt=False)


def erased_with_bad_sectors(here):
    """sectors that can't be written within the erase of a lease: quarantined, not offered; mended, it is erased"""
    next_lease(here)
    failing(here, lambda: here.medium.spoil(*range(64, 72), lost_writes=255), receipt=False)


def next_lease(here):
    here.comes("storage.ready", here.last, seconds=120)
    wait_for("the lease to live", lambda: here.device.stage() == "live", 30)


def failing(here, spoil, receipt=True):
    lease, offset = here.device.journal()["lease"], here.offset()
    here.market.command("end", "rig")
    here.freeze_when("erasing", lambda here: rig.runs("governor storage erase"))
    spoil()
    here.go_on()
    wait_for("the erase to fail", lambda: "lease.erase-failed" in here.since(offset), 120)
    here.message(offset)
    for name in ("lease.erased", "lease.registered", "storage.ready"):
        here.never(name, offset)
    if here.device.status().get("state") != "quarantined" or here.device.stage() != "quarantined":
        raise Trouble(f"the state is {here.device.status().get('state')}, in the journal {here.device.stage()}")
    here.medium.mend()
    # With the market away nothing is written after the erase.
    os.kill(here.market.process.pid, signal.SIGSTOP)
    try:
        here.comes("lease.erased", offset, nudge=True)
        if not rig.header_is_zero():
            raise Trouble("it says erased, but there is data in the header")
    finally:
        os.kill(here.market.process.pid, signal.SIGCONT)
        here.last = offset
    if receipt:
        here.show_receipt(lease)


STEPS = (
    looked_at, erased_first, erased_first_with_bad_sectors, prepared, prepared_with_bad_sectors, opened, bad_sectors_in_a_lease,
    failing_in_a_lease, restarted_after_failing, erased, lied_to, erased_with_bad_sectors,
)


def main():
    rig.protect_host()
    names = sys.argv[1:]
    steps = [step for step in STEPS if not names or step.__name__ in names]
    print(f"1..{len(steps)}", flush=True)
    here = Story()
    for step in steps:
        here.tell(step)
    return 1 if here.failed else 0


if __name__ == "__main__":
    sys.exit(main())
