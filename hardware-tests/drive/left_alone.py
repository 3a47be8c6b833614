"""Steps of ../drive.bats: drives that come and go, and those that are left alone."""

import json
import os
import subprocess

from board import LONG, expect, node_of, run, say, step, udev, wait_for


@step
def udev_shows(here, serial, driver="usb-storage"):
    """None of our code: the kernel and udev see the drive."""
    node = node_of(serial)
    known = udev(serial)
    expect(known["ID_BUS"] == "usb" and known["ID_USB_DRIVER"] == driver, f"{serial} is on USB, by {driver}")
    say(f"{serial} is {node}, at {known['ID_PATH']}")


@step
def udev_forgets(here, *serials):
    for serial in serials:
        here.shows(f"{serial} is gone", lambda: not udev(serial))


@step
def start_device(here):
    here.market.start()
    here.sshd.start()
    here.device.start()
    here.event("governor.started")


@step
def waits(here):
    """Without a drive that it may take, the device says so, by word and lamp."""
    here.device.wait_until("waiting", seconds=LONG)
    status = here.device.status()
    expect(status["lamp"] == "three", f"the lamp: {status['lampMeaning']}")
    say(f"why: {status.get('driveReason')}")


@step
def market_hears(here, *words):
    """The market's operator reads in `market device list` that the device waits, and why."""
    def row():
        return next(line for line in here.market.command("device", "list").stdout.splitlines() if " board " in line)

    wait_for(f"the market to hear {' '.join(words)}", lambda: all(word in row() for word in ("waiting", *words)), LONG, 0.5)
    say("ok: market device list: " + " ".join(row().split()[4:]))


@step
def is_left(here, serial, verdict, words):
    """A drive that is not taken: status and log say why."""
    def so():
        found = here.left(serial)
        return found if found and found["verdict"] == verdict and words in found["reason"] else None

    found = wait_for(f"{serial} to be {verdict}: {words}", so, LONG, 0.3)
    say(f"ok: {serial} is {verdict}: {found['reason']}")
    here.event("drive.foreign", serial=serial)


@step
def is_spare(here, serial, words):
    """A drive that could be taken if no other were: status says so, and there is nothing to warn of."""
    here.shows(f"{serial} is spare: {words}", lambda: words in (here.left(serial) or {"reason": ""})["reason"])
    expect(not any(f":{serial}@" in line for line in here.device.events("drive.foreign", here.seen)), "no warning in the log")


@step
def list_agrees(here, *empty):
    """`storage list --json` tells the same as the governor that runs, and of empty slots too, which are nobody's business else."""

    def is_empty(identity):
        return any(f":{serial}@" in identity for serial in empty)

    def told():
        return {drive["identity"]: drive["verdict"] for drive in here.device.status()["drivesLeft"]}

    def found():
        listed = json.loads(run(here.device.program, "storage", "list", "--json", *here.device.places).stdout)
        return {drive["identity"]: drive["verdict"] for drive in listed if drive["usb"]}

    slots = {identity: verdict for identity, verdict in found().items() if is_empty(identity)}
    for serial in empty:
        expect(not here.left(serial), f"{serial} is no drive for the governor")
    expect(len(slots) == len(empty) and set(slots.values()) <= {"missing"}, f"storage list tells that these are empty: {slots}")
    # The two look one after the other; while udev is at work on a drive they may see it in two states.
    wait_for(
        "storage list and status to tell the same of all others",
        lambda: told() == {identity: verdict for identity, verdict in found().items() if not is_empty(identity)}, 30, 1,
    )
    say("ok: of all others storage list and status tell the same")


@step
def by_path_refused(here, serial_or_node, words):
    """Told by its path, a disk that must never be touched is refused all the same, and nothing on it changes."""
    path = serial_or_node if serial_or_node.startswith("/") else node_of(serial_or_node)
    for step in ("prepare", "erase"):
        done = subprocess.run(
            [str(word) for word in (here.device.program, "storage", step, path, "--yes", *here.device.places)],
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )
        expect(done.returncode != 0 and words in done.stderr, f"storage {step} {path}: {done.stderr.strip()}")


@step
def system_disks_refused(here):
    """What the system lives on, and what the governor keeps its state on."""
    by_path_refused(here, run("findmnt", "-no", "SOURCE", "/mnt").stdout.strip(), "mounted at")
    by_path_refused(here, here.card, "mounted at")


@step
def mounted_refused(here, serial):
    node = node_of(serial)
    run("mount", "-o", "ro", node, "/media")
    try:
        by_path_refused(here, serial, "mounted at /media")
    finally:
        run("umount", "/media")


@step
def with_volumes(here, serial):
    """Makes partitions and LVM on a drive; the governor must not run."""
    node = node_of(serial)
    run("sfdisk", "-q", node, input="label: gpt\n,64M\n,\n")
    run("udevadm", "settle")
    for words in (["pvcreate", f"{node}2"], ["vgcreate", "family", f"{node}2"], ["lvcreate", "-L", "32M", "-n", "photos", "family"]):
        run(*words, "-qy")
    run("vgchange", "-qan", "family")


@step
def held(here, word, serial):
    """Somebody has a mapping on a drive's second partition, as LVM makes them, or no more."""
    node = node_of(serial)
    run("udevadm", "settle")
    if word == "used":
        # The governor may be having a look at that very moment.
        words = ("dmsetup", "create", "somebodys", "--table", f"0 65536 linear {node}2 0")
        wait_for("the mapping", lambda: run(*words, check=False).returncode == 0)
    else:
        run("dmsetup", "remove", "--retry", "somebodys")
    tree = run("lsblk", "-rno", "NAME", node).stdout.split()
    expect(("somebodys" in tree) == (word == "used"), f"on {serial} now: {' '.join(tree)}")


@step
def is_foreign(here, serial):
    """Another drive than that of the lease."""
    here.event("drive.foreign", serial=serial)


@step
def looks_for_driver(here, name):
    """Kernels differ in the file systems that they can read."""
    has = run("modprobe", "--dry-run", "--quiet", name, check=False).returncode == 0
    say(f"this kernel is {os.uname().release}; it has {name}" if has else f"this kernel is {os.uname().release}; without {name}")
