"""Market, tunnel server and device in one boot of the fast rig, and what its chapters share.

Finds: the drive SUBLET_DRIVE (/dev/ubda), the device's card /dev/ubdb (here also the market's disk), the base image in /base, the
programs in SUBLET_BIN, and /io, a folder of the host. Where the host has something to do it prints `AT place`, and
waits until the host has made the file /io/go-place, or has cut the power.
"""

import hashlib
import json
import mmap
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Integration"))
import world  # noqa: E402
from world import Device, Market, Trouble, TunnelServer, Workspace, free_port, free_port_range, run, wait_for  # noqa: E402

DRIVE = os.environ.get("SUBLET_DRIVE", "/dev/ubda")
CARD = pathlib.Path("/card")
IO = pathlib.Path("/io")
BRIDGE = "sublet0"
MAPPER = f"/dev/mapper/{BRIDGE}-lease"
HEADER = 16 << 20
MARKER_BYTES = 6 << 20
START = time.monotonic()


def say(text):
    print(f"{time.monotonic() - START:6.1f} s  {text}", flush=True)


def expect(holds, text):
    """One thing that was to be shown."""
    if not holds:
        raise Trouble("not so: " + text)
    say("ok: " + text)


def at(place, seconds=600):
    """Tells the host that we are here and waits for its word."""
    print(f"AT {place}", flush=True)
    wait_for(f"the host's go at {place}", (IO / f"go-{place}").exists, seconds, 0.2)


def await_power_cut(place):
    print(f"AT {place}", flush=True)
    time.sleep(600)
    raise Trouble(f"no power cut at {place}")


