"""The device: a drive, a card, and one boot of the fast rig after another. And what lies on both while it is off."""

import json
import os
import queue
import re
import signal
import subprocess
import threading
import time

from outside import DEVICE, HERE, LINK, US, run

HEADER = 16 << 20
SIZES = {"drive": "3G", "card": "96M"}
MAC = "02:53:75:62:00:02"


class Event:
    """A line that the governor logged, and when it came."""

    def __init__(self, line):
        self.line = line
        self.at = time.monotonic()
        fields = dict(re.findall(r'(\S+?)=("(?:[^"\\]|\\.)*"|\S*)', line))
        self.name = fields.pop("event", "")
        self.fields = {key: value.strip('"') for key, value in fields.items()}


class Machine:
    """Boots, and is cut off."""

    def __init__(self, space):
        self.folder = folder = space.disk
        self.programs, self.base = space.programs, folder / "base"
        self.drive, self.card = folder / "drive", folder / "card"
        self.process = None
        self.log = folder / "boot.log"
        # Called by the reader at once, before anything else looks at the line.
        self.on_event = lambda event: None

    def make(self, config):
        """A blank drive, and a card with the owner's file."""
        for name, size in SIZES.items():
            run("truncate", "-s", size, self.folder / name)
        start = self.folder / "start"
        start.mkdir()
        (start / "device-config.json").write_text(json.dumps(config))
        run("mkfs.ext4", "-q", "-d", start, self.card)

    def boot(self):
        """Starts it. Its log lines arrive in `events`; None is the last."""
        self.events = queue.SimpleQueue()
        self.is_cut = False
        self.seen = []
        words = [
            HERE.parent / "fast-rig" / "run", "--mem", "1G", "--disk", self.drive, "--disk", self.card,
            "--share", f"{self.programs}:/programs", "--share", f"{self.base}:/base", "--share", f"{HERE}:/cuts",
            "--kernel-arg", f"vec0:transport=tap,ifname={LINK},mac={MAC}", "--", "/cuts/guest", f"{DEVICE}/30", f"{US}:8080",
        ]
        self.process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", env={**os.environ, "TMPDIR": str(self.folder)},
        )
        threading.Thread(target=self._read, args=(self.process.stdout, self.events), daemon=True).start()

    def _read(self, lines, events):
        with open(self.log, "w") as log:
            for line in lines:
                log.write(line)
                log.flush()
                event = Event(line.rstrip())
                self.on_event(event)
                self.seen.append(event)
                events.put(event)
        events.put(None)

    def cut(self):
        """The plug is pulled. Returns before the machine is down: `await_end`."""
        self.is_cut = True
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)

    def await_end(self):
        if self.process is None:
            return None
        status = self.process.wait(60)
        self.process = None
        return status

    def copy(self, folder):
        for name in SIZES:
            run("cp", "--sparse=always", "--reflink=auto", self.folder / name, folder / name)

    # What lies on drive and card, read from outside.

    def header_is_zero(self):
        return not any(_data(self.drive, HEADER))

    def luks_uuid(self):
        """The UUID of the drive's header, by cryptsetup; None where it finds none."""
        done = run("cryptsetup", "luksUUID", self.drive, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def opens(self, key):
        """Whether cryptsetup opens a slot of the drive with this key."""
        path = self.folder / "key"
        path.write_bytes(key)
        done = run("cryptsetup", "open", "--test-passphrase", "--key-file", path, self.drive, check=False)
        path.unlink()
        return done.returncode == 0

    def card_holds(self, secret):
        """Whether bytes stand anywhere on the raw card."""
        return secret in b"".join(_data(self.card, None))

    def read_card(self):
        """The card's journal (text or None) and key (bytes or None) as a boot would find them: a copy, its ext4 journal replayed."""
        copy, place = self.folder / "card.copy", self.folder / "card.mounted"
        run("cp", "--sparse=always", self.card, copy)
        place.mkdir(exist_ok=True)
        run("mount", "-o", "loop", copy, place)
        try:
            return _read(place / "state" / "journal.json"), _read(place / "state" / "lease.key")
        finally:
            run("umount", place)
            copy.unlink()


def _read(path):
    return path.read_bytes() if path.exists() else None


def _data(path, limit):
    """The pieces of a sparse file that are no holes, up to a place in it, without those that are zero."""
    with open(path, "rb", buffering=0) as file:
        end, offset = limit or os.fstat(file.fileno()).st_size, 0
        while offset < end:
            try:
                offset = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            except OSError:
                return
            piece = os.pread(file.fileno(), min(1 << 20, end - offset), offset) if offset < end else b""
            if not piece:
                return
            if any(piece.strip(b"\0")):
                yield piece
            offset += len(piece)
