"""The engine's containerd is the device's own: whatever runs on the machine besides, and however long it takes to start."""

import os
import pathlib
import signal
import subprocess

import pytest
from house import in_front, leave_marker, raw_count
from world import run, ssh, wait_for

# Where Debian's containerd.service has it, and where a dockerd looks for it that is told of no other.
OWNERS = "/run/containerd/containerd.sock"


def namespaces():
    """Of those who use the owner's containerd."""
    done = run("ctr", "--address", OWNERS, "namespaces", "list", "--quiet", check=False)
    return sorted(done.stdout.split()) if done.returncode == 0 else None


@pytest.fixture
def owners(tmp_path):
    """What the owner's containerd has in its books: of the one that runs, as with docker.io from Debian on a PC, or of one started for this."""
    if namespaces() is not None:
        yield namespaces()
        return
    # Without the plug-in that makes a folder under /var/lib.
    (tmp_path / "config").write_text('version = 2\ndisabled_plugins = ["io.containerd.internal.v1.opt"]\n')
    words = ["containerd", "--config", tmp_path / "config", "--root", tmp_path / "root", "--state", tmp_path / "state", "--address", OWNERS, "--log-level", "error"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log)
    try:
        yield wait_for("the owner's containerd", lambda: (found := namespaces()) is not None and [found], 30)[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        for socket in (OWNERS, OWNERS + ".ttrpc"):
            pathlib.Path(socket).unlink(missing_ok=True)


def test_the_owners_containerd_has_nothing_of_a_lease(house, owners):
    """It would go on with the renter's machine when the lease has ended, and keep the drive busy."""
    device = house.offered()
    access = house.rent(device, "1h")
    marker = os.urandom(16).hex().encode()
    leave_marker(device, access, marker)
    container = device.container_pid()
    assert namespaces() == owners
    shims = [line for line in run("ps", "-eo", "args").stdout.splitlines() if device.container()["Id"] in line and "-address" in line]
    assert len(shims) == 1 and str(device.run_folder) in shims[0], shims
    erased = len(device.events("lease.erased"))
    house.market.command("end", device.label)
    device.wait_event("lease.erased", erased + 1)
    assert not os.path.exists(f"/proc/{container}") and raw_count(device.drive, marker) == 0 and namespaces() == owners


def test_what_is_left_is_found_in_another_namespace(house, tmp_path):
    """Debian 13's dockerd has its containers in containerd's namespace moby-100000.100000, with the numbers of the user that is root in them."""
    device = house.device("newer")
    device.start(PATH=in_front(tmp_path, "dockerd", 'exec /usr/sbin/dockerd --containerd-namespace moby-100000.100000 "$@"'))
    device.wait_until("offered")
    house.rent(device, "1h")
    container, folders = device.container_pid(), device.containers()
    assert [folder.parent.name for folder in folders] == ["moby-100000.100000"]
    socket = pathlib.Path((folders[0] / "address").read_text().removeprefix("unix://"))
    assert socket.exists()
    erased = len(device.events("lease.erased"))
    house.market.command("end", device.label)
    device.wait_event("lease.erased", erased + 1)
    assert not os.path.exists(f"/proc/{container}") and not socket.exists()
    device.wait_until("offered")


def test_a_containerd_that_is_slow_to_start_is_waited_for(house, tmp_path):
    """On a Pi at work it has taken more than 15 s, after which a dockerd gives up one of its own, again and again."""
    device = house.device("slow")
    device.start(PATH=in_front(tmp_path, "containerd", "sleep 17", 'exec /usr/bin/containerd "$@"'))
    device.wait_until("offered")
    assert not device.events("engine.down")
    assert ssh(house.rent(device, "1h"), "echo here").stdout == "here\n"
