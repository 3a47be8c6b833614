"""A device that is a machine of its own: governor, Docker and ssh run in the fast rig's guest, on a kernel that has dm-crypt."""

import json

import wire
from world import ROOT, Device, Trouble, wait_for

RIG = ROOT / "hardware-tests" / "fast-rig"


class RigDevice(Device):
    """Used like a device of this host; its drive is a file here, and /dev/ubda there."""

    def __init__(self, space, config, base, ports, root):
        super().__init__(space, config, base, fence="none")
        self.root, self.ports = root, ports
        self.cable = None
        self.asked = 0
        # The machine is the device's alone: the usual names. Its kernel has no nftables for ip (see the rig's README): no walls there.
        self.config["storage"] = {"path": "/dev/ubda"}
        self.config["network"] = {"fence": "none"}
        self.io = space.folder / "io"
        self.io.mkdir(mode=0o700)
        self.config_path = self.io / "device-config.json"
        self.write_config()
        (self.io / "ports").write_text(json.dumps(ports))

    def start(self):
        """Switches the machine on; the governor's log is what it prints."""
        self.since = 0
        self.cable = wire.Cable(f"{Device.prefix}tap", self.ports)
        shares = {ROOT: "/project", self.space.programs: "/programs", self.base.parent: "/base", self.io: "/io"}
        words = [RIG / "run", "--root", self.root, "--mem", "1G", "--disk", f"{self.drive}:3G"]
        words += ["--kernel-arg", f"eth0=tuntap,{self.cable.name}"]
        for here, there in shares.items():
            words += ["--share", f"{here}:{there}"]
        guest = ["env", "PYTHONDONTWRITEBYTECODE=1", "python3", "/project/Tests/Demo/in_rig.py", f"/base/{self.base.name}"]
        # Should the demo be killed by force, at least the machine goes off.
        tied = ["setpriv", "--pdeathsig", "TERM"]
        # What the rig lays down on the host lies in the world's folder.
        with self.cable.entered():
            self.launch([*tied, *words, "--", *guest], env={"TMPDIR": str(self.space.folder)})

    def ask(self, method, *words, seconds=90):
        """Has in_rig.py call a method of its own, and gives what that gave."""
        self.asked += 1
        question, answer = (self.io / f"{kind}-{self.asked}" for kind in ("ask", "answer"))
        # A file must have all its text when it appears; and no name is used twice, for the guest keeps what it has read.
        fresh = self.io / "new"
        fresh.write_text(json.dumps([method, *words]))
        fresh.rename(question)
        wait_for(f"the machine to tell its {method}", lambda: answer.exists() or not self.is_running, seconds, 0.02)
        if not self.is_running:
            raise Trouble("the machine is off: " + self.text()[-600:])
        told = json.loads(answer.read_text())
        if "trouble" in told:
            raise Trouble(told["trouble"])
        return told["is"]

    def status(self):
        return self.ask("status")

    def wait_event(self, name, count=1, seconds=60, since=0):
        """As with any device; but one whose machine is off is not waited for."""
        wait_for(f"event {name} ({count} times)", lambda: len(self.events(name, since)) >= count or not self.is_running, seconds, 0.02)
        if len(self.events(name, since)) < count:
            raise Trouble(f"the machine is off, and there was no event {name}")
        return self.events(name, since)[-1]

    def remove(self):
        """Switches it off. The drive's file is all of it that is on this host."""
        self.end()
        if self.cable:
            self.cable.remove()
            self.cable = None
