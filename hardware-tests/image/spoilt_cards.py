#!/usr/bin/python3
"""Spoils a card in each way that card-rig's eyes must see; prints what they say. No machine: the card is made here, in FOLDER.

spoilt_cards.py FOLDER; exit status: 0, 1 something was not seen.
"""

import pathlib
import subprocess
import sys

from card import Card, look, memory
from machine import FAT
from world import Trouble, run

MIB = 1 << 20
DATA = 65 * MIB


def make(folder):
    """A FAT partition, one of the system's, and the governor's memory."""
    card, data, state = folder / "made.img", folder / "part.img", folder / "state"
    state.mkdir()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", state / "device_ed25519")
    (state / "journal.json").write_text('{"version":1,"stage":"registering","lease":"00"}')
    with open(card, "wb") as out:
        out.truncate(DATA + 16 * MIB)
    table = f"label: dos\nstart=1MiB, size=40MiB, type=c\nstart=41MiB, size=24MiB, type=83\nstart={DATA // MIB}MiB, size=16MiB, type=83\n"
    run("sfdisk", "-q", card, input=table)
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


def judge(card, sums, before, scratch):
    """What card-rig says of it, in words."""
    try:
        look(card, sums, before, scratch)
        return "as it was"
    except Trouble as error:
        return str(error)


SPOILS = (
    ("nothing", "as it was", lambda card: None),
    ("what the device writes itself", "as it was", lambda card: card.put("device-status.txt", b"news")),
    ("a byte of the system", "changed on the card: ['partition 2']", lambda card: write(card, 60 * MIB, b"x")),
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
    for what, wanted, spoil in SPOILS:
        copy = folder / "spoilt.img"
        subprocess.run(["cp", "--sparse=always", made, copy], check=True)
        card = Card(copy)
        spoil(card)
        found = judge(card, sums, before, scratch)
        print(f"{what}: {found.splitlines()[0]}")
        if wanted not in found:
            print(f"    it should be: {wanted}")
            missed += 1
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
