"""Deliberate bugs, planted one by one into a copy of the sources, for who is to find them: the simulator (Simulator/run), the fuzzers (Fuzz/bugs).

A bug is a tuple that begins with its name, a file, what stands there exactly once, and what is put in its place.
"""

import argparse
import contextlib
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]


def is_there(tree, bug):
    """Whether a bug can be planted."""
    name, file, old = bug[:3]
    times = (tree / file).read_text().count(old)
    if times != 1:
        print(f"NOT THERE   {name}: what it changes stands {times} times in {file}", flush=True)
    return times == 1


@contextlib.contextmanager
def planted(tree, bug):
    """The tree with a bug in it."""
    _, file, old, new = bug[:4]
    path = tree / file
    before = path.read_text()
    path.write_text(before.replace(old, new))
    try:
        yield
    finally:
        path.write_text(before)


@contextlib.contextmanager
def copy_of_sources():
    """A tree of its own, in a folder where there is room for what is built of it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sublet-bugs-"))
    try:
        tree = folder / "tree"
        tree.mkdir()
        for name in ("Package.swift", "Sources", "Tests"):
            source = ROOT / name
            shutil.copytree(source, tree / name, symlinks=True) if source.is_dir() else shutil.copy2(source, tree / name)
        yield tree
    finally:
        shutil.rmtree(folder)


def find_all(bugs, found, limit, before=lambda tree: None):
    """The program: `found(tree, bug, limit)` for each bug that was named; `limit` is an option's name and what it is if not given."""
    option, usual = limit
    parser = argparse.ArgumentParser()
    parser.add_argument("--" + option, type=int, default=usual)
    parser.add_argument("--there", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    bugs = [bug for bug in bugs if not options.names or any(name in bug[0] for name in options.names)]
    if options.there:
        sys.exit(0 if all([is_there(ROOT, bug) for bug in bugs]) else 1)
    with copy_of_sources() as tree:
        before(tree)
        result = [is_there(tree, bug) and found(tree, bug, getattr(options, option)) for bug in bugs]
    print(f"{sum(result)} of {len(result)} deliberate bugs were found")
    sys.exit(0 if all(result) else 1)
