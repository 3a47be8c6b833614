#!/usr/bin/python3
"""The board's side of ../drive.bats: a market, its tunnel server and a device on loopback, told step by step.

    drive_on_board.py IO CARD

IO is a folder that the host of the test sees too. There it takes orders: `order-N`, words parted by NUL, the first one a step
of STEPS; it answers with `said-N`, what the step has to say, and then `done-N`, `ok` or `failed`. CARD is a disk for what must not
lie in RAM. The programs are in SUBLET_BIN, the base image in /base.

Drives are known here by the serial that they say over USB; who plugs them is not this program's business.
"""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Integration"))
import world  # noqa: E402
from world import Device, Market, Trouble, TunnelServer, Workspace, run, ssh, wait_for  # noqa: E402

BRIDGE = "sublet0"
MAPPER = f"/dev/mapper/{BRIDGE}-lease"
# Seconds for what mostly computes: this may be an imitated processor on a busy machine.
LONG = 420


def say(text):
    print(text, flush=True)


def expect(holds, text):
    """One thing that was to be shown."""
    if not holds:
        raise Trouble("not so: " + text)
    say("ok: " + text)


def udev(serial):
    """What udev knows of the USB disk of this serial; nothing where there is none."""
    for entry in os.listdir("/sys/block"):
        if "/usb" not in os.path.realpath(f"/sys/block/{entry}"):
            continue
        done = run("udevadm", "info", "--query=property", f"--path=/sys/block/{entry}", check=False)
        known = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        if known.get("ID_SERIAL_SHORT") == serial:
            return known
    return {}


def node_of(serial, seconds=60):
    return wait_for(f"udev to know {serial}", lambda: udev(serial).get("DEVNAME"), seconds)


class FrozenDevice(Device):
    """A device whose processes are in a control group: it can be stopped as one, at an exact place."""

    group = pathlib.Path("/sys/fs/cgroup/device")

    def launch(self, words, **options):
        self.group.mkdir(exist_ok=True)
        super().launch(words, preexec_fn=lambda: (self.group / "cgroup.procs").write_text(str(os.getpid())), **options)

    def freeze(self, frozen=True):
        (self.group / "cgroup.freeze").write_text(str(int(frozen)))
        events = self.group / "cgroup.events"
        wait_for("the device to stand still or go on", lambda: f"frozen {int(frozen)}" in events.read_text(), 20, 0.01)

    def stage(self):
        return self.journal()["stage"] if (self.state / "journal.json").exists() else ""


class Space(Workspace):
    """With the disk part on the card, as on a board."""

    def __init__(self, card):
        self.name = "drive"
        self.ports = set()
        self.folder = pathlib.Path("/run", self.name)
        self.folder.mkdir(mode=0o755)
        self.disk = pathlib.Path("/card")
        self.disk.mkdir(exist_ok=True)
        run("mkfs.ext4", "-q", card)
        run("mount", card, self.disk)
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        for name in ("market", "governor"):
            run("cp", world.BIN / name, self.programs / name)


