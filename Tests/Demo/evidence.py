"""What shows that a drive is encrypted, and that an erase was one. It runs where the device runs: on this host, or in the rig's guest."""

import json
import mmap
import os
import pathlib
import subprocess

from world import Trouble, run


def raw_search(path, text):
    """How often a text stands in a drive's file: all of it but holes, and across the seams of what is read at once."""
    wanted, found, at = text.encode(), 0, 0
    with open(path, "rb", buffering=0) as drive:
        while True:
            try:
                at = drive.seek(at, os.SEEK_DATA)
            except OSError:  # only holes from here on
                return found
            end, tail = drive.seek(at, os.SEEK_HOLE), b""
            drive.seek(at)
            while at < end:
                part = drive.read(min(8 << 20, end - at))
                at += len(part)
                found += (tail + part).count(wanted)
                tail = part[1 - len(wanted) :]


def read_past_caches(path, offset, count):
    """What is on the medium itself (O_DIRECT)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, count) as memory:
            return memory[: os.preadv(descriptor, [memory], offset)]
    finally:
        os.close(descriptor)


class Evidence:
    """About one device: its drive, what the open drive is called, where it is mounted, and where the lease's key lies."""

    def __init__(self, drive, mapper, mount, key):
        self.drive, self.mapper, self.mount, self.key = drive, mapper, pathlib.Path(mount), pathlib.Path(key)
        self.copied = b""

    def _header(self):
        return json.loads(run("cryptsetup", "luksDump", "--dump-json-metadata", self.drive).stdout)

    def encryption(self):
        """The header and the open mapping, in the words of cryptsetup and dmsetup."""
        text = run("cryptsetup", "luksDump", self.drive).stdout
        wanted = ("Version:", "Label:", "cipher:", "sector:")
        lines = [" ".join(line.split()) for line in text.splitlines() if line.split()[:1] and line.split()[0] in wanted]
        slots = self._header()["keyslots"].values()
        table = run("dmsetup", "table", self.mapper).stdout.split()
        return {"dump": lines, "slots": len(slots), "bits": [slot["key_size"] * 8 for slot in slots], "table": table[2:4]}

    def marker_counts(self, marker):
        """How often the marker stands in one block of the renter's file, read through the mapper and read from the drive itself."""
        file = next(self.mount.glob("engine/*.*/volumes/data/_data/marker"))
        extents = run("filefrag", "-e", "-b4096", file).stdout.splitlines()
        first = next(line for line in extents if line.split(":")[0].strip() == "0")
        block = int(first.split(":")[2].split("..")[0])
        begin = int(self._header()["segments"]["0"]["offset"])
        sides = read_past_caches(self.mapper, block * 4096, 4096), read_past_caches(self.drive, begin + block * 4096, 4096)
        if not any(sides[1]):
            raise Trouble("the block of the renter's file is empty on the drive: it shows nothing")
        return [side.count(marker.encode()) for side in sides]

    def copy_key(self):
        """What somebody who holds the device could do while the lease lives; kept in memory, for `old_key_opens`."""
        self.copied = self.key.read_bytes()

    def old_key_opens(self):
        """Whether the copied key opens the drive."""
        words = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(self.drive)]
        return subprocess.run(words, input=self.copied, capture_output=True, check=False).returncode == 0
