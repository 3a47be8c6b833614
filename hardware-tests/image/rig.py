"""What a rig that boots a card does: a market on this host, a card from its file, the device's life up to a lease."""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from machine import FAT, LAMP, TESTS, Machine, is_pi  # it knows where the modules below are
from front import Front
from world import Market, Trouble, TunnelServer, Workspace, run, ssh, wait_for

# The host, as QEMU's user network shows it to the guest.
HOST = "10.0.2.2"


class Rig:
    # By which name the device finds the market, as the certificate has it.
    host, subject = HOST, f"IP:{HOST}"
    # Whether what the checks see is the card's, and kept beside it.
    keeps_what_it_sees = True

    # Seconds for a command that must go well.
    limit = 900

    def __init__(self, words):
        self.words = words
        self.told = []
        self.space = self.market = self.sshd = self.front = self.machine = None

    @property
    def certificate_is_made_by(self):
        """Where it is older than any image, for a Pi has no clock."""
        files = run("dpkg", "-L", "libfaketime").stdout.split()
        return {"LD_PRELOAD": next(file for file in files if file.endswith("/libfaketime.so.1")), "FAKETIME": "2020-01-01 00:00:00"}

    def prepare(self):
        self.space = space = Workspace("image")
        self.key, self.door = space.folder / "owner", space.port()
        self.market = market = Market(space, check_in=10)
        market.command("owner", "add", "olga")
        self.front = Front(space, market, self.subject, 14_600, **self.certificate_is_made_by)
        config = self.add_device("card")
        self.sshd = TunnelServer(space, market)
        self.sshd.seen_as = HOST
        self.sshd.prepare()
        market.start()
        self.sshd.start()
        self.front.start()
        self.flash(json.dumps(self.with_more(config), indent=2))

    def add_device(self, name):
        return self.market.add_device(name, f"https://{self.host}:{self.front.port}")

    def with_more(self, config):
        """What this rig wants of the device, beside what the market told its owner."""
        if is_pi(self.words.board) and not self.words.virt:
            config["lamp"] = {"gpio": {"line": self.words.lamp}}
        if self.words.checks:
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.key)
            config["system"] = {"sshKeys": [self.key.with_suffix(".pub").read_text().strip()]}
        return config

    def flash(self, config):
        """What an owner does: the image onto the card, the file onto its FAT partition. A PC's editor may well end lines as Windows does."""
        began = time.monotonic()
        told = self.space.folder / "device-config.json"
        told.write_bytes(config.replace("\n", "\r\n").encode())
        if self.words.image.suffix == ".ova":
            self.import_appliance(told)
            print(f"imported in {time.monotonic() - began:.0f} s", flush=True)
            return
        self.card = self.space.disk / "card.img"
        self.unpack(self.card)
        run("mcopy", "-o", "-i", f"{self.card}@@{FAT}", told, "::device-config.json")
        self.stick = self.space.disk / "stick.img"
        with open(self.stick, "wb") as out:
            out.truncate(4 << 30)
        print(f"flashed in {time.monotonic() - began:.0f} s onto a card of {self.words.card} GiB", flush=True)

    def unpack(self, card):
        """The image onto a card of the size that was asked for."""
        with open(card, "wb") as out:
            subprocess.run(["xz", "-dc", self.words.image] if self.words.image.suffix == ".xz" else ["cat", self.words.image], stdout=out, check=True)
        os.truncate(card, self.words.card << 30)

    def import_appliance(self, told):
        """The machine's disks, each with a layer that takes what is written: a stream-optimised disk can't. On the CD is the owner's file."""
        folder = self.space.disk
        run("tar", "-C", folder, "-xf", self.words.image)
        for name in ("system", "lease"):
            packed = next(folder.glob(f"*-{name}.vmdk"))
            run("qemu-img", "create", "-q", "-f", "qcow2", "-b", packed, "-F", "vmdk", folder / (name + ".qcow2"))
        # Read as UDF, as CDs are that Windows writes; it is ISO 9660 too.
        run("genisoimage", "-quiet", "-udf", "-J", "-r", "-V", "SEED", "-o", folder / "seed.iso", told)
        self.card = folder / "system.qcow2"

    def tell(self, moment, text):
        self.told.append(f"{moment:7.1f} s  {text}\n")
        print(self.told[-1], end="", flush=True)

    def happens(self, pattern, text, seconds=900, count=1):
        self.tell(self.machine.hears(pattern, seconds, count), text)

    def lamp_shows(self, pattern):
        if self.words.virt:
            return
        self.machine.shows(pattern)
        self.tell(self.machine.age(), f"seen from outside: the lamp shows {pattern}")

    def power_on(self, before=()):
        forward = f",hostfwd=tcp:127.0.0.1:{self.door}-:22" if self.words.checks else ""
        self.machine = Machine(self.space.folder, self.card, self.words.board, self.front.certificate, self.words.uefi, forward, before, virt=self.words.virt)

    def boot(self):
        self.power_on()
        self.happens(r"Started .*Journal Service", "systemd")
        self.happens(r"event=governor\.started", "governor started")
        if self.words.image.suffix == ".ova":
            return
        wait_for("the market to hear the device", lambda: "event=device.waiting" in self.market.text(), 900, 0.2)
        self.tell(self.machine.age(), "the market has heard it: it waits for a drive")
        self.lamp_shows("three")

    def offer(self):
        if self.words.image.suffix != ".ova":
            self.machine.plug(self.stick, "RIG-STICK-77")
            self.tell(self.machine.age(), "a blank USB drive of 4 GiB is plugged in")
        self.happens(r"event=lease\.registered", "registered")
        if self.words.until == "registered":
            return
        self.happens(r"event=storage\.ready", "drive encrypted and mounted")
        self.happens(r"event=engine\.up", "engine up")
        self.happens(r"event=tunnel\.up", "tunnel up")
        self.happens(r"event=lease\.offered", "offered", 1800)
        self.lamp_shows("slow")
        if self.words.checks:
            self.check()

    def as_owner(self, command):
        """The words that run a command in the device, by its owner's ssh."""
        return [
            "ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=30", "-i", str(self.key), "-p", str(self.door),
            "root@127.0.0.1", command,
        ]  # fmt: skip

    def inside(self, command, seconds=900, **options):
        """Runs a command in the device, as its owner: the program's end, and what it printed."""
        return run(*self.as_owner(command), check=False, timeout=seconds, **{"input": "", **options})

    def tells(self, command, seconds=None, **options):
        """What the device says to a command of its owner that must go well."""
        done = self.inside(command, seconds or self.limit, **options)
        if done.returncode != 0:
            raise Trouble(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def wait_for_owner(self):
        wait_for("the owner's ssh", lambda: self.inside("true", 120).returncode == 0, 900, 3)

    def check(self):
        done = self.inside("sh -s", input=(TESTS / "image" / "inside").read_text())
        print(done.stdout, end="", flush=True)
        if done.returncode != 0:
            raise Trouble(f"the system is not as it should be: {done.stderr}")
        self.tell(self.machine.age(), "looked over from inside, by the owner's ssh")
        if self.keeps_what_it_sees and not self.words.virt and self.words.image.name.endswith((".img", ".img.xz")):
            self.keep(done.stdout)

    def keep(self, seen):
        """For `Tests/Bench/bench cards`."""
        place = self.words.image.with_name(self.words.image.name.split(".")[0] + ".seen")
        place.write_text("".join(self.told) + seen)

    def rented(self, duration):
        """The account of a renter, who is at this host."""
        access = wait_for("the market to rent it out", lambda: self.market.try_rent("card", duration), 120, 1)
        self.tell(self.machine.age(), f"rented for {duration}")
        return {**access, "host": "127.0.0.1"}

    def rent(self):
        access = self.rented("5m")
        shown = wait_for("a shell through the tunnel", lambda: self.shell(access), 280, 2)
        self.tell(self.machine.age(), "shell over ssh: " + shown)
        self.lamp_shows("steady")
        self.happens(r"event=lease\.expired", "expired")
        self.lamp_shows("fast")
        self.happens(r"event=lease\.erased", "erased and verified", count=2)
        self.happens(r"event=lease\.registered", "registered again", count=2)

    @staticmethod
    def shell(access):
        done = ssh(access, "echo $(id -un), $(uname -rm), $(free -m | awk '/Mem/ { print $2 }') MiB", check=False, timeout=120)
        return done.stdout.strip() if done.returncode == 0 else None

    def go(self):
        self.prepare()
        self.boot()
        if self.words.until != "online":
            self.offer()
        if self.words.until == "rented":
            self.rent()

    def end(self):
        if self.machine:
            self.machine.cut()
            if self.words.keep:
                os.makedirs(self.words.keep, exist_ok=True)
                for file in (self.card, self.machine.console):
                    shutil.move(file, self.words.keep / file.name)
        for part in (self.front, self.sshd, self.market):
            if part:
                part.end()
        if self.space:
            self.space.remove()

    def trouble(self, reason):
        print(f"{pathlib.Path(sys.argv[0]).name}: {reason}", file=sys.stderr)
        if self.machine:
            for moment, line in self.machine.lines[-60:]:
                print(f"{moment:7.1f} s  | {line}", file=sys.stderr)
        if self.machine and self.words.checks:
            with contextlib.suppress(Trouble, OSError, subprocess.SubprocessError):
                print(self.inside("journalctl -b --no-pager | tail -n 150", 300).stdout, file=sys.stderr)
        if self.market:
            print(self.market.text()[-1500:], file=sys.stderr)


def parser_of(text):
    """The words that every rig of a card takes."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("--board")
    parser.add_argument("--card", type=int, default=4, metavar="GIB")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="keep the card and the console's log there")
    parser.set_defaults(uefi=False, virt=False, checks=False, lamp=LAMP)
    return parser


def words_of(parser):
    """What was said; without a board the one that the image is named after."""
    words = parser.parse_args()
    words.board = words.board or words.image.name.removeprefix("sublet-").split(".")[0]
    return words


def conduct(rig):
    """Does what a rig is to do; gives the program's exit status."""
    if os.geteuid() != 0:
        print(f"{pathlib.Path(sys.argv[0]).name}: must run as root", file=sys.stderr)
        return 77
    # Told to end, it leaves nothing; told twice, it still does.
    def told(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(143)

    signal.signal(signal.SIGTERM, told)
    try:
        rig.go()
    except (Trouble, OSError, subprocess.SubprocessError) as reason:
        rig.trouble(reason)
        return 1
    finally:
        rig.end()
    return 0
