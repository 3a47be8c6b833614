#!/usr/bin/python3
"""A lease on a drive that is really encrypted, told in chapters; each is one boot of the fast rig (see ../lease.bats).

    lease_in_rig.py CHAPTER [WORD]

Finds: the drive /dev/ubda, the device's card /dev/ubdb (here also the market's disk), the base image in /base, the
programs in SUBLET_BIN, and /io, a folder of the host. Where the host has something to do it prints `AT place`, and
waits until the host has made the file /io/go-place, or has cut the power.
"""

import hashlib
import json
import mmap
import os
import pathlib
import secrets
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Integration"))
import world  # noqa: E402
from world import Device, Market, Trouble, TunnelServer, Workspace, free_port, free_port_range, run, ssh, wait_for  # noqa: E402

DRIVE = "/dev/ubda"
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


def at(place, seconds=90):
    """Tells the host that we are here and waits for its word."""
    print(f"AT {place}", flush=True)
    wait_for(f"the host's go at {place}", (IO / f"go-{place}").exists, seconds, 0.2)


def await_power_cut(place):
    print(f"AT {place}", flush=True)
    time.sleep(120)
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

    def __init__(self, erase=None):
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
            added = self.market.command("device", "add", "--owner", "olga", "--name", "rig", "--server", self.market.url)
            facts.keep(config=json.loads(added.stdout))
        self.sshd.prepare()
        base = next(pathlib.Path("/base").glob("*.tar"))
        # That kernel has no nftables for ip: no walls here.
        self.device = RigDevice(
            self.space, facts["config"], base, encryption="luks2", drive=DRIVE, subnet="10.213.77.0/30", fence="none"
        )
        self.device.bridge = self.device.config["network"]["bridge"] = BRIDGE
        if erase:
            self.device.config["storage"]["erase"] = erase
        self.device.write_config()
        self.key = self.device.state / "lease.key"

    def start(self):
        self.start_market()
        self.device.start()

    def start_market(self):
        self.market.start()
        self.sshd.start()

    def event(self, name, count=1, seconds=120):
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
        def attempt():
            done = self.market.command("rent", "rig", "--for", duration, "--json", check=False)
            return json.loads(done.stdout) if done.returncode == 0 else None

        access = wait_for("the market to rent it out", attempt, 60, 0.3)
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

    # What a lease shows while it lives.

    def write_marker(self, access, marker):
        script = (
            f"yes {marker} | head -c {MARKER_BYTES} >/data/marker && cp /data/marker ~/marker && sync && "
            "sha256sum <~/marker && grep -w /data /proc/mounts | cut -d' ' -f1"
        )
        digest, source = ssh(access, script).stdout.split()[0::2]
        expect(digest == marker_digest(marker), f"logged in with the password; {MARKER_BYTES >> 20} MiB of marker in /data and at home")
        expect(source == MAPPER, f"/data is {source}")

    def fill_drive(self, access, marker):
        """The marker over most of the drive, in what the container prints, and in its own layer (`write_marker` did that)."""
        script = (
            f"yes {marker} | head -c 16M >/tmp/block && left=$(($(df --output=avail -B16M /data | tail -1) - 6)) && "
            "while [ $left -gt 0 ] && cat /tmp/block; do left=$((left-1)); done >/data/fill && sync && stat -c %s /data/fill; "
            f"printf '%s\\n' '{access['password']}' | sudo -S -p '' sh -c 'echo {marker} >/proc/1/fd/1'"
        )
        filled = int(ssh(access, script, timeout=300).stdout)
        size = int(run("blockdev", "--getsize64", DRIVE).stdout)
        expect(filled > 0.6 * size, f"the marker over {filled >> 20} MiB of the drive's {size >> 20}")
        logs = list((self.device.mount / "engine").glob("*/containers/*/*.log"))
        expect(any(marker.encode() in log.read_bytes() for log in logs), "and in what the engine keeps of the container's output")
        self.docker_before = self.docker_ids()

    def docker_ids(self):
        """What the engine has for this lease alone: its container's id and the name of its layer."""
        found = self.device.container()
        return {found["Id"], pathlib.Path(found["GraphDriver"]["Data"]["UpperDir"]).parent.name}

    def show_docker_forgot(self, marker):
        """No container, layer or log of the lease before is in the new engine's folder."""
        engine = self.device.mount / "engine"
        expect(not self.docker_before & self.docker_ids(), "another container, another layer")
        names = run("find", engine, "-printf", "%f\n").stdout.split("\n")
        expect(not self.docker_before & set(names), "the engine has nothing under the old names")
        found = run("grep", "-rlF", "--devices=skip", marker, engine, check=False).stdout
        expect(not found, "the old marker is in no log, layer or volume of the new engine " + found)

    def show_encryption(self):
        text = run("cryptsetup", "luksDump", DRIVE).stdout
        header = json.loads(run("cryptsetup", "luksDump", "--dump-json-metadata", DRIVE).stdout)
        segment = header["segments"]["0"]
        flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
        cipher = "aes-xts-plain64" if "aes" in flags else "xchacha12,aes-adiantum-plain64"
        expect(segment["encryption"] == cipher, f"LUKS2 with {cipher}, for this processor")
        expect(segment["sector_size"] == 4096 and int(segment["offset"]) == HEADER, "sectors of 4 KiB behind a header of 16 MiB")
        expect("Label:         \tsublet-lease" in text, "the label says whose it is")
        expect(len(header["keyslots"]) == 1 and not header["tokens"], "one key slot")
        table = run("dmsetup", "table", MAPPER).stdout.split()
        expect(table[2] == "crypt" and table[3] == cipher, "the mapper's table is crypt")
        place = self.key.stat()
        expect((place.st_mode & 0o7777, place.st_uid, place.st_size) == (0o600, 0, 64), "the lease's key lies 0600 on the card")

    def show_medium(self, marker):
        """The same blocks through the mapper and past it."""
        file = self.device.mount / "engine" / "100000.100000" / "volumes" / "data" / "_data" / "marker"
        lines = run("filefrag", "-e", "-b4096", file).stdout.splitlines()
        first = next(line for line in lines if line.split(":")[0].strip() == "0")
        block = int(first.split(":")[2].split("..")[0])
        open_side = read_raw(MAPPER, block * 4096, 65536)
        expect(open_side.count(marker.encode()) > 1000, "the marker's blocks hold it, read through the mapper")
        closed_side = read_raw(DRIVE, HEADER + block * 4096, 65536)
        expect(marker.encode() not in closed_side and any(closed_side), "the same blocks on the drive are something else")
        return block

    def show_wrong_key_refused(self):
        wrong = self.space.folder / "wrong.key"
        wrong.write_bytes(secrets.token_bytes(64))
        opened = [
            run("cryptsetup", "open", "--test-passphrase", "--key-file", key, DRIVE, check=False).returncode for key in (self.key, wrong)
        ]
        expect(opened == [0, 2], "the lease's key fits; another one is refused")

    def steal(self):
        """What somebody could copy who has the device in hands while the lease lives."""
        self.stolen_key = self.space.folder / "stolen.key"
        self.stolen_key.write_bytes(self.key.read_bytes())
        self.stolen_header = self.space.folder / "stolen.header"
        run("cryptsetup", "luksHeaderBackup", DRIVE, "--header-backup-file", self.stolen_header)
        volume_key = self.space.folder / "volume.key"
        words = ["--dump-volume-key", "--volume-key-file", volume_key, "--key-file", self.key]
        run("cryptsetup", "luksDump", "--batch-mode", DRIVE, *words)
        # For the host, which looks for them on the raw drive and card; in RAM here.
        (IO / "keys").write_text(f"hex:{self.key.read_bytes().hex()}\nhex:{volume_key.read_bytes().hex()}\n")

    def lose_dockerd(self):
        """A killed dockerd leaves bind mounts in the data-root; another one takes over the container, and the renter notices nothing."""
        before = self.device.container_pid()
        os.kill(self.device.engine_pid(), signal.SIGKILL)
        self.event("engine.up", 2)
        expect(self.device.container_pid() == before, "dockerd was killed and is back; the container never stopped")
        nested = [line.split()[4] for line in open("/proc/self/mountinfo") if f"{self.device.mount}/" in line]
        say(f"mounts inside the drive now: {len(nested)}")

    # What an ended lease shows.

    def show_erased(self):
        expect(header_is_zero(), "the first 16 MiB of the drive are zero")
        expect(not self.key.exists(), "the lease's key file is gone")
        expect(run("cryptsetup", "luksDump", DRIVE, check=False).returncode != 0, "cryptsetup finds no LUKS header")
        expect(run("blkid", "-p", DRIVE, check=False).returncode == 2, "blkid finds no signature")
        expect(not os.path.exists(MAPPER), "nothing is open")

    def show_stolen_key_useless(self):
        done = run("cryptsetup", "open", "--test-passphrase", "--key-file", self.stolen_key, DRIVE, check=False)
        expect(done.returncode != 0, "a copy of the key from before opens nothing")

    def show_card_opens_nothing(self):
        """A copy of the header, and everything that is on the card tried as its key."""
        files = [path for path in CARD.rglob("*") if path.is_file() and 0 < path.stat().st_size <= 4096]
        words = ["cryptsetup", "open", "--test-passphrase", "--header", self.stolen_header, DRIVE, "--key-file"]
        opened = [path.name for path in files if run(*words, path, check=False).returncode == 0]
        expect(not opened, f"a copy of the header and any of {len(files)} files of the card as its key open nothing {opened}")
        expect(run(*words, self.stolen_key, check=False).returncode == 0, "(the stolen key does open that copy: so much for the copy)")

    def stolen_pair_reads(self, marker, block):
        """Whether who copied header AND key while the lease lived can still read its data on the drive."""
        words = ["cryptsetup", "open", "--readonly", "--header", self.stolen_header, DRIVE, "stolen", "--key-file"]
        wrong = run(*words, self.space.folder / "wrong.key", check=False)
        expect(wrong.returncode == 2, "a copy of the header alone opens nothing")
        run(*words, self.stolen_key)
        try:
            return marker.encode() in read_raw("/dev/mapper/stolen", block * 4096, 65536)
        finally:
            run("cryptsetup", "close", "stolen")

    def host_key(self, access):
        return run("ssh-keyscan", "-p", access["sshPort"], "-t", "ed25519", access["host"]).stdout

    def show_receipt(self, lease, method="key"):
        receipt = self.space.folder / f"receipt-{lease}.json"

        def kept():
            done = self.market.command("receipt", "show", lease, check=False)
            return done.returncode == 0 and done.stdout

        text = wait_for("the wipe receipt", kept, 30, 0.3)
        receipt.write_text(text)
        self.market.command("receipt", "verify", receipt)
        statement = json.loads(json.loads(text)["statement"])
        erase = statement["erase"]
        expect(statement["lease"] == lease and erase["method"] == method, f"a wipe receipt, method {method}, its signature holds")
        say(f"its checks: {' '.join(erase['checks'])}")
        return erase["checks"]


    # Power cuts.

    def freeze_at(self, place):
        """Stops the device at a place inside an erase or a preparation."""
        stage, reached = PLACES[place]

        def is_here():
            # At the start the journal still tells of the preparation that the last power cut broke off.
            is_new = stage != "preparing" or self.device.events("lease.registered")
            return is_new and self.device.stage() == stage and reached(self)

        wait_for(f"the place {place}", is_here, 60, 0)
        self.device.freeze()
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


