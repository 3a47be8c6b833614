"""What the demo prints: steps, what was shown, a word every few seconds where it waits, and the timeline at the end."""

import calendar
import os
import re
import sys
import threading
import time

TERMINAL = sys.stdout.isatty()
COLOUR = TERMINAL and "NO_COLOR" not in os.environ
SILENCE = 3 if TERMINAL else 8  # seconds


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def out(text):
    Waiting.last = time.monotonic()
    print(Waiting.wipe() + text, flush=True)


def say(text):
    out(paint("==> ", "1;34") + text)


def good(text):
    out(paint("  ✓ ", "32") + text)


def detail(text):
    out("      " + text)


class Waiting:
    """Says after some seconds without another line what is waited for: on a terminal in one line that counts, else in one every time."""

    last = 0.0
    shown = False

    def __init__(self, what):
        self.what = what
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    @classmethod
    def wipe(cls):
        """What makes room on the terminal where the line that counts stands."""
        was, cls.shown = cls.shown, False
        return "\r\033[K" if was else ""

    def __enter__(self):
        self.began = Waiting.last = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        print(self.wipe(), end="", flush=True)

    def _run(self):
        while not self.done.wait(0.5):
            if time.monotonic() - Waiting.last < SILENCE:
                continue
            line = f"      … {self.what}, {time.monotonic() - self.began:.0f} s so far"
            if not TERMINAL:
                out(line)
                continue
            print(self.wipe() + line, end="", flush=True)
            Waiting.shown = True


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
