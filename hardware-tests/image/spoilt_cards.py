#!/usr/bin/python3
"""Spoils a card in each way that the eyes of card-rig and update-rig must see; prints what they say. No machine: the card is made here, in FOLDER.

spoilt_cards.py FOLDER; exit status: 0, 1 something was not seen.
"""

import pathlib
import subprocess
import sys

from card import SYSTEMS, Card, look, memory
from machine import FAT
from world import Trouble, run

MIB = 1 << 20
# A's root, B's root, A's kernel, and the data.
ROOT, OTHER, KERNEL, DATA = 41 * MIB, 66 * MIB, 75 * MIB, 90 * MIB


def make(folder):
    """A FAT partition, two systems, and the governor's memory, with room behind it."""
    card, data, state = folder / "made.img", folder / "part.img", folder / "state"
    state.mkdir()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", state / "device_ed25519")
    (state / "journal.json").write_text('{"version":1,"stage":"registering","lease":"00"}')
    with open(card, "wb") as out:
        out.truncate(DATA + 24 * MIB)
    places = ((FAT, 40, "c"), (ROOT, 24, "83"), (DATA, 16, "83"), (65 * MIB, 25, "f"), (OTHER, 8, "83"), (KERNEL, 4, "c"), (80 * MIB, 4, "c"))
    table = "".join(f"start={start // MIB}MiB, size={size}MiB, type={kind}\n" for start, size, kind in places)
    run("sfdisk", "-q", card, input="label: dos\n" + table)
    run("mkfs.vfat", "-F", "32", "--offset", str(FAT // 512), card, str(40 * 1024))
    run("mke2fs", "-q", "-t", "ext4", "-d", state, data, "16M")
    run("dd", f"if={data}", f"of={card}", "bs=1M", f"seek={DATA // MIB}", "conv=notrunc")
    Card(card).put("kernel", b"a kernel")
    return card


def write(card, at, data):
    with open(card.file, "r+b") as file:
        file.seek(at)
        file.write(data)


def on_data(card, *commands):
    """Does something to the data partition's files."""
    for command in commands:
        run("debugfs", "-w", "-R", command, f"{card.file}?offset={DATA}")


def in_table(card, number, line):
    """Changes what the partition table says of a partition."""
    run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", "-N", number, card.file, input=line + "\n")


def judge(card, sums, before, scratch, but):
    """What the rigs say of it, in words."""
    try:
        look(Card(card.file), sums, before, scratch, but)
        return "as it was"
    except Trouble as error:
        return str(error)


# What is done, what is said of it, how; and which partitions an update is being written to.
SPOILS = (
    ("nothing", "as it was", lambda card: None),
    ("what the device writes itself", "as it was", lambda card: card.put("device-status.txt", b"news")),
    ("a byte of the system", "changed on the card: ['partition 2']", lambda card: write(card, 60 * MIB, b"x")),
    ("a byte of its kernel's partition", "changed on the card: ['partition 6']", lambda card: write(card, KERNEL, b"x")),
    ("a byte of the other system", "changed on the card: ['partition 5']", lambda card: write(card, OTHER, b"x")),
    ("a byte of the other system, as it is written", "as it was", lambda card: write(card, OTHER, b"x"), SYSTEMS["B"]),
    ("a byte of the one that runs, as the other is written", "changed on the card: ['partition 2']", lambda card: write(card, ROOT, b"x"), SYSTEMS["B"]),
    ("a partition of another kind", "changed on the card: ['the partition table']", lambda card: in_table(card, 6, "type=83")),
    ("a partition that is shorter", "['partition 2', 'the partition table']", lambda card: in_table(card, 2, f"{ROOT >> 9}, 16MiB")),
    ("the data partition grown to the card's end", "as it was", lambda card: in_table(card, 3, ", +")),
    ("no partition table", "does not contain a recognized partition table", lambda card: write(card, 0, bytes(512))),
    ("a file that starts it", "changed on the card: ['kernel']", lambda card: card.put("kernel", b"another")),
    ("no key", "the device's key is another one", lambda card: on_data(card, "rm device_ed25519")),
    ("halves of two keys", "do not fit", lambda card: on_data(card, "rm device_ed25519.pub", "write /etc/hostname device_ed25519.pub")),
    ("no journal", "the lease is another one", lambda card: on_data(card, "rm journal.json")),
    ("half a journal", "journal is not whole", lambda card: on_data(card, "set_inode_field journal.json size 20")),
    ("wiped inodes", "data partition is not whole", lambda card: write(card, DATA + MIB // 2, bytes(4 * MIB))),
)


def main(folder):
    made, scratch = make(folder), folder / "scratch"
    scratch.mkdir()
    sums, before = Card(made).sums(scratch), memory(Card(made).data(scratch))
    missed = 0
    for what, wanted, spoil, *but in SPOILS:
        copy = folder / "spoilt.img"
        subprocess.run(["cp", "--sparse=always", made, copy], check=True)
        card = Card(copy)
        spoil(card)
        found = judge(card, sums, before, scratch, *(but or [()]))
        print(f"{what}: {found.splitlines()[0]}")
        if wanted not in found:
            print(f"    it should be: {wanted}")
            missed += 1
    missed += not lines_are_missed(made, sums, before, scratch)
    return 1 if missed else 0


def lines_are_missed(made, sums, before, scratch):
    """Of a line that was in the log before, and is no more."""
    found = judge(Card(made), sums, {**before, "log": {("boot", "1", "a line")}}, scratch, ())
    print(f"a line of the log: {found}")
    return "lines of the log are lost" in found


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
