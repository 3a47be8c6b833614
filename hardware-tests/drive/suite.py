"""A step of ../drive.bats: hardware-tests/run on this board."""

import os
import signal
import subprocess

from board import LONG, expect, step, wait_for
from world import ROOT


@step
def suite(here, status, *words):
    """Runs it as a tester would; it ends with the status. Its market is ours."""
    device = here.device
    places = {
        "GOVERNOR": device.program, "SUBLET_CONFIG": device.config_path, "SUBLET_STATE": device.state, "SUBLET_RUN": device.run_folder,
        "SUBLET_BASE": device.base, "SUBLET_MARKET_DATA": here.market.data,
    }  # fmt: skip
    command = [str(ROOT / "hardware-tests" / "run"), *words]
    if words[0] == "destructive":
        command += ["--yes", "--market", str(here.market.program)]
    environment = {**os.environ, **{name: str(value) for name, value in places.items()}}
    # Its words go where this step's do.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, flush=True)
    if not device.is_running:
        # It was started again by the suite: from here on it is our child once more.
        pid = device.status().get("pid")
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_for("the governor to end", lambda: not os.path.exists(f"/proc/{pid}"), LONG)
        device.start()
    expect(done.returncode == int(status), f"hardware-tests/run ended with status {done.returncode}")