def read_raw(path, offset, count):
    """What is on the medium itself, past every cache (O_DIRECT)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, count) as memory:
            got = os.preadv(descriptor, [memory], offset)
            return memory[:got]
    finally:
        os.close(descriptor)


def marker_digest(marker):
    """Of the file that `write_marker` makes. (A process of the rig that touches 256 MiB dies: the host's limit of mappings.)"""
    return hashlib.sha256((f"{marker}\n".encode() * (MARKER_BYTES // len(marker)))[:MARKER_BYTES]).hexdigest()


class RigDevice(Device):
    """A device whose processes are in a control group: it can be stopped as one, at an exact place."""

    group = pathlib.Path("/sys/fs/cgroup/device")

    def launch(self, words, **options):
        self.group.mkdir(exist_ok=True)
        super().launch(words, preexec_fn=lambda: (self.group / "cgroup.procs").write_text(str(os.getpid())), **options)

    def freeze(self):
        (self.group / "cgroup.freeze").write_text("1")
        wait_for("the device to stand still", lambda: "frozen 1" in (self.group / "cgroup.events").read_text(), 10, 0.01)

    def stage(self):
        return self.journal()["stage"] if (self.state / "journal.json").exists() else ""

    def sync_journal(self):
        """Who reads a journal sees it before it outlives a power cut: until its folder is synced. Does that."""
        folder = os.open(self.state, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)


def header_is_zero():
    return not any(read_raw(DRIVE, offset, 1 << 20).strip(b"\0") for offset in range(0, HEADER, 1 << 20))


class Space(Workspace):
    """With the disk part on the card: it outlives a power cut."""

    def __init__(self):
        self.name = "lease"
        self.ports = set()
        self.folder = pathlib.Path("/run", self.name)
        self.folder.mkdir(mode=0o755)
        self.disk = CARD
        if run("blkid", "-p", "/dev/ubdb", check=False).returncode != 0:
            run("mkfs.ext4", "-q", "/dev/ubdb")
        CARD.mkdir(exist_ok=True)
        run("mount", "/dev/ubdb", CARD)
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        for name in ("market", "governor"):
            run("cp", world.BIN / name, self.programs / name)


class Facts(dict):
    """What this test itself must still know after a power cut."""

    path = CARD / "facts.json"

    @classmethod
    def load(cls):
        return cls(json.loads(cls.path.read_text())) if cls.path.exists() else cls()

    def keep(self, **values):
        self.update(values)
        fresh = self.path.with_suffix(".new")
        with open(fresh, "w") as file:
            json.dump(self, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.path)
        run("sync", CARD)


class World:
    """Market, tunnel server and device of this boot; the same ones as in the boot before."""

    def __init__(self):
        self.space = Space()
        self.facts = facts = Facts.load()
        is_new = not facts
        if is_new:
            facts.keep(market=free_port(), sshd=free_port(), ports=free_port_range(30))
        self.market = Market(self.space, check_in=2, port=facts["market"])
        self.sshd = TunnelServer(self.space, self.market)
        self.sshd.port, self.sshd.ports = facts["sshd"], facts["ports"]
        self.sshd.host_key = CARD / "host_ed25519"
        if is_new:
            self.market.command("owner", "add", "olga")
            facts.keep(config=self.market.add_device("rig"))
        self.sshd.prepare()
        base = next(pathlib.Path("/base").glob("*.tar"))
        # That kernel has no nftables for ip: no walls here.
        self.device = RigDevice(
            self.space, facts["config"], base, encryption="luks2", drive=DRIVE, subnet="10.213.77.0/30", fence="none"
        )
        self.device.bridge = self.device.config["network"]["bridge"] = BRIDGE
        self.device.write_config()
        self.key = self.device.state / "lease.key"

    def start(self):
        self.start_market()
        self.device.start()

    def start_market(self):
        self.market.start()
        self.sshd.start()

    def event(self, name, count=1, seconds=300):
        line = self.device.wait_event(name, count, seconds)
        if self.device.process.poll() is not None:
            raise Trouble("the governor ended")
        say(name)
        return line

    def order(self, *names):
        """The named events in the order they were logged."""
        found = [word[6:] for line in self.device.text().splitlines() for word in line.split() if word.startswith("event=")]
        return [name for name in found if name in names]

    def rent(self, duration):
        access = wait_for("the market to rent it out", lambda: self.market.try_rent("rig", duration), 180, 0.3)
        say(f"rented for {duration}")
        return access

    def end(self):
        """Leaves nothing, and looks whether that is true."""
        self.device.remove()
        self.sshd.end()
        self.market.end()
        expect(not os.path.exists(MAPPER), "nothing is open under /dev/mapper")
        left = [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if "/run/lease" in line]
        expect(not left, "nothing is mounted")
        left = run("pgrep", "-la", "dockerd|containerd|governor", check=False).stdout
        expect(not left, "no engine and no governor runs " + left)

    def trouble(self):
        """What helps to understand a failure."""
        for name in ("device.log", "market.log", "sshd.log", f"{self.device.run_folder.name}/dockerd.log"):
            path = self.space.folder / name
            if path.exists():
                lines = [line for line in path.read_text(errors="replace").splitlines() if "event=market.checked-in" not in line]
                print(f"--- {name}", *lines[-40:], sep="\n", flush=True)
        print(run("dmesg", check=False).stdout[-1200:], flush=True)


def runs(phrase):
    """Whether a process with this in its command line runs. Looked up here: a program started for it may come too late."""
    wanted = phrase.replace(" ", "\0").encode()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "cmdline").read_bytes():
                return True
        except OSError:
            pass  # it has ended
    return False


def protect_host():
    """Nothing in here may change the host's files."""
    for share in (world.ROOT, world.BIN, "/base"):
        run("mount", "-o", "remount,bind,ro", share)


def tell_chapter(chapters, make_world):
    """Tells the chapter that the command line names; the words behind are its own."""
    chapter, *words = sys.argv[1:]
    protect_host()
    here = make_world()
    try:
        chapters[chapter](here, *words)
    except Exception as trouble:  # whatever it was: tell all that is known
        say(f"FAILED: {trouble}")
        here.trouble()
        return 1
    return 0
