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
        self.device.config["limits"]["memoryMiB"] = MEMORY_MIB
        self.device.write_config()

    def suite(self, *words, expected=0, **environment):
        """Starts it as a tester would; what it prints is ours."""
        device = self.device
        places = {
            "GOVERNOR": device.program, "SUBLET_CONFIG": device.config_path, "SUBLET_STATE": device.state, "SUBLET_RUN": device.run_folder,
            "SUBLET_BASE": device.base, "SUBLET_MARKET_DATA": self.market.data, **environment,
        }
        words = [ROOT / "hardware-tests" / "run", *words]
        say(" ".join(map(str, words)))
        done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, env={**os.environ, **{k: str(v) for k, v in places.items()}})
        expect(done.returncode == expected, f"it ended with status {expected}, and not {done.returncode}" if done.returncode != expected else
               f"it ended with status {expected}")

    def destructive(self, *words, **options):
        self.suite("destructive", "--drive", f"path:{DRIVE}", "--yes", "--market", str(self.market.program), *words, **options)

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
    run("sync")
    await_power_cut("reboot")


def rebooted(here):
    here.start()
    here.destructive()
    run("sync")
    await_power_cut("power-cut")


def cut(here):
    here.start()
    here.destructive()
    at("over")
    here.end()


CHAPTERS = {each.__name__: each for each in (whole, rebooted, cut)}


if __name__ == "__main__":
    sys.exit(tell_chapter(CHAPTERS, Tested))