class Board:
    def __init__(self, card):
        self.card = card
        self.space = Space(card)
        self.market = Market(self.space, check_in=2)
        self.sshd = TunnelServer(self.space, self.market)
        self.sshd.host_key = self.space.disk / "host_ed25519"
        self.market.command("owner", "add", "olga")
        added = self.market.command("device", "add", "--owner", "olga", "--name", "board", "--server", self.market.url)
        self.sshd.prepare()
        base = next(pathlib.Path("/base").glob("*.tar"))
        self.device = FrozenDevice(self.space, json.loads(added.stdout), base, encryption="luks2", subnet="10.213.77.0/30")
        self.device.bridge = self.device.config["network"]["bridge"] = BRIDGE
        # No path: whatever USB drive there is.
        self.device.config["storage"] = {"encryption": "luks2"}
        self.device.write_config()
        self.key = self.device.state / "lease.key"
        self.access = None
        self.digests = []
        self.before = None
        # Log lines up to here are of steps before.
        self.seen = 0

    # What steps are made of.

    def event(self, name, seconds=120, serial=None):
        """Waits for a log line of this step, about the drive of that serial if one is given."""
        def found():
            if not self.device.is_running:
                raise Trouble("the governor ended")
            return any(serial is None or f":{serial}@" in line for line in self.device.events(name, self.seen))

        wait_for(f"event {name} {serial or ''}", found, seconds, 0.05)
        say(f"event {name} {serial or ''}")

    def happened(self, name):
        return bool(self.device.events(name, self.seen))

    def left(self, serial):
        """What the running governor says of a drive that it does not take."""
        return next((drive for drive in self.device.status().get("drivesLeft", []) if f":{serial}@" in drive["identity"]), None)

    def identity_in_use(self):
        return self.device.status().get("drive") or ""

    def shows(self, what, check, seconds=60):
        wait_for(what, check, seconds, 0.3)
        say("ok: " + what)

    def marker_digests(self):
        return ssh(self.access, "sha256sum </data/marker; sha256sum <~/marker").stdout.split()[0::2]

    def market_says(self):
        """The market's word on the device."""
        devices = json.loads(self.market.command("device", "list", "--json").stdout)
        return next(device for device in devices if device["name"] == "board")

    def trouble(self):
        """What helps to understand a failure."""
        for name in ("device.log", "market.log", f"{self.device.run_folder.name}/dockerd.log"):
            path = self.space.folder / name
            if path.exists():
                lines = [line for line in path.read_text(errors="replace").splitlines() if "event=market.checked-in" not in line]
                print(f"--- {name}", *lines[-40:], sep="\n", flush=True)
        print("--- status", json.dumps(self.device.status(), indent=1), sep="\n", flush=True)
        print("--- kernel", run("dmesg", check=False).stdout[-1500:], sep="\n", flush=True)


# The steps. Each name is an order.


def udev_shows(here, serial, driver="usb-storage"):
    """None of our code: the kernel and udev see the drive."""
    node = node_of(serial)
    known = udev(serial)
    expect(known["ID_BUS"] == "usb" and known["ID_USB_DRIVER"] == driver, f"{serial} is on USB, by {driver}")
    say(f"{serial} is {node}, at {known['ID_PATH']}")


def udev_forgets(here, *serials):
    for serial in serials:
        here.shows(f"{serial} is gone", lambda: not udev(serial))


def start_device(here):
    here.market.start()
    here.sshd.start()
    here.device.start()
    here.event("governor.started", 30)


def waits(here):
    """Without a drive that it may take, the device says so, by word and lamp."""
    here.device.wait_until("waiting", seconds=60)
    status = here.device.status()
    expect(status["lamp"] == "three", f"the lamp: {status['lampMeaning']}")
    say(f"why: {status.get('driveReason')}")


def is_left(here, serial, verdict, words):
    """A drive that is not taken: status and log say why."""
    def so():
        found = here.left(serial)
        return found if found and found["verdict"] == verdict and words in found["reason"] else None

    found = wait_for(f"{serial} to be {verdict}: {words}", so, 120, 0.3)
    say(f"ok: {serial} is {verdict}: {found['reason']}")
    here.event("drive.foreign", 10, serial)


def is_spare(here, serial, words):
    """A drive that could be taken if no other were: status says so, and there is nothing to warn of."""
    here.shows(f"{serial} is spare: {words}", lambda: words in (here.left(serial) or {"reason": ""})["reason"], 120)
    expect(not any(f":{serial}@" in line for line in here.device.events("drive.foreign", here.seen)), "no warning in the log")


def list_agrees(here, *empty):
    """`storage list --json` tells the same as the governor that runs, and of empty slots too, which are nobody's business else."""
    told = {drive["identity"]: drive["verdict"] for drive in here.device.status()["drivesLeft"]}
    listed = json.loads(run(here.device.program, "storage", "list", "--json", *here.device.places).stdout)
    found = {drive["identity"]: drive["verdict"] for drive in listed if drive["usb"]}
    for serial in empty:
        expect(not here.left(serial), f"{serial} is no drive for the governor")
        identity = next(identity for identity in found if f":{serial}@" in identity)
        expect(found.pop(identity) == "missing", f"storage list tells of {serial} that it is empty")
    expect(told == found, "of all others storage list and status tell the same")


