"""A card, looked at from outside as with a card reader: the owner's partition, the system's, and the governor's memory."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess

from machine import FAT
from world import Trouble, run

# What the device itself writes on the FAT partition, and its owner.
WRITTEN = ("device-config.json", "device-status.txt", "device-status.txt.new", "grub/grubenv")
# Root and kernel of the two systems that a card holds.
SYSTEMS = {"A": (2, 6), "B": (5, 7)}


class Card:
    def __init__(self, file):
        self.file = file
        self.table = json.loads(run("sfdisk", "--json", file).stdout)["partitiontable"]
        # Number: first byte and length. Logical ones are described by an extended one, 4.
        self.parts = {self.number(part): (part["start"] << 9, part["size"] << 9) for part in self.table["partitions"]}

    def number(self, part):
        return int(str(part["node"]).removeprefix(str(self.file)))

    # The owner's partition.

    @property
    def fat(self):
        return f"{self.file}@@{FAT}"

    def put(self, name, data):
        """Writes a file; with None it is taken away."""
        run("mdel", "-i", self.fat, "::" + name, check=False)
        if data is not None:
            done = subprocess.run(["mcopy", "-o", "-i", self.fat, "-", "::" + name], input=data, capture_output=True)
            if done.returncode != 0:
                raise Trouble(f"mcopy: {done.stderr.decode()}")

    def get(self, name):
        """A file's bytes; None where there is none, or where the device is just writing."""
        done = subprocess.run(["mcopy", "-n", "-i", self.fat, "::" + name, "-"], capture_output=True)
        return done.stdout if done.returncode == 0 else None

    # What must stay as it was.

    def sums(self, scratch, but=()):
        """Of the partition table, of the systems' partitions (`but` are the numbers of those that are being written), and of each file on the FAT
        partition that nobody writes."""
        found = {f"partition {number}": self.sum_of(number) for number in self.parts if number not in (1, 3, 4, *but)}
        found["the partition table"] = self.places()
        folder = scratch / "fat"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        run("mcopy", "-s", "-n", "-i", self.fat, "::", folder)
        for file in sorted(folder.rglob("*")):
            name = str(file.relative_to(folder))
            if file.is_file() and name not in WRITTEN:
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found

    def places(self):
        """What the partition table says, but for the length of the data partition, which grows to the card's end at the first boot."""
        parts = {self.number(part): {key: value for key, value in part.items() if key != "node"} for part in self.table["partitions"]}
        parts[3].pop("size")
        return self.table["label"], self.table["id"], parts

    def sum_of(self, number):
        start, left = self.parts[number]
        found = hashlib.sha256()
        with open(self.file, "rb") as card:
            card.seek(start)
            while left:
                part = card.read(min(left, 1 << 22))
                found.update(part)
                left -= len(part)
        return found.hexdigest()

    def copy_of(self, number, target):
        """A partition as a file of its own. Most of a card is a hole, which dd would read for minutes on a busy host."""
        start, size = self.parts[number]
        with open(self.file, "rb", 0) as card, open(target, "wb", 0) as out:
            out.truncate(size)
            at, end = start, start + size
            while at < end:
                try:
                    at = os.lseek(card.fileno(), at, os.SEEK_DATA)
                except OSError:
                    # Nothing but a hole is left.
                    return
                hole = min(os.lseek(card.fileno(), at, os.SEEK_HOLE), end)
                while at < hole:
                    part = os.pread(card.fileno(), min(hole - at, 1 << 22), at)
                    os.pwrite(out.fileno(), part, at - start)
                    at += len(part)

    # The governor's memory.

    def data(self, scratch):
        """A folder with what the data partition holds, as the next mount would find it. Its file system must be whole when its journal is
        replayed."""
        copy, folder = scratch / "data.img", scratch / "data"
        Card(self.file).copy_of(3, copy)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        replayed = run("e2fsck", "-p", copy, check=False)
        whole = run("e2fsck", "-f", "-n", copy, check=False)
        if replayed.returncode > 1 or whole.returncode != 0:
            raise Trouble(f"the data partition is not whole: {replayed.stdout}{whole.stdout}")
        run("debugfs", "-R", f"rdump / {folder}", copy)
        copy.unlink()
        return folder


def look(card, untouched, before, scratch, but=()):
    """What must hold of a card whenever the power goes: the system is as it was (`but` are partitions that an update is being written to), and of
    what the governor remembered nothing is lost. Gives what it remembers now; `before` is None where nothing was to be remembered yet."""
    untouched = {name: found for name, found in untouched.items() if name not in {f"partition {number}" for number in but}}
    sums = card.sums(scratch, but)
    if changed := [name for name in {**sums, **untouched} if sums.get(name) != untouched.get(name)]:
        raise Trouble(f"changed on the card: {changed}")
    now = memory(card.data(scratch))
    if before:
        if before["key"] not in (None, now["key"]):
            raise Trouble("the device's key is another one")
        if before["journal"].get("lease") not in (None, now["journal"].get("lease")):
            raise Trouble(f"the lease is another one: {before['journal']}, {now['journal']}")
        if lost := before["log"] - now["log"]:
            raise Trouble(f"lines of the log are lost: {sorted(lost)[:5]}")
    return now


def in_words(now):
    """What the governor remembers, for people."""
    key, stage = "there" if now["key"] else "not yet", now["journal"].get("stage", "not yet")
    return f"key {key}, journal {stage}, {len(now['log'])} lines of log"


def memory(folder):
    """What of the governor's memory must be there for ever: its key, its lease, and the lines of its log."""
    return {"key": key(folder), "journal": journal(folder), "log": log(folder)}


def key(folder):
    """The public half of the device's key, by its private half; None where there is none yet. Both must fit."""
    file = folder / "device_ed25519"
    if not file.exists():
        return None
    file.chmod(0o600)
    public = run("ssh-keygen", "-y", "-f", file).stdout.split()[:2]
    if file.with_name(file.name + ".pub").read_text().split()[:2] != public:
        raise Trouble("the halves of the device's key do not fit")
    return public[1]


def journal(folder):
    """The governor's journal; {} where there is none yet. It must be whole."""
    file = folder / "journal.json"
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except ValueError as error:
        raise Trouble(f"the governor's journal is not whole: {file.read_bytes()!r}") from error


def log(folder):
    """The lines of the governor's log that are on the card, each with its boot and moment."""
    lines = set()
    for place in {file.parent for file in pathlib.Path(folder, "journal").rglob("*.journal*")}:
        lines |= lines_of(run("journalctl", "-D", place, "-o", "json", "--no-pager", check=False).stdout)
    return lines


def lines_of(text):
    """What journalctl prints as JSON: each line's boot, moment and message."""
    entries = map(json.loads, text.splitlines())
    return {(entry["_BOOT_ID"], entry["__MONOTONIC_TIMESTAMP"], str(entry.get("MESSAGE"))) for entry in entries}
