"""QEMU's monitor, and through it the GPIO lines of a virtual Raspberry Pi: from the chip's registers, not by the guest's word."""

import json
import socket
import statistics
import time

GPIO = 0x3F200000  # the chip's registers, as the processor sees them
GPLEV0 = GPIO + 0x34
# SOS in the governor's table, in seconds, lit and dark in turn.
SOS = [0.15] * 5 + [0.45, 0.45, 0.15, 0.45, 0.15, 0.45, 0.45] + [0.15] * 5 + [1.35]


class Monitor:
    """A connection to a QMP socket; QEMU serves one at a time."""

    def __init__(self, path):
        self.qmp = socket.socket(socket.AF_UNIX)
        self.qmp.settimeout(60)
        self.qmp.connect(str(path))
        self.answers = self.qmp.makefile()
        self.answers.readline()
        self.order("qmp_capabilities")

    def close(self):
        self.answers.close()
        self.qmp.close()

    def order(self, name, /, **arguments):
        """Runs a command and gives its answer; OSError where QEMU refuses."""
        self.qmp.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.answers.readline() or '{"error": {"desc": "the machine ended"}}')
            if "error" in answer:
                raise OSError(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def register(self, address):
        text = self.order("human-monitor-command", **{"command-line": f"xp /1wx {address:#x}"})
        return int(text.split(":")[1], 16)

    def is_high(self, line):
        """The level of a line, from the chip's register."""
        return bool(self.register(GPLEV0) >> line & 1)

    def is_output(self, line):
        """Whether the chip drives the line."""
        return self.register(GPIO + line // 10 * 4) >> line % 10 * 3 & 7 == 1

    def watch(self, line, seconds):
        """How long the line was high and low in turn, in seconds: (level, length); the first and last are cut off."""
        runs, began, level = [], time.monotonic(), self.is_high(line)
        end = since = began
        while end < began + seconds:
            time.sleep(0.005)
            now, end = self.is_high(line), time.monotonic()
            if now != level:
                runs.append((level, end - since))
                level, since = now, end
        return runs[1:] if runs else [(level, seconds)]

    def pattern(self, line):
        """What a lamp on the line shows, watched for six seconds."""
        return pattern_of(self.watch(line, 6.5), self.is_output(line))


def is_sos(runs):
    """Whether half of it is there, wherever it begins: a look of six seconds need not hold all of it, nor a whole pause."""
    turns = [(index % 2 == 0, length) for index, length in enumerate(SOS)] * 2
    half = len(SOS) // 2
    for first in range(len(runs) - half + 1):
        part = runs[first : first + half]
        for turn in range(len(SOS)):
            if all(level == lit and 0.6 * beat < length < 1.5 * beat for (level, length), (lit, beat) in zip(part, turns[turn:])):
                return True
    return False


def pattern_of(runs, is_held=True):
    """What a lamp shows, by its name in the governor's table; None for none of them. By the typical length, for a busy host holds the machine up now
    and then; lamp_on_pi.py looks closer."""
    if len(runs) == 1:
        return ("steady" if runs[0][0] else "dark") if is_held else None
    if is_sos(runs):
        return "sos"
    lit, unlit = (statistics.median([length for level, length in runs if level == one] or [0]) for one in (True, False))
    pauses = [index for index, (level, length) in enumerate(runs) if not level and length > 0.9]
    if not pauses:
        beats = {"fast": 0.125, "slow": 0.5}
        return next((name for name, half in beats.items() if all(0.6 * half < length < 1.5 * half for length in (lit, unlit))), None)
    flashes = {(after - before) // 2 for before, after in zip(pauses, pauses[1:])}
    return {2: "two", 3: "three", 4: "four"}.get(flashes.pop()) if len(flashes) == 1 else None
