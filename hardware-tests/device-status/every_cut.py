#!/usr/bin/python3
"""Every state in which a power cut can leave the card while device-status.txt is written: from the log of its writes.

    every_cut.py CARD LOG CONFIG KERNEL     the FAT partition as it was, dm-log-writes' log, and what was on it

What was written before a flush is on the card; of what came after it any part may be, in any order: all of them where there are at most six
writes, else each beginning and each without one of them. In each state the owner's file and the kernel are as they were, and device-status.txt
is the text before or the new one, whole; or none, or empty, for a moment: FAT renames in several steps, and the next start copies it again.
Then the copier finds nothing that two names share: no cluster belongs to two files.
"""

import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cuts"))
from log_writes import Log  # noqa: E402


def read(image, name):
    """A file of the image, None where there is none."""
    done = subprocess.run(["mcopy", "-n", "-i", image, f"::{name}", "-"], capture_output=True, env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})
    return done.stdout if done.returncode == 0 else None


def are_shared(image):
    """Whether a cluster belongs to two files."""
    return "share clusters" in subprocess.run(["fsck.vfat", "-n", image], capture_output=True, text=True).stdout


def parts(group):
    """What a power cut may have let through of the writes between two flushes."""
    if len(group) <= 6:
        return [part for count in range(len(group) + 1) for part in itertools.combinations(group, count)]
    return [group[:count] for count in range(len(group) + 1)] + [group[:one] + group[one + 1 :] for one in range(len(group))]


def groups(entries):
    """The writes from flush to flush; one that is forced out (FUA), or comes with a flush, ends its group."""
    group = []
    for entry in entries:
        if entry.writes:
            group.append(entry)
        if entry.is_point:
            yield group
            group = []
    yield group


def main(card, log_path, *kept):
    log = Log(log_path)
    texts = {None: "none", b"": "empty"}
    for number in (1, 2, 3):
        texts[subprocess.run([HERE / "text", str(number)], capture_output=True, check=True).stdout] = f"text {number}"
    wanted = {name: pathlib.Path(path).read_bytes() for name, path in zip(("device-config.json", "kernel.img"), kept)}
    states, wrong, seen = 0, 0, {}
    with tempfile.TemporaryDirectory() as folder:
        sure, state = f"{folder}/sure", f"{folder}/state"
        shutil.copy(card, sure)
        for number in (1, 2, 3):
            for group in groups(log.between(f"begin-{number}", f"end-{number}")):
                for part in parts(group):
                    shutil.copy(sure, state)
                    apply(log, part, state)
                    states += 1
                    text = texts.get(read(state, "device-status.txt"), "torn")
                    seen[text] = seen.get(text, 0) + 1
                    before = f"text {number - 1}" if number > 1 else "none"
                    bad = [name for name, content in wanted.items() if read(state, name) != content]
                    if bad or text not in (before, f"text {number}", "none", "empty") or are_shared(state):
                        wrong += 1
                        print(f"wrong: copy {number}, entries {[entry.number for entry in part]} of {[entry.number for entry in group]}: {text} {bad}")
                apply(log, group, sure)
            assert texts.get(read(sure, "device-status.txt")) == f"text {number}", "the whole log does not give the text"
    print(f"{states} states, {wrong} wrong; {seen}")
    return 1 if wrong else 0


def apply(log, entries, path):
    target = os.open(path, os.O_RDWR)
    log.replay(list(entries), target)
    os.close(target)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
