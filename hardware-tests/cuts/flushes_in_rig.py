#!/usr/bin/python3
"""Every state in which a power cut can leave drive and card during one preparation and one erase (see ../flush-points).

    flushes_in_rig.py record            a device prepares a drive and erases it, both behind one dm-log-writes
    flushes_in_rig.py replay EVERY [N...]     the governor starts from each EVERYth state that the log allows, or from the points N

Finds: /dev/ubda, the medium: first the drive, then the card; /dev/ubdb, the log; /dev/ubdc, the medium as it was in the beginning;
/dev/ubdd, room for what a start writes.

Drive and card share one log, so that we know the order of their writes. Up to each flush or FUA everything is on the medium; of what
came after the flush before, any part may be: we take all of it, that of the card alone, and that of the drive alone.
"""

import functools
import json
import os
import pathlib
import signal
import sys
import tarfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "Tests" / "Integration"), str(HERE)]
from log_writes import Log  # noqa: E402
from world import Device, Market, Trouble, TunnelServer, Workspace, run, wait_for  # noqa: E402

MEDIUM, LOG, ORIGIN, ROOM = "/dev/ubda", "/dev/ubdb", "/dev/ubdc", "/dev/ubdd"
DRIVE, CARD = "/dev/mapper/sublet-drive", "/dev/mapper/sublet-card"
PLACE = pathlib.Path("/card")
CARD_BYTES = 64 << 20
HEADER = 16 << 20
GROUP = pathlib.Path("/sys/fs/cgroup/device")
# From one mark to the next.
PARTS = {"prepare": ("begin", "prepared"), "erase": ("ending", "erased")}
FORBIDDEN = (
    "journal.failed", "journal.unreadable", "drive.foreign", "storage.failed", "lease.erase-failed", "container.up", "lease.offered",
)


class Wrong(Exception):
    """A state from which the governor did not come to the right one."""


def sectors(path):
    return int(run("blockdev", "--getsz", path).stdout)


@functools.cache
def drive_bytes():
    return sectors(ORIGIN) * 512 - CARD_BYTES


def make(name, *table):
    run("dmsetup", "create", name, "--table", " ".join(map(str, table)))


