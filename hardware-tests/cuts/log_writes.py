"""A log of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst), read and replayed.

One sector tells magic, version, number of entries and sector size. Then each entry: a sector with place, length and flags (and the text
of a mark), and behind it the data that was written. Writes stand in the order in which they were completed, but only once a flush came.
"""

import os
import struct

FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
MAGIC, VERSION = 0x6A736677736872, 1


class Entry:
    """One write: `start` and `length` in bytes; `data` is where it lies in the log."""

    def __init__(self, number, head, size, place):
        sector, sectors, self.flags, extra = struct.unpack_from("<4Q", head)
        self.number = number
        self.start, self.length = sector * size, sectors * size
        self.data = place
        self.mark = head[32 : 32 + extra].decode() if self.flags & MARK else None

    @property
    def is_point(self):
        """Whether all before it was on the medium when it was done."""
        return bool(self.flags & (FLUSH | FUA))

    @property
    def writes(self):
        return self.length > 0 and not self.flags & MARK


class Log:
    """A log device or file. Read in large pieces, and written so: a system call costs much in the rig."""

    STEP = 1 << 20

    def __init__(self, path):
        self.file = os.open(path, os.O_RDONLY)
        self.bytes = bytearray()
        magic, version, count, size = struct.unpack_from("<3QI", self.read(0, 512))
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError(f"{path}: no log of dm-log-writes")
        self.entries, place = [], size
        for number in range(count):
            entry = Entry(number, self.read(place, size), size, place + size)
            self.entries.append(entry)
            place += size + (0 if entry.flags & (DISCARD | MARK) else entry.length)

    def read(self, place, count):
        while len(self.bytes) < place + count:
            piece = os.pread(self.file, self.STEP, len(self.bytes))
            if not piece:
                raise ValueError("the log ends early")
            self.bytes += piece
        return bytes(self.bytes[place : place + count])

    def between(self, first, last):
        """The entries between two marks."""
        marks = {entry.mark: entry.number for entry in self.entries if entry.mark}
        return self.entries[marks[first] + 1 : marks[last]]

    def replay(self, entries, target):
        """Does these writes again, in their order; neighbours in one."""
        start, data = 0, bytearray()
        for entry in [entry for entry in entries if entry.writes]:
            if entry.start != start + len(data) or len(data) > self.STEP:
                self._write(target, start, data)
                start, data = entry.start, bytearray()
            data += bytes(entry.length) if entry.flags & DISCARD else self.read(entry.data, entry.length)
        self._write(target, start, data)

    @staticmethod
    def _write(target, start, data):
        done = 0
        while done < len(data):
            done += os.pwrite(target, memoryview(data)[done:], start + done)