def runs(phrase):
    """Whether a process with this in its command line runs."""
    return run("pgrep", "-f", phrase, check=False).returncode == 0


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
    here.event("lease.offered", seconds=240)
    # Long enough for what is looked at below, also on a slow machine.
    access = here.rent(f"{max(60, int(1.5 * (time.monotonic() - START)))}s")
    here.event("lease.rented")
    here.write_marker(access, marker)
    here.show_encryption()
    block = here.show_medium(marker)
    here.show_wrong_key_refused()
    here.fill_drive(access, marker)
    here.steal()
    at("live", 180)
    here.lose_dockerd()
    # With the market away nothing new is registered, so what an erase leaves can be looked at.
    here.market.end()
    say("the market is gone; the device ends the lease by itself")
    here.event("lease.expired", seconds=300)
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
    here.event("lease.offered", 2, seconds=240)
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
    wait_for("the login", lambda: ssh(access, "true", check=False).returncode == 0, 30)
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
    expect(order == ["lease.erased", "lease.registered", "storage.ready"], "erased, registered, prepared, in this order")
    expect(here.device.journal()["lease"] == next_lease, "the lease that was asked for before")
    expect(here.key.read_bytes() != before and here.key.stat().st_size == 64, "with another key")
    for lease in here.facts["leases"]:
        here.show_receipt(lease)
    here.end()


