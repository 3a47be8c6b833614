#!/usr/bin/python3
"""The guest's side of the demo: a device, and nothing else of the demo, in the fast rig.

    in_rig.py BASE-IMAGE

Finds in /io, a folder of the host: device-config.json; ports (those of the host's loopback that the device needs); and the questions
that the host asks later (ask-N: a JSON list of a method and its arguments), which it answers in answer-N. The drive is /dev/ubda.
The governor's log is the output. Ends when the governor ends.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Integration"))
import wire  # noqa: E402
from evidence import Evidence  # noqa: E402
from world import run  # noqa: E402

IO = pathlib.Path("/io")
RUN = pathlib.Path("/run/sublet")
STATE = pathlib.Path("/var/lib/sublet")
DRIVE, MAPPER = "/dev/ubda", "/dev/mapper/sublet0-lease"


class Guest(Evidence):
    def __init__(self):
        super().__init__(DRIVE, MAPPER, RUN / "drive", STATE / "lease.key")
        self.relay = wire.Relay()
        self.governor = None

    def connect(self):
        """Makes the host's ports this machine's own."""
        for words in (["address", "add", wire.GUEST + wire.LENGTH, "dev", "eth0"], ["link", "set", "eth0", "up"]):
            run("ip", *words)
        for port in json.loads((IO / "ports").read_text()):
            self.relay.add(wire.listen("127.0.0.1", port), wire.HOST, port)

    def start(self, base):
        # From this machine's own memory: what is the host's is slow to run, and may change.
        program = shutil.copy("/programs/governor", "/usr/local/sbin/governor")
        config = shutil.copy("/io/device-config.json", "/etc/device-config.json")
        os.chmod(config, 0o600)
        self.arguments = ["--config", config, "--state", STATE, "--run", RUN, "--base", base]
        self.governor = subprocess.Popen([program, "run", "--debug", *self.arguments])

    def status(self):
        return json.loads(run("governor", "status", "--json", *self.arguments, check=False).stdout or "{}")

    def answer(self, number):
        method, *words = json.loads((IO / f"ask-{number}").read_text())
        try:
            found = {"is": getattr(self, method)(*words)}
        except Exception as trouble:  # the host shall know, whatever it was
            found = {"trouble": f"{method}: {trouble}"}
        fresh = IO / f"new-{number}"
        fresh.write_text(json.dumps(found))
        fresh.rename(IO / f"answer-{number}")

    def serve(self):
        """Answers questions until the governor ends; gives its exit status."""
        number = 1
        while self.governor.poll() is None:
            if (IO / f"ask-{number}").exists():
                self.answer(number)
                number += 1
            else:
                time.sleep(0.1)
        return self.governor.returncode


def main():
    # Nothing in here may change the host's files, but for the answers. (Without `bind`, hostfs of Linux 6.12 refuses its own options.)
    for share in ("/project", "/programs", "/base"):
        run("mount", "-o", "remount,bind,ro", share)
    guest = Guest()
    guest.connect()
    guest.start(sys.argv[1])
    return guest.serve()


if __name__ == "__main__":
    sys.exit(main())
