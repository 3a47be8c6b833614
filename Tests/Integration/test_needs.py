"""What the governor must have, said in one line before anything is changed; and drives that are not its to take.

No market is needed here: the devices ask one that is not there, after all that these tests are about.
"""

import hashlib
import json
import os
import pathlib
import shutil

import pytest
import world
from alone import lonely_device, without_market
from house import data_pieces
from ports import Occupant, free_port_range
from traces import mount_points
from world import Market, run, wait_for

MIB = 1 << 20


@pytest.fixture(scope="module")
def space():
    with without_market("needs") as space:
        yield space


def build(space, base, drive=None, **storage):
    device = lonely_device(space, base, drive=drive, size_mib=1100)
    device.config["storage"].update(storage)
    device.write_config()
    return device


@pytest.fixture
def new_device(request, space, base):
    """Makes devices."""
    request.module.houses = [Shown(space)]
    return lambda drive=None, **storage: build(space, base, drive, **storage)


class Shown:
    """Shows the devices' logs when a test fails."""

    def __init__(self, space):
        self.devices = space.devices


def end_of(device, words=(), **environment):
    """Runs a governor that is to end by itself."""
    return run(*words, device.program, "run", *device.places, check=False, timeout=30, env={**os.environ, **environment})


def must_be_untouched(device):
    for path in (device.state, device.run_folder, pathlib.Path("/sys/class/net", device.bridge)):
        assert not path.exists(), path
    assert not [point for point in mount_points() if device.space.name in point]


def must_say(done, status, *words):
    assert done.returncode == status and done.stdout == "", done
    assert len(done.stderr.splitlines()) == 1 and not [word for word in words if word not in done.stderr], done.stderr


