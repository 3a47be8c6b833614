"""A governor that watches for its drive: a disk comes and goes, is given up by its owner, can't be looked at, or is not there at all."""

import signal
import socket
import time

import pytest
from alone import lonely_device, without_market
from disks import MARKER, Disk, Mounted, mark
from world import run, wait_for


@pytest.fixture
def space():
    with without_market("drives") as space:
        yield space


def governor(space, base, **storage):
    """A device that is told nothing of a drive but this."""
    device = lonely_device(space, base)
    device.config["storage"] = {"encryption": "none", **storage}
    device.write_config()
    return device


@pytest.fixture
def empty_drive(space, base):
    """A governor that has been told a drive without a medium; the medium, and the drive's node."""
    disk = Disk(space.disk, "disk")
    node = disk.attach()
    disk.detach()
    device = governor(space, base, path=node)
    device.start()
    try:
        wait_for("the status", lambda: "no medium" in device.status().get("driveReason", ""), 30)
        yield device, disk, node
    finally:
        device.end()
        disk.detach()


def test_a_disk_comes_and_goes(empty_drive):
    """Its medium is put in, taken out, and put in again: each is seen at once, by the kernel's word."""
    device, disk, node = empty_drive
    for round in (1, 2):
        disk.insert(node)
        device.wait_event("drive.ready", round, 30)
        # Erased before its first tenant; then there is no market.
        device.wait_until("registering", seconds=60)
        disk.detach()
        device.wait_event("drive.gone", round + 1, 30)  # the first one: it was not there at the start
        device.wait_until("waiting", seconds=30)


def test_a_drive_is_given_up_while_the_governor_waits(space, base):
    """A stranger's disk waits, with the reason in status and log; its owner puts the file on it, and it is taken by itself."""
    disk = Disk(space.disk, "disk")
    run("mkfs.ext4", "-q", disk.image)
    device = governor(space, base, path=disk.attach())
    before = disk.digest()
    try:
        device.start()
        line = device.wait_event("drive.foreign", seconds=30)
        assert MARKER in line and "holds ext4" in line
        wait_for("the status", lambda: device.status().get("drivesLeft"), 10)
        status = device.status()
        assert (status["state"], status["lamp"]) == ("waiting", "three") and MARKER in status["driveReason"]
        assert [(drive["path"], drive["verdict"]) for drive in status["drivesLeft"]] == [(disk.node, "foreign")]
        assert f"not taken   {disk.node} (1100 MiB): holds ext4" in run(device.program, "status", *device.places).stdout
        assert disk.digest() == before
        with Mounted(disk.node) as mount:
            wait_for("the reason", lambda: "mounted at" in device.status().get("driveReason", ""), 30)
            mark(mount)
        device.wait_event("drive.ready", seconds=30)
        device.wait_event("lease.erased", seconds=60)
    finally:
        device.end()
        disk.detach()


def test_drives_that_cannot_be_listed(empty_drive):
    """The owner breaks the configuration under a running governor: it can't look at the drives, says so once, and goes on when it can."""
    device, disk, node = empty_drive
    sound = device.config_path.read_text()
    device.config_path.write_text(sound + "}")
    line = device.wait_event("drive.look-failed", seconds=30)
    assert "level=warning" in line and device.config_path.name in line
    disk.insert(node)
    wait_for("the status", lambda: "can't be looked at" in device.status().get("driveReason", ""), 10)
    time.sleep(6)  # a look or more
    assert len(device.events("drive.look-failed")) == 1 and not device.events("drive.ready")
    device.config_path.write_text(sound)
    device.wait_event("drive.ready", seconds=30)
    device.wait_event("lease.erased", seconds=60)


def test_no_usb_drive(space, base):
    """Without storage.path, on a machine without a stick: it waits and says so; nothing of the machine is touched or named."""
    device = governor(space, base)
    device.start()
    wait_for("the status", lambda: "no USB drive" in device.status().get("driveReason", ""), 30)
    assert device.status()["lamp"] == "three" and device.status()["drivesLeft"] == []
    device.end()


def test_the_service_manager_hears_that_it_lives(space, base):
    """sd_notify: ready once, then a sign of life twice in the time that is allowed; none from a governor that is stuck."""
    device = governor(space, base)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(space.folder / "manager"))
        manager.settimeout(30)
        device.start(NOTIFY_SOCKET=str(space.folder / "manager"), WATCHDOG_USEC="600000")
        assert [manager.recv(64) for _ in range(4)] == [b"READY=1"] + [b"WATCHDOG=1"] * 3
        device.process.send_signal(signal.SIGSTOP)
        manager.settimeout(2)
        with pytest.raises(TimeoutError):
            for _ in range(10):
                manager.recv(64)
        device.process.send_signal(signal.SIGCONT)
        assert manager.recv(64) == b"WATCHDOG=1"
    # Nobody listens any more: that is no reason to end.
    time.sleep(1)
    assert device.status()["state"] == "waiting"
    device.end()
