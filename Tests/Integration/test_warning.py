"""A renter hears in time that the lease ends: from `expires`, at the login, and on every terminal."""

import re
import signal
import subprocess

from house import Login
from world import ssh, wait_for


class Terminal(Login):
    """A renter at a terminal."""

    def __init__(self, space, access):
        # ssh takes options behind the host too.
        super().__init__(space, access, "terminal", "-tt", stdin=subprocess.PIPE)

    def seconds_told(self):
        """What it was told is left, each time: a number and its unit."""
        return re.findall(r"yours for another (\d+) (\w+)", self.text())


def test_a_renter_is_warned(house):
    device = house.offered()
    access = house.rent(device, "150s")
    left = int(ssh(access, "expires --seconds").stdout)
    assert 60 < left <= 150
    assert "market extend" in ssh(access, "expires").stdout
    assert ssh(access, "expires --hours", check=False).returncode == 64
    terminal = Terminal(house.space, access)
    house.sessions.append(terminal)
    wait_for("the login to tell", terminal.seconds_told, 30)
    wait_for("the last minute", lambda: any(unit == "seconds" and int(number) <= 60 for number, unit in terminal.seconds_told()), 150)
    assert "yours for another" in ssh(access, "cat /run/lease-ends").stdout

    # Moved by more than a day, so there is nothing to warn of.
    house.market.command("extend", device.label, "--for", "30h")
    wait_for("the new end", lambda: int(ssh(access, "expires --seconds").stdout) > 100_000, 20)
    wait_for("the warning to go", lambda: ssh(access, "test -e /run/lease-ends", check=False).returncode == 1, 60)
    told = len(terminal.seconds_told())

    # Where nobody knows the end, nothing is said, and nobody is warned.
    device.process.send_signal(signal.SIGSTOP)
    (device.run_folder / "vault" / "expires").unlink()
    unknown = ssh(access, "expires", check=False)
    assert unknown.returncode == 1 and "not known" in unknown.stderr
    assert len(terminal.seconds_told()) == told
    device.process.send_signal(signal.SIGCONT)
