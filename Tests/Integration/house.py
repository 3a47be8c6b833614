"""A market, a tunnel server and devices that belong together; and what a renter does with them."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

import world
from traces import end_all
from world import Device, Market, TunnelServer, Workspace, ssh, wait_for


class House:
    """One world: built, used by the tests of a module, and taken down to the last trace."""

    def __init__(self, name, base, check_in=1, **rules):
        self.space = Workspace(name)
        self.base = base
        self.devices = []
        self.sessions = []
        self.parts = []
        try:
            self.market = Market(self.space, check_in=check_in)
            for rule, value in rules.items():
                self.market.arguments += [f"--{rule}", value]
            self.market.command("owner", "add", "olga")
            self.sshd = TunnelServer(self.space, self.market)
            self.sshd.prepare()
            self.market.start()
            self.sshd.start()
        except BaseException:
            self.close()
            raise

    def device(self, name="pi", server=None, **options):
        """A device that the market knows, not started."""
        device = Device(self.space, self.market.add_device(name, server), self.base, name=name, **options)
        device.label = name
        self.devices.append(device)
        return device

    def offered(self, name="pi", **options):
        """A device that is offered."""
        device = self.device(name, **options)
        device.start()
        device.wait_until("offered")
        return device

    def rent(self, device, duration, *more):
        """Rents a device as soon as the market has heard that it is offered; waits until the device knows."""
        access = wait_for(f"the market to rent out {device.label}", lambda: self.market.try_rent(device.label, duration, *more), 30, 0.3)
        device.wait_until("leased", seconds=30)
        return access

    def row(self, device):
        """What the market lists of a device."""
        return next(row for row in self.market.devices() if row["id"] == device.id)

    def free_ports(self):
        """How many ports of the tunnel host nobody has."""
        table = [line.split() for line in self.market.command("tunnel", "list").stdout.splitlines()]
        return int(table[1][table[0].index("FREE")])

    def registrations(self, device):
        """The leases that the market ever gave a device."""
        lines = [line for line in self.market.text().splitlines() if " event=lease.registered " in line]
        return [re.search(r"lease=(\w+)", line).group(1) for line in lines if f"device={device.id}" in line]

    def session(self, access):
        """An open session of a renter."""
        session = Session(self.space, access, len(self.sessions))
        self.sessions.append(session)
        return session

    def close(self):
        """Ends everything; gives what is left in words."""
        for session in self.sessions:
            session.end()
        for part in self.devices + self.parts:
            part.remove()
        left = [f"container {folder.name}" for device in self.devices for folder in device.containers()]
        for name in ("sshd", "market"):
            if hasattr(self, name):
                getattr(self, name).end()
        self.space.remove()
        words = "; ".join(filter(None, [*left, self.space.left_behind()]))
        if words:
            # Told, and taken away all the same: the next world must not suffer.
            end_all(str(self.space.folder))
            self.space.remove()
        return words


class Login(world.Service):
    """A renter who is logged in, for as long as a command runs or, at a terminal, a shell; `text` is what was shown."""

    def __init__(self, space, access, name, *command, **options):
        super().__init__(space.folder / f"{name}.log", space)
        known = "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o PubkeyAuthentication=no"
        words = ["sshpass", "-e", "ssh", *known.split(), "-p", access["sshPort"], "-l", access["user"], access["host"]]
        self.launch([*words, *command], env={"SSHPASS": access["password"]}, **options)


class Session(Login):
    """A renter who sees something new every 0.2 s."""

    def __init__(self, space, access, number):
        super().__init__(space, access, f"session{number}", "while sleep 0.2; do echo tick; done")
        self.must_go_on()

    def ticks(self):
        return self.text().count("tick")

    def must_go_on(self, seconds=20):
        """Waits for three more signs of life."""
        before = self.ticks()
        wait_for("the renter's session to go on", lambda: self.ticks() >= before + 3, seconds)

    def end(self, number=signal.SIGKILL, seconds=20):
        super().end(number, seconds)


def as_root(access, command, **options):
    """Runs a command as root in the renter's machine: sudo asks for the password, and gets it by standard input."""
    return ssh(access, f"sudo -S -p '' sh -c {shlex.quote(command)}", input=access["password"] + "\n", **options)


def try_login(access, **options):
    """Whether a login works; a machine that is not there or refuses is no error."""
    try:
        return ssh(access, "true", check=False, timeout=40, **options).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def in_front(folder, name, *lines):
    """A shell script in front of the machine's own program of that name: the PATH by which it is found."""
    script = folder / name
    script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def leave_marker(device, access, marker):
    """Leaves 32 MiB of a marker in /data, more than the header of a drive that every way of erasing overwrites, and one in the home. The
    search that later must find nothing finds it now."""
    ssh(access, f"yes {marker.decode()} | head -c 32M > /data/markers; echo {marker.decode()} | tee /data/marker > ~/marker; sync")
    assert raw_count(device.drive, marker) > (16 << 20) / len(marker)


def raw_count(path, marker):
    """How often bytes stand on a raw drive; holes hold none and are passed over."""
    return sum(piece.count(marker) for _, piece in data_pieces(path, len(marker) - 1))


def data_pieces(path, overlap=0):
    """The data of a file that may have holes: offsets and pieces; each piece begins with the last `overlap` bytes of the one before it."""
    with open(path, "rb", buffering=0) as drive:
        size, offset = os.fstat(drive.fileno()).st_size, 0
        while offset < size:
            try:
                offset = os.lseek(drive.fileno(), offset, os.SEEK_DATA)
            except OSError:
                return
            end, tail = os.lseek(drive.fileno(), offset, os.SEEK_HOLE), b""
            while offset < end:
                piece = os.pread(drive.fileno(), min(8 << 20, end - offset), offset)
                if not piece:
                    return
                yield offset - len(tail), tail + piece
                tail = piece[len(piece) - overlap :] if overlap else b""
                offset += len(piece)


def seconds_of(line):
    """The moment of a log line in seconds since 1970."""
    import calendar

    stamp, _, fraction = re.search(r"time=(\S+?)Z", line).group(1).partition(".")
    return calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")) + float("0." + (fraction or "0"))


def child_text(pid, name):
    """A text file of /proc/PID."""
    return pathlib.Path("/proc", str(pid), name).read_text()