def by_path_refused(here, serial_or_node, words):
    """Told by its path, a disk that must never be touched is refused all the same, and nothing on it changes."""
    path = serial_or_node if serial_or_node.startswith("/") else node_of(serial_or_node)
    for step in ("prepare", "erase"):
        done = subprocess.run(
            [str(word) for word in (here.device.program, "storage", step, path, "--yes", *here.device.places)],
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )
        expect(done.returncode != 0 and words in done.stderr, f"storage {step} {path}: {done.stderr.strip()}")


def system_disks_refused(here):
    """What the system lives on, and what the governor keeps its state on."""
    by_path_refused(here, run("findmnt", "-no", "SOURCE", "/mnt").stdout.strip(), "mounted at")
    by_path_refused(here, here.card, "mounted at")


def mounted_refused(here, serial):
    node = node_of(serial)
    run("mount", "-o", "ro", node, "/media")
    try:
        by_path_refused(here, serial, "mounted at /media")
    finally:
        run("umount", "/media")


def with_volumes(here, serial):
    """Makes partitions and LVM on a drive, with a volume that is active; the governor must not run."""
    node = node_of(serial)
    run("sfdisk", "-q", node, input="label: gpt\n,64M\n,\n")
    run("udevadm", "settle")
    for words in (["pvcreate", f"{node}2"], ["vgcreate", "family", f"{node}2"], ["lvcreate", "-L", "32M", "-n", "photos", "family"]):
        run(*words, "-qy")
    run("vgchange", "-qan", "family")


def volumes(here, word, serial):
    """Somebody uses the volumes on a drive, or no more."""
    node_of(serial)
    run("udevadm", "settle")
    run("vgchange", "-qay" if word == "used" else "-qan", "family")


def is_taken(here, serial):
    here.event("drive.ready", LONG, serial)


def is_calm(here):
    """Whatever came and went: the governor lives, and nothing of a drive is left."""
    here.device.wait_until("waiting", "erasing", seconds=90)
    here.shows("nothing is mapped", lambda: not os.path.exists(MAPPER), 120)
    expect(here.device.is_running, "the governor runs")


def key_is_gone(here):
    """The lease is over, so its key is."""
    here.shows("the key file is gone", lambda: not here.key.exists(), 30)


def is_foreign(here, serial):
    """Another drive than that of the lease."""
    here.event("drive.foreign", 120, serial)


def stop_at(here, place):
    """Stops the device at a place inside a preparation or an erase, and leaves it so."""
    stage, reached = PLACES[place]
    wait_for(f"the place {place}", lambda: here.device.stage() == stage and reached(here), LONG, 0)
    here.before = here.key.read_bytes() if here.key.exists() else b""
    here.device.freeze()
    say(f"stopped at {place}: the journal says {here.device.stage()}, the key file {'is there' if here.key.exists() else 'is gone'}")


def go_on(here):
    here.device.freeze(False)


def runs(phrase):
    """Whether a process with this in its command line runs."""
    return run("pgrep", "-f", phrase, check=False).returncode == 0


PLACES = {
    "formatting": ("preparing", lambda here: here.key.exists() and runs("governor storage prepare")),
    "file-system": ("preparing", lambda here: runs("mkfs.ext4")),
    "erasing": ("erasing", lambda here: runs("governor storage erase")),
    "key-file-gone": ("erasing", lambda here: not here.key.exists()),
}


def is_lost(here, serial):
    """The drive in use was pulled, and there is no lease that matters: nothing of it is left, and the device waits."""
    here.event("drive.gone", LONG, serial)
    here.shows("nothing is mapped", lambda: not os.path.exists(MAPPER), 180)
    waits(here)


def is_prepared(here):
    """The journal finishes what was interrupted: another key, and the drive is open."""
    here.event("storage.ready", LONG)
    expect(here.key.read_bytes() != here.before and here.key.stat().st_size == 64, "prepared, with another key")