def other_method(here, method):
    """The lease goes on and is erased by overwriting or discarding too: then not even header and key together read anything."""
    resume(here)
    block = here.show_medium(here.facts["marker"])
    here.show_wrong_key_refused()
    here.steal()
    here.market.command("end", "rig")
    here.event("lease.ended-by-market")
    here.market.end()
    here.event("lease.erased", seconds=300)
    here.show_erased()
    expect(not here.stolen_pair_reads(here.facts["marker"], block), "who copied header AND key while the lease lived reads nothing")
    here.market.start()
    expect("all-zero" in here.show_receipt(here.facts["access"]["lease"], method), "all of the drive was read back as zero")
    here.end()


CHAPTERS = {
    each.__name__.replace("_", "-"): each for each in (whole, interrupted_erase, again_interrupted, erased, prepared, other_method)
}


def main(chapters):
    chapter, *words = sys.argv[1:]
    # Nothing in here may change the host's files.
    for share in (world.ROOT, world.BIN, "/base"):
        run("mount", "-o", "remount,bind,ro", share)
    here = World(erase=words[0] if chapter == "other-method" else None)
    try:
        chapters[chapter](here, *words)
    except Exception as trouble:  # whatever it was: tell all that is known
        say(f"FAILED: {trouble}")
        here.trouble()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(CHAPTERS))
