"""What the demo prints: steps, what was shown, a word every few seconds where it waits, and the timeline at the end."""

import calendar
import os
import re
import sys
import threading
import time

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
SILENCE = 8  # seconds


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def out(text):
    Waiting.last = time.monotonic()
    print(text, flush=True)


def say(text):
    out(paint("==> ", "1;34") + text)


def good(text):
    out(paint("  ✓ ", "32") + text)


def detail(text):
    out("      " + text)


class Waiting:
    """Says after each few seconds without another line what is waited for."""

    last = 0.0

    def __init__(self, what):
        self.what = what
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.began = Waiting.last = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()

    def _run(self):
        while not self.done.wait(0.5):
            if time.monotonic() - Waiting.last >= SILENCE:
                detail(f"… {self.what}, {time.monotonic() - self.began:.0f} s so far")


def log_time(line):
    """The moment of a log line, in seconds."""
    stamp = re.search(r"time=(\S+)Z", line).group(1)
    whole, _, fraction = stamp.partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + (fraction or "0"))


class Timeline:
    """What happened when, from the first entry on."""

    def __init__(self):
        self.entries = []

    def add(self, moment, text):
        self.entries.append((moment, text))

    def show(self):
        self.entries.sort()
        start = before = self.entries[0][0]
        out("\n" + paint("timeline", "1") + "      at      took")
        for moment, text in self.entries:
            out(f"  {text:<34}{moment - start:7.2f} s {moment - before:7.2f} s")
            before = moment
