"""A board under test: its market, tunnel server and device on loopback, and what its steps are made of.

Drives are known here by the serial that they say over USB; who plugs them is not this program's business.
"""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Integration"))
import world  # noqa: E402
from world import Device, Market, Trouble, TunnelServer, Workspace, run, ssh, wait_for  # noqa: E402

BRIDGE = "sublet0"
MAPPER = f"/dev/mapper/{BRIDGE}-lease"
# Seconds for what mostly computes: this may be an imitated processor on a busy machine.
LONG = 1200
# Every step by the name of its order.
STEPS = {}


def step(function):
    """Makes an order of a function: `is_left` is taken as `is-left`."""
    STEPS[function.__name__.replace("_", "-")] = function
    return function


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


def node_of(serial, seconds=LONG):
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
        wait_for("the device to stand still or go on", lambda: f"frozen {int(frozen)}" in events.read_text(), 60, 0.01)

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
        config = self.market.add_device("board")
        self.sshd.prepare()
        base = next(pathlib.Path("/base").glob("*.tar"))
        self.device = FrozenDevice(self.space, config, base, encryption="luks2", subnet="10.213.77.0/30")
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

    def event(self, name, seconds=LONG, serial=None):
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

    def shows(self, what, check, seconds=LONG):
        wait_for(what, check, seconds, 0.3)
        say("ok: " + what)

    def marker_digests(self):
        return ssh(self.access, "sha256sum </data/marker; sha256sum <~/marker").stdout.split()[0::2]

    def market_says(self):
        """The market's word on the device."""
        return next(device for device in self.market.devices() if device["name"] == "board")

    def trouble(self):
        """What helps to understand a failure."""
        for name in ("device.log", "market.log", f"{self.device.run_folder.name}/dockerd.log"):
            path = self.space.folder / name
            if path.exists():
                lines = [line for line in path.read_text(errors="replace").splitlines() if "event=market.checked-in" not in line]
                print(f"--- {name}", *lines[-40:], sep="\n", flush=True)
        print("--- status", json.dumps(self.device.status(), indent=1), sep="\n", flush=True)
        for words in (["lsblk", "-o", "NAME,TRAN,SERIAL,SIZE,TYPE"], [self.device.program, "storage", "list", *self.device.places]):
            done = run(*words, check=False)
            print(f"--- {words[0]}", done.stdout, done.stderr, sep="\n", flush=True)
        print("--- kernel", run("dmesg", check=False).stdout[-6000:], sep="\n", flush=True)


def runs(phrase):
    """Whether a process with this in its command line runs. Starts none: that takes long here, and places are short."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path("/proc", entry, "cmdline").read_bytes()
        except OSError:
            continue
        if phrase in words.replace(b"\0", b" ").decode(errors="replace"):
            return True
    return False


def is_mapped():
    """Whether the lease's drive is open."""
    return os.path.exists(MAPPER)