def test_it_must_be_root(new_device):
    """Somebody else: 77, and how to do it; nothing made."""
    device = new_device()
    device.config_path.chmod(0o644)
    must_say(end_of(device, ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")), 77, "must be root", "sudo")
    must_be_untouched(device)
    assert not device.drive.exists()


def end_of_market(space, data, port, *words):
    return run(*words, space.programs / "market", "serve", "--data", data, "--listen", f"127.0.0.1:{port}", check=False, timeout=30)


def test_a_market_without_its_port(space):
    """Its port is taken: 69, which port and what to do; no ledger is made."""
    data, port = space.disk / "no-port", space.port()
    occupant = Occupant(port)
    try:
        must_say(end_of_market(space, data, port), 69, f"port {port} is taken by another program", "--listen")
    finally:
        occupant.remove()
    assert not data.exists()


def test_a_market_without_its_folder(space):
    """A folder that it may not make: 77, and which."""
    data = space.disk / "locked" / "market"
    data.parent.mkdir(mode=0o700)
    somebody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    must_say(end_of_market(space, data, space.port(), *somebody), 77, str(data), "Permission denied")
    assert not data.exists()


def test_a_market_without_free_ports(space, new_device):
    """A tunnel host whose three ports other programs hold: the device says why it is not granted a lease, formats nothing, and goes on
    by itself when they are free."""
    first, last = free_port_range(3)
    market = Market(space)
    market.command("owner", "add", "olga")
    config = market.add_device("d")
    key = space.folder / "tunnel-host"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    market.command(
        "tunnel", "add", "--host", "127.0.0.1", "--user", "tunnel", "--host-key-file", f"{key}.pub", "--bind", "127.0.0.1",
        "--ports", f"{first}-{last}", "--local")
    occupants = [Occupant(port) for port in range(first, last + 1)]
    market.start()
    device = new_device()
    device.config.update(config)
    device.write_config()
    try:
        device.start()
        assert "no tunnel host has three free ports" in device.wait_event("lease.registration-failed", seconds=60)
        assert device.journal()["stage"] == "registering" and not device.events("storage.ready")
    finally:
        for occupant in occupants:
            occupant.remove()
    device.wait_event("lease.registered", seconds=60)
    # It goes on to prepare its drive; the tests after this one want nothing mounted.
    device.remove()
    market.end()


NEEDED = {
    "dockerd": "docker.io", "containerd": "containerd", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "ip": "iproute2", "nft": "nftables",
    "mkfs.ext4": "e2fsprogs", "blkid": "util-linux", "newuidmap": "uidmap",
}


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_program_is_named(new_device, space, missing):
    """Each program that it will start: 69, its name and its Debian package; nothing made."""
    device = new_device()
    folder = space.folder / f"without-{missing}"
    folder.mkdir()
    for name in [*NEEDED, "modprobe"]:
        found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if name != missing and found:
            (folder / name).symlink_to(found)
    must_say(end_of(device, PATH=str(folder)), 69, f"the program {missing};", f"apt-get install {NEEDED[missing]}")
    must_be_untouched(device)


def test_a_missing_base_image_is_named(new_device, space):
    """No base image: 69, its path and how to make it; nothing made."""
    device = new_device()
    device.base = space.folder / "no.tar"
    must_say(end_of(device), 69, str(device.base), "make base")
    must_be_untouched(device)


def test_no_room_for_the_drive(new_device):
    """A drive file larger than the disk: 69, how much is lacking; no file made. The same where its folder is not there."""
    device = new_device(sizeMiB=67_108_864)
    must_say(end_of(device), 69, "room for a drive of 67108864 MiB", "smaller \"sizeMiB\"")
    assert not device.drive.exists()
    must_be_untouched(device)
    device = new_device(path=str(device.space.disk / "nowhere" / "drive.img"))
    must_say(end_of(device), 69, f"the folder {device.space.disk}/nowhere")
    assert not (device.space.disk / "nowhere").exists()
    must_be_untouched(device)


def test_one_governor_a_device(new_device):
    """A second governor on the same run folder: 75, one line; the first goes on."""
    device = new_device()
    device.start()
    device.wait_event("lease.registration-failed", seconds=30)
    must_say(end_of(device), 75, "another governor", str(device.run_folder))
    assert device.status()["state"] == "registering"
    device.end()


def fingerprint(path):
    """All of a file that may have holes, and when it was last written to. What is zero counts as a hole."""
    digest = hashlib.sha256()
    for start, piece in data_pieces(path):
        for offset in range(0, len(piece), 4096):
            block = piece[offset : offset + 4096]
            if block.count(0) != len(block):
                digest.update(f"{start + offset}:".encode() + block)
    with open(path, "rb") as drive:
        os.fsync(drive.fileno())
    status = path.stat()
    return digest.hexdigest(), status.st_size, status.st_blocks, status.st_mtime_ns


def somebodys_ext4(path):
    run("mkfs.ext4", "-q", "-L", "HOLIDAYS", path)


def somebodys_partitions(path):
    """An MBR with one partition; no signature of a file system."""
    with open(path, "r+b") as drive:
        drive.seek(446)
        drive.write(bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (1 << 20).to_bytes(4, "little"))
        drive.seek(510)
        drive.write(b"\x55\xaa")


def bytes_in_front(path):
    with open(path, "r+b") as drive:
        drive.write(os.urandom(MIB))


def bytes_at_the_end(path):
    """As a RAID member of an old kind has them."""
    with open(path, "r+b") as drive:
        drive.seek(-4096, os.SEEK_END)
        drive.write(b"x" * 4096)


def another_luks(path):
    """Encrypted by somebody else: a LUKS2 header that is not ours."""
    key = path.with_suffix(".key")
    key.write_bytes(b"somebody's own")
    run("cryptsetup", "luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", path, key)


FOREIGN = {
    "ext4": (somebodys_ext4, "holds ext4"),
    "partitions": (somebodys_partitions, "holds "),
    "LUKS": (another_luks, "holds crypto_LUKS"),
    "bytes in front": (bytes_in_front, "holds data without a signature"),
    "bytes at the end": (bytes_at_the_end, "holds data without a signature"),
}


@pytest.fixture(scope="module")
def foreign(space, base):
    """A device with somebody's drive for each kind, all started at once: the governor looks again only every five seconds."""
    found = {}
    for kind, (make, _) in FOREIGN.items():
        drive = space.disk / f"{kind.replace(' ', '-')}.img"
        with open(drive, "wb") as file:
            file.truncate(1100 * MIB)
        make(drive)
        found[kind] = build(space, base, drive), fingerprint(drive)
        found[kind][0].start()
    return found


def by_hand(device, verb):
    """Tries it; nothing while the governor has the drive's file on a loop device to look at it."""
    done = run(device.program, "storage", verb, "--yes", *device.places, check=False)
    return None if "in use by loop" in done.stderr else done


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_drive_is_never_touched(foreign, kind):
    """Somebody's data on the drive: status and log say why it is not taken, by hand it is refused too, and not a byte changes."""
    device, before = foreign[kind]
    words = FOREIGN[kind][1]
    assert words in device.wait_event("drive.foreign", seconds=30)
    wait_for("the status", lambda: words in device.status().get("driveReason", ""), 10)
    assert (device.status()["state"], device.status()["lamp"]) == ("waiting", "three")
    for verb, action in (("erase", "erase"), ("prepare", "format")):
        done = wait_for("the governor's own look to be over", lambda: by_hand(device, verb), 30)
        assert done.returncode != 0 and f"not ours to {action}" in done.stderr
    assert fingerprint(device.drive) == before


def test_a_wiped_drive_is_taken(foreign):
    """The owners wipe their drives: each is found blank by itself, and taken; until then it was not touched."""
    for device, before in foreign.values():
        assert fingerprint(device.drive) == before and not device.events("drive.ready")
        os.truncate(device.drive, 0)
        os.truncate(device.drive, 1100 * MIB)
    for device, _ in foreign.values():
        device.wait_event("drive.ready", seconds=20)
        device.wait_event("lease.erased", seconds=30)
        device.end()


def test_adopt_any_takes_a_foreign_drive(new_device, space):
    """The counter-proof: with "adopt": "any" the owner has given it up in words, and it is erased."""
    drive = space.disk / "given-up.img"
    with open(drive, "wb") as file:
        file.truncate(1100 * MIB)
    somebodys_ext4(drive)
    device = new_device(drive=drive, adopt="any")
    device.start()
    device.wait_event("lease.erased", seconds=30)
    assert not [offset for offset, piece in data_pieces(drive) if piece.strip(b"\0")]
    device.end()


def test_a_drive_that_is_too_small(new_device, space):
    """Less than 1 GiB: not taken, not touched; status says why."""
    drive = space.disk / "small.img"
    with open(drive, "wb") as file:
        file.truncate(1000 * MIB)
    before = fingerprint(drive)
    device = new_device(drive=drive)
    device.start()
    wait_for("the status", lambda: "smaller than 1 GiB" in device.status().get("driveReason", ""), 20)
    assert device.status()["lamp"] == "three" and fingerprint(drive) == before
    device.end()


def test_an_unreadable_journal_stops_it(new_device):
    """A journal that can't be read is never taken for an empty one: that would erase a renter. It ends, and says which file."""
    device = new_device()
    device.state.mkdir()
    journal = device.state / "journal.json"
    for text in ("", "{", json.dumps({"version": 2}), json.dumps({"version": 1, "stage": "live", "rented": True, "sshKeys": []})):
        journal.write_text(text)
        done = end_of(device)
        assert done.returncode == 70 and str(journal) in done.stderr.splitlines()[-1], done
        assert journal.read_text() == text and not device.drive.exists()
