"""Steps of ../drive.bats: a drive that is taken, up to the offer; and where a step on it is broken off."""

from board import LONG, MAPPER, Trouble, expect, is_mapped, node_of, run, runs, say, step, wait_for
from left_alone import waits


@step
def mark(here):
    """Log lines before this do not count any more."""
    here.seen = len(here.device.text())


@step
def is_taken(here, serial):
    here.event("drive.ready", serial=serial)


@step
def is_calm(here):
    """Whatever came and went: the governor lives, and nothing of a drive is left."""
    here.device.wait_until("waiting", "erasing", seconds=LONG)
    here.shows("nothing is mapped", lambda: not is_mapped())
    expect(here.device.is_running, "the governor runs")


@step
def is_offered(here, serial):
    here.event("lease.offered")
    expect(f":{serial}@" in here.identity_in_use(), f"offered on {serial}")
    expect(here.device.status()["lamp"] == "slow", "the lamp: offered")
    header = run("cryptsetup", "luksDump", node_of(serial)).stdout
    expect("Label:         \tsublet-lease" in header, "LUKS2, with our label")


# Where a device can be stopped: the journal's stage, and what is under way in it.
PLACES = {
    "formatting": ("preparing", lambda here: here.key.exists() and runs("governor storage prepare")),
    "file-system": ("preparing", lambda here: runs("mkfs.ext4")),
    "erasing": ("erasing", lambda here: runs("governor storage erase")),
    "overwriting": ("erasing", lambda here: (here.device.state / "erase-mark.json").exists() and runs("governor storage erase")),
}


@step
def stop_at(here, place):
    """Stops the device at a place inside a preparation or an erase, and leaves it so."""
    stage, reached = PLACES[place]
    wait_for(f"the place {place}", lambda: here.device.stage() == stage and reached(here), LONG, 0)
    here.device.freeze()
    if here.device.stage() != stage or not reached(here):
        raise Trouble(f"the device had left {place} when it stood still")
    here.before = here.key.read_bytes() if here.key.exists() else b""
    say(f"stopped at {place}: the journal says {here.device.stage()}, the key file {'is there' if here.key.exists() else 'is gone'}")


@step
def go_on(here):
    here.device.freeze(False)


@step
def hold_udev(here):
    """From now on the kernel's news of drives waits, as on a busy machine."""
    run("pkill", "--signal", "STOP", "-x", "systemd-udevd")


@step
def fails_before_udev_tells(here):
    """What was under way on a drive that is pulled has failed before anybody says why."""
    here.device.freeze(False)
    here.event("storage.failed")
    expect(not here.happened("drive.gone"), "nobody has told that the drive is gone")
    run("pkill", "--signal", "CONT", "-x", "systemd-udevd")


@step
def hold_mapping(here):
    """A loop device behind which nobody is: no process that could be ended has the open drive in use."""
    here.holder = run("losetup", "--find", "--show", MAPPER).stdout.strip()


@step
def stays_open(here):
    here.event("storage.stays-open")
    expect(is_mapped(), "it is still open")


@step
def stays_closed_to_us(here):
    """The drive is back, and not used through what it was opened as before it was pulled."""
    here.event("storage.failed")
    expect(here.device.status()["state"] == "suspended" and is_mapped(), "it waits, for what the drive was opened as is still held")


@step
def release_mapping(here):
    run("losetup", "--detach", here.holder)


@step
def is_lost(here, serial):
    """The drive in use was pulled, and there is no lease that matters: nothing of it is left, and the device waits."""
    here.event("drive.gone", serial=serial)
    here.shows("nothing is mapped", lambda: not is_mapped())
    waits(here)


@step
def is_prepared(here):
    """The journal finishes what was interrupted: another key, and the drive is open."""
    here.event("storage.ready")
    expect(here.key.read_bytes() != here.before and here.key.stat().st_size == 64, "prepared, with another key")
