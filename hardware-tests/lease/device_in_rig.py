#!/usr/bin/python3
"""hardware-tests/run in one boot of the fast rig, on a device that runs there (see ../device.bats).

    device_in_rig.py CHAPTER [WORD]...
"""

import os
import signal
import subprocess
import sys

import world_in_rig
from world_in_rig import DRIVE, World, at, await_power_cut, expect, say, tell_chapter
from world import ROOT, run, wait_for  # (world_in_rig knows where it is)

# A process of the rig that touches much more in small pieces dies of the host's limits, not of ours.
MEMORY_MIB = 96


class Tested(World):
    """A device that hardware-tests/run is started on."""

    def __init__(self):
        super().__init__()
        # How often something was not so; told at the end of a chapter, so that one does not hide the others.
        self.wrong = 0
        self.device.config["limits"]["memoryMiB"] = MEMORY_MIB
        self.device.write_config()

    @property
    def places(self):
        """Where the device's things lie, in the environment."""
        return {**self.device.environment, "SUBLET_MARKET_DATA": str(self.market.data)}

    def suite(self, *words):
        """Starts it as a tester would; what it prints is ours."""
        words = [str(word) for word in (ROOT / "hardware-tests" / "run", *words)]
        say(" ".join(words))
        status = subprocess.run(words, stdin=subprocess.DEVNULL, env={**os.environ, **self.places}).returncode
        self.wrong += status != 0
        say(f"{'ok' if status == 0 else 'NOT SO'}: it ended with status {status}")

    def destructive(self, *words):
        self.suite("destructive", "--drive", f"path:{DRIVE}", "--yes", "--market", self.market.program, *words)

    def all_is_well(self):
        expect(self.wrong == 0, "all of it is so")

    def end(self):
        # The tests have started it again: it is no child of ours any more.
        pid = self.device.status().get("pid")
        if pid and not self.device.is_running:
            os.kill(pid, signal.SIGTERM)
            wait_for("the governor to end", lambda: not os.path.exists(f"/proc/{pid}"), 60)
        super().end()


# The chapters.


def whole(here):
    """The safe tier and the first part of the destructive one; then the machine is rebooted."""
    here.start()
    here.event("lease.offered", seconds=600)
    here.suite("safe", "--report", world_in_rig.IO / "report-safe", "--junit", world_in_rig.IO / "junit-safe.xml")
    here.suite("bench")
    here.destructive("--report", world_in_rig.IO / "report-destructive")
    here.all_is_well()
    run("sync")
    await_power_cut("reboot")


def rebooted(here):
    here.start()
    here.destructive()
    here.all_is_well()
    run("sync")
    await_power_cut("power-cut")


def cut(here):
    here.start()
    here.destructive()
    here.all_is_well()
    at("over")
    here.end()


CHAPTERS = {each.__name__: each for each in (whole, rebooted, cut)}


if __name__ == "__main__":
    sys.exit(tell_chapter(CHAPTERS, Tested))
