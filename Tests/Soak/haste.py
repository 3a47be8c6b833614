"""A day of waiting in half an hour: governor, market, ssh and sshd live in a time that goes on 200 times as fast while they only wait.

haste.c, loaded into them, adds to all of their clocks what stands in a file; what they wait for comes earlier. While somebody works, it goes
no faster than the machine's: for 0.4 s after one of them was started or has connected somewhere, and while the device is at work on drive or engine, as
its log tells. The kernel, dockerd and the renter's machine have the time of the machine throughout.
"""

import ctypes
import mmap
import os
import pathlib
import re
import shutil
import tempfile
import threading
import time

from preload import build_preload

SECOND = 1_000_000_000
BEGINS = {"lease.erasing", "lease.registered", "engine.down", "container.down"}
ENDS = {"lease.erased", "lease.erase-failed", "storage.failed", "container.up"}


class Shared(ctypes.Structure):
    """What haste.c maps too."""

    _fields_ = [("ahead", ctypes.c_longlong), ("begun", ctypes.c_longlong)]


class Tail:
    """How often each event was logged, read as it grows; whether the last of them say that the device is at work."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.offset = 0
        self.counts = {}
        self.check_ins = []
        self.at_work_since = None
        self.lock = threading.Lock()

    def look(self):
        with self.lock:
            if not self.path.exists() or self.path.stat().st_size == self.offset:
                return self
            with open(self.path, "rb") as log:
                log.seek(self.offset)
                text = log.read()
            whole = text[: text.rfind(b"\n") + 1]
            self.offset += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                self.take(line)
        return self

    def take(self, line):
        found = re.match(r"time=(\S+) .*? event=(\S+)", line)
        if not found:
            return
        moment, event = found.groups()
        self.counts[event] = self.counts.get(event, 0) + 1
        if event == "market.checked-in":
            self.check_ins.append(moment)
        if event in BEGINS:
            self.at_work_since = time.monotonic()
        elif event in ENDS:
            self.at_work_since = None

    def count(self, event):
        return self.look().counts.get(event, 0)


class Plain:
    """The machine's own time."""

    now = staticmethod(time.monotonic)


class Haste(threading.Thread):
    """That time, in seconds."""

    rate = 200
    # Nanoseconds after a beginning, and seconds of work at most, in which time goes as the machine's does.
    pause = SECOND * 4 // 10
    longest = 60

    def __init__(self):
        super().__init__(daemon=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sublet-haste-"))
        os.chmod(self.folder, 0o755)
        self.tail = None
        self.is_over = threading.Event()
        library = build_preload(pathlib.Path(__file__).with_name("haste.c"), self.folder)
        place = self.folder / "ahead"
        place.write_bytes(bytes(ctypes.sizeof(Shared)))
        # sshd drops its rights before it reads the time.
        os.chmod(place, 0o666)
        with open(place, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        self.shared = Shared.from_buffer(self.memory)
        self.environment = {"LD_PRELOAD": str(library), "SUBLET_HASTE": str(place)}

    def take(self, space):
        """sshd starts the market with an environment of its own: what stands in the market's place brings it back."""
        program = space.programs / "market"
        (space.programs / "real").mkdir()
        program.rename(space.programs / "real" / "market")
        words = " ".join(f"{name}={value}" for name, value in self.environment.items())
        program.write_text(f'#!/bin/sh\nexport {words}\nexec {space.programs}/real/market "$@"\n')
        program.chmod(0o755)

    def now(self):
        return (time.monotonic_ns() + self.shared.ahead) / SECOND

    def run(self):
        last = time.monotonic_ns()
        while not self.is_over.wait(0.005):
            now = time.monotonic_ns()
            since = self.tail.look().at_work_since if self.tail else None
            is_at_work = since is not None and time.monotonic() - since < self.longest
            if not is_at_work and now - self.shared.begun > self.pause:
                self.shared.ahead += (now - last) * (self.rate - 1)
            last = now

    def end(self):
        self.is_over.set()
        self.join()
        shutil.rmtree(self.folder)
