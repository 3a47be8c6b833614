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
    """A log device or file."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDONLY)
        magic, version, count, size = struct.unpack_from("<3QI", os.pread(self.file, 512, 0))
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError(f"{path}: no log of dm-log-writes")
        self.entries, place = [], size
        for number in range(count):
            entry = Entry(number, os.pread(self.file, size, place), size, place + size)
            self.entries.append(entry)
            place += size + (0 if entry.flags & (DISCARD | MARK) else entry.length)

    def between(self, first, last):
        """The entries between two marks."""
        marks = {entry.mark: entry.number for entry in self.entries if entry.mark}
        return self.entries[marks[first] + 1 : marks[last]]

    def replay(self, entry, target):
        """Does one write again."""
        done = 0
        while done < entry.length:
            count = min(1 << 20, entry.length - done)
            data = bytes(count) if entry.flags & DISCARD else os.pread(self.file, count, entry.data + done)
            done += os.pwrite(target, data, entry.start + done)