def split(medium):
    """The drive and the card on a medium."""
    count = drive_bytes() // 512
    make("sublet-drive", 0, count, "linear", medium, 0)
    make("sublet-card", 0, CARD_BYTES // 512, "linear", medium, count)


def unmake(*names):
    for name in names:
        wait_for(f"{name} to be free", lambda each=name: run("dmsetup", "remove", each, check=False).returncode == 0, 20, 0.2)


class GroupedDevice(Device):
    """A device all of whose processes can be ended at once."""

    def launch(self, words, **options):
        GROUP.mkdir(exist_ok=True)
        super().launch(words, preexec_fn=lambda: (GROUP / "cgroup.procs").write_text(str(os.getpid())), **options)

    def kill_all(self):
        (GROUP / "cgroup.kill").write_text("1")
        wait_for("its processes to end", lambda: not (GROUP / "cgroup.procs").read_text().split(), 20, 0.02)
        self.process.wait()
        self.process = None

    def leave(self):
        """Unmounts what the last run has left mounted."""
        for line in reversed(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
            point = line.split()[4]
            if point.startswith(str(self.run_folder)):
                run("umount", "-l", point, check=False)
        if os.path.exists(self.mapper):
            wait_for("the volume to close", lambda: run("cryptsetup", "close", self.mapper, check=False).returncode == 0, 20, 0.2)

    @property
    def mapper(self):
        return f"/dev/mapper/{self.bridge}-lease"


def world():
    """A market and a device on `sublet-drive` and /card. The base image is empty: no container ever runs here."""
    space = Workspace("flushes")
    base = space.folder / "base.tar"
    tarfile.open(base, "w").close()
    market = Market(space, check_in=2, port=8080)
    market.command("owner", "add", "olga")
    config = market.add_device("rig")
    TunnelServer(space, market).prepare()
    device = GroupedDevice(space, config, base, encryption="luks2", drive=DRIVE, subnet="10.213.77.0/30", fence="none")
    device.state = PLACE / "state"
    device.bridge = device.config["network"]["bridge"] = "sublet0"
    device.write_config()
    return market, device


def mark(text):
    run("sync")
    run("dmsetup", "message", "logged", "0", "mark", text)


def record():
    split(MEDIUM)
    run("mkfs.ext4", "-q", CARD)
    unmake("sublet-card", "sublet-drive")
    copy_card()
    make("logged", 0, sectors(MEDIUM), "log-writes", MEDIUM, LOG)
    split("/dev/mapper/logged")
    PLACE.mkdir()
    run("mount", CARD, PLACE)
    market, device = world()
    market.start()
    mark("begin")
    device.start()
    device.wait_event("storage.ready", seconds=120)
    wait_for("the journal to say that it lives", lambda: device.journal()["stage"] == "live", 20)
    mark("prepared")
    market.command("end", "rig")
    mark("ending")
    device.wait_event("lease.erasing", 2, seconds=60)
    market.end()
    device.wait_event("lease.erased", 2, seconds=60)
    wait_for("the journal to forget it", lambda: device.journal()["stage"] in ("idle", "registering"), 20)
    mark("erased")
    device.kill_all()
    device.leave()
    run("umount", PLACE)
    unmake("sublet-card", "sublet-drive", "logged")
    log = Log(LOG)
    for part, ends in PARTS.items():
        print(f"{part}: {len(log.between(*ends))} writes and flushes were logged", flush=True)


def copy_card():
    """What the card held before the log began."""
    source, target = os.open(MEDIUM, os.O_RDONLY), os.open(ORIGIN, os.O_WRONLY)
    for offset in range(drive_bytes(), drive_bytes() + CARD_BYTES, 1 << 20):
        os.pwrite(target, os.pread(source, 1 << 20, offset), offset)
    os.fsync(target)


class Replay:
    """Goes through the log, and starts the governor from every state on the way."""

    def __init__(self, every, only):
        self.every, self.only = every, only
        self.log = Log(LOG)
        self.origin = os.open(ORIGIN, os.O_RDWR)
        PLACE.mkdir()
        _, self.device = world()
        self.states = self.started = 0
        self.outcomes = {}

    def all(self):
        last = {part: self.log.between(*ends)[-1].number for part, ends in PARTS.items()}
        first = {part: self.log.between(*ends)[0].number for part, ends in PARTS.items()}
        waiting, points = [], {part: 0 for part in PARTS}
        for entry in self.log.entries:
            waiting += [entry] if entry.writes else []
            part = next((each for each in PARTS if first[each] <= entry.number <= last[each]), None)
            if not entry.is_point:
                continue
            points[part] = points.get(part, 0) + 1
            if part and waiting:
                self.halves(part, entry, waiting)
            self.advance(waiting)
            if part and waiting:
                self.state(part, entry, "all", [])
            waiting = []
        points.pop(None, None)
        return points

    def advance(self, entries):
        self.log.replay(entries, self.origin)
        os.fsync(self.origin)

    def halves(self, part, point, entries):
        """What stands before the flush is done: of the two, only one has written."""
        on_card = [entry for entry in entries if entry.start >= drive_bytes()]
        on_drive = [entry for entry in entries if entry.start < drive_bytes()]
        if on_card and on_drive:
            self.state(part, point, "card", on_card)
            self.state(part, point, "drive", on_drive)

    def state(self, part, point, name, entries):
        self.states += 1
        if point.number in self.only if self.only else self.states % self.every == 0:
            self.started += 1
            self.start_from(f"{part}, point {point.number}, {name}", entries)

    def start_from(self, name, entries):
        began = time.monotonic()
        make("state", 0, sectors(ORIGIN), "snapshot", ORIGIN, ROOM, "N", 8)
        target = os.open("/dev/mapper/state", os.O_RDWR)
        self.log.replay(entries, target)
        os.fsync(target)
        os.close(target)
        split("/dev/mapper/state")
        try:
            outcome = self.judge(name)
        finally:
            if self.device.process:
                self.device.kill_all()
            self.device.leave()
            run("umount", PLACE, check=False)
            unmake("sublet-card", "sublet-drive", "state")
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        print(f"  {name}: {outcome} ({time.monotonic() - began:.1f} s)", flush=True)

    def judge(self, name):
        """The governor from this state on; gives what it did, in words."""
        device = self.device
        if run("mount", CARD, PLACE, check=False).returncode != 0:
            raise Wrong(f"{name}: the card can't be mounted")
        path = device.state / "journal.json"
        journal = json.loads(path.read_text()) if path.exists() else {}
        stage, is_clean = journal.get("stage", "idle"), journal.get("clean") is not None
        if is_clean and not (header_is_zero() and not (device.state / "lease.key").exists()):
            raise Wrong(f"{name}: the journal calls the drive clean, but a header or a key is there")
        device.log.unlink(missing_ok=True)
        device.start()
        ending = "storage.ready" if stage == "live" else "lease.registration-failed"
        try:
            device.wait_event(ending, seconds=90)
        except Trouble as trouble:
            raise Wrong(f"{name}: from the stage {stage}: {trouble}; what it said:\n{device.text()}") from None
        seen = [word[6:] for line in device.text().splitlines() for word in line.split() if word.startswith("event=")]
        if any(event in seen for event in FORBIDDEN):
            raise Wrong(f"{name}: from the stage {stage}:\n{device.text()}")
        if stage == "live":
            if "lease.erasing" in seen or "lease.registered" in seen:
                raise Wrong(f"{name}: a live lease was not resumed:\n{device.text()}")
            return "resumed"
        if is_clean != ("lease.erased" not in seen):
            raise Wrong(f"{name}: clean by the journal: {is_clean}, but:\n{device.text()}")
        if "storage.ready" in seen or not header_is_zero() or (device.state / "lease.key").exists():
            raise Wrong(f"{name}: from the stage {stage} it did not come to an erased drive:\n{device.text()}")
        return "clean already" if is_clean else f"erased from {stage}"


def header_is_zero():
    descriptor = os.open(DRIVE, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return not any(os.pread(descriptor, 1 << 20, offset).strip(b"\0") for offset in range(0, HEADER, 1 << 20))
    finally:
        os.close(descriptor)


def main():
    word, *numbers = sys.argv[1:]
    for share in (str(HERE.parents[1]), os.environ["SUBLET_BIN"]):
        run("mount", "-o", "remount,bind,ro", share)
    run("modprobe", "-a", "dm-log-writes", "dm-snapshot")
    if word == "record":
        record()
        return 0
    replay = Replay(int(numbers[0]), [int(number) for number in numbers[1:]])
    try:
        points = replay.all()
    except Wrong as wrong:
        print(f"WRONG {wrong}", flush=True)
        return 1
    text = ", ".join(f"{count} flush points in one {part}" for part, count in points.items())
    print(f"{text}; {replay.states} states, started from {replay.started}: {json.dumps(replay.outcomes)[1:-1]}", flush=True)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