def is_offered(here, serial):
    here.event("lease.offered", LONG)
    expect(f":{serial}@" in here.identity_in_use(), f"offered on {serial}")
    expect(here.device.status()["lamp"] == "slow", "the lamp: offered")
    header = run("cryptsetup", "luksDump", node_of(serial)).stdout
    expect("Label:         \tsublet-lease" in header, "LUKS2, with our label")


def rent(here):
    here.access = json.loads(here.market.command("rent", "board", "--for", "2h", "--json").stdout)
    here.event("lease.rented")
    ssh(here.access, "head -c 6000000 /dev/urandom >/data/marker && cp /data/marker ~/ && sync")
    here.digests = here.marker_digests()
    expect(len(set(here.digests)) == 1, "rented; 6 MB in /data and at home")


def is_suspended(here):
    here.event("drive.gone", LONG)
    here.device.wait_until("suspended", seconds=120)
    here.shows("nothing is mapped", lambda: not os.path.exists(MAPPER), 180)
    here.shows("no container runs", lambda: not runs("containerd-shim"), 120)
    here.shows("the market knows", lambda: "suspended" in json.dumps(here.market_says()), 60)


def is_back(here, serial):
    """The lease goes on with its data."""
    here.event("container.up", LONG)
    here.device.wait_until("leased", seconds=120)
    here.shows("the renter can log in", lambda: ssh(here.access, "true", check=False).returncode == 0, 120)
    expect(here.marker_digests() == here.digests, f"all the data is there; the drive is {node_of(serial)} now")
    expect(not here.happened("lease.erasing"), "nothing was erased")


def end_lease(here):
    here.market.command("end", "board")
    here.event("lease.ended-by-market")


def is_erased(here, serial):
    here.event("lease.erased", LONG)
    lease = here.access["lease"]
    receipt = here.space.folder / "receipt.json"
    wait_for("the wipe receipt", lambda: here.market.command("receipt", "show", lease, check=False).returncode == 0, 60, 0.5)
    receipt.write_text(here.market.command("receipt", "show", lease).stdout)
    here.market.command("receipt", "verify", receipt)
    statement = json.loads(json.loads(receipt.read_text())["statement"])
    expect(statement["lease"] == lease and f":{serial}@" in json.dumps(statement), f"the wipe receipt names the lease and {serial}")


def mark(here):
    """Log lines before this do not count any more."""
    here.seen = len(here.device.text())


def end(here):
    here.device.remove()
    here.sshd.end()
    here.market.end()
    expect(not os.path.exists(MAPPER), "nothing is mapped")
    left = run("pgrep", "-la", "dockerd|containerd|governor", check=False).stdout
    expect(not left, "no engine and no governor runs " + left)
    raise SystemExit


STEPS = {
    step.__name__.replace("_", "-"): step
    for step in (
        udev_shows, udev_forgets, start_device, waits, is_left, is_spare, list_agrees, by_path_refused, system_disks_refused,
        mounted_refused, with_volumes, volumes, is_taken, is_calm, is_foreign, key_is_gone, stop_at, go_on, is_lost, is_prepared,
        is_offered, rent, is_suspended, is_back, end_lease, is_erased, mark, end,
    )
}


def serve(here, folder):
    number = 0
    while True:
        number += 1
        order = folder / f"order-{number}"
        wait_for("the next order", order.exists, 3600, 0.2)
        step, *words = order.read_text().rstrip("\0").split("\0")
        is_last = False
        with open(folder / f"said-{number}", "w") as said:
            sys.stdout = said
            try:
                STEPS[step](here, *words)
                outcome = "ok"
            except SystemExit:
                outcome, is_last = "ok", True
            except Exception as trouble:  # whatever it was: tell all that is known
                say(f"FAILED {step} {' '.join(words)}: {trouble!r}")
                here.trouble()
                outcome = "failed"
            sys.stdout = sys.__stdout__
        (folder / f"done-{number}.new").write_text(outcome)
        (folder / f"done-{number}.new").rename(folder / f"done-{number}")
        if is_last:
            return


def main():
    folder, card = sys.argv[1:]
    serve(Board(card), pathlib.Path(folder))


if __name__ == "__main__":
    main()
