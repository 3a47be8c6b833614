"""Finding drives, and adopting only what may be adopted. Real disks are loop devices; USB ones are imitated by umockdev.

What needs another kernel than this one is in hardware-tests: FAT, partition tables, device-mapper and a stick that hangs
(adopt.bats, drive.bats), real plugs. What a governor does while it watches for its drive is in test_drive_watched.py.
"""

import json
import os
import pathlib

import pytest
from disks import MARKER, MIB, Disk, Mounted, Place, UsbTree, copy_with_dirty_journal, lvm_member, mark, popen
from world import run, wait_for


@pytest.fixture
def folder():
    """A folder on disk that is searched for what was left attached."""
    folder = pathlib.Path(run("mktemp", "-d", "/var/tmp/sublet-drives-XXXXXX").stdout.strip())
    yield folder
    left = [line for line in (run("losetup", "-a").stdout + pathlib.Path("/proc/mounts").read_text()).splitlines() if str(folder) in line]
    run("rm", "-rf", folder)
    assert left == []


@pytest.fixture
def disk(folder):
    """A blank disk."""
    disk = Disk(folder, "disk")
    disk.attach()
    yield disk
    disk.detach()


# MARK: USB, by what hangs on what


@pytest.fixture
def usb(folder):
    """Imitated disks; `found()` is what the governor sees of them."""
    tree = UsbTree()
    tree.found = lambda **storage: Place(folder, **storage).list(before=tree.around(folder))
    return tree


def test_a_stick_is_known_by_its_serial(usb):
    """Maker, product, serial and size, whatever node it has; its place in sysfs says that it is USB."""
    usb.stick("sdq")
    found = usb.found()["/dev/sdq"]
    assert found["identity"] == f"serial:0951:1666:E0D55EA573FC@{8 << 30}"
    assert (found["usb"], found["bytes"], found["diskseq"], found["model"]) == (True, 8 << 30, 1, "Kingston DataTraveler")
    assert found["verdict"] not in ("refused", "missing")


def test_sticks_without_a_serial_that_tells(usb):
    """None, or one that thousands have: known by WWID, else by maker, size and socket; two of them are two."""
    usb.stick("sda", serial=None, socket="1-1")
    usb.stick("sdb", serial="0123456789AB", socket="1-2")
    usb.stick("sdc", serial="000000000000", socket="1-3", wwid="naa.5000c500a1b2c3d4")
    identities = [drive["identity"] for drive in usb.found().values()]
    size = 8 << 30
    assert identities == [
        f"like:0951:1666:1-1:0:0@{size}", f"like:0951:1666:1-2:0:0@{size}", f"wwid:naa.5000c500a1b2c3d4@{size}",
    ]


def test_a_card_reader(usb):
    """Two slots of one USB device: a card in the second, none in the first."""
    usb.stick("sda", gib=0)
    usb.stick("sdb", unit="0:1")
    found = usb.found()
    assert (found["/dev/sda"]["verdict"], found["/dev/sda"]["reason"]) == ("missing", "no medium in it")
    assert found["/dev/sdb"]["verdict"] != "refused" and ":0:1@" in found["/dev/sdb"]["identity"]


REFUSED = {
    "a CD-ROM": ({"scsi_type": "5", "gib": 0.7}, "not a disk"),
    "a write-protected stick": ({"ro": 1}, "read-only"),
    "a small stick": ({"gib": 0.5}, "smaller than 1 GiB"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_drive(usb, kind):
    """Refused without opening it, and said why."""
    attributes, reason = REFUSED[kind]
    usb.stick("sda", **attributes)
    found = usb.found()["/dev/sda"]
    assert (found["verdict"], found["reason"]) == ("refused", reason)


def test_the_least_size_is_the_owners(usb):
    """`storage.minimumMiB`."""
    usb.stick("sda", gib=8)
    assert usb.found(minimumMiB=8192)["/dev/sda"]["verdict"] != "refused"
    assert usb.found(minimumMiB=8193)["/dev/sda"]["reason"] == "smaller than 8193 MiB"


def test_a_disk_inside_the_machine(usb):
    """SATA and NVMe: not USB, whatever their names; partitions are no disks at all."""
    usb.block("sda", "/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda")
    usb.block("nvme0n1", "/devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1")
    stick = usb.stick("sdb")
    usb.block("sdb1", f"{stick}/sdb1", type="partition", partition=1)
    found = usb.found()
    assert [found[f"/dev/{name}"]["reason"] for name in ("sda", "nvme0n1")] == ["not a USB disk"] * 2
    assert "/dev/sdb1" not in found and found["/dev/sdb"]["verdict"] != "refused"


# MARK: What is on it


def inspected(folder, disk, **options):
    return Place(folder, path=disk.node or str(disk.image)).inspect(**options)


def test_a_blank_disk(folder, disk):
    assert inspected(folder, disk)["verdict"] == "blank"


def mark_not(mount):
    (mount / "photo.jpg").write_bytes(os.urandom(MIB))


def link_mark(mount):
    (mount / "empty").touch()
    (mount / MARKER).symlink_to("empty")


def folder_mark(mount):
    (mount / MARKER).mkdir()


def fill_mark(mount):
    (mount / MARKER).write_text("please don't")


def deep_mark(mount):
    (mount / "photos").mkdir()
    (mount / "photos" / MARKER).touch()


MARKS = {
    "nothing": (mark_not, "foreign", "holds ext4"),
    "an empty file": (mark, "given-up", "given up"),
    "a symbolic link": (link_mark, "foreign", "no plain file"),
    "a folder": (folder_mark, "foreign", "no plain file"),
    "a file that says something": (fill_mark, "foreign", "not empty"),
    "one in a folder": (deep_mark, "foreign", "holds ext4"),
}


OLDER = [(kind, version) for kind in ("nothing", "an empty file") for version in ("ext2", "ext3")]


@pytest.mark.parametrize("kind,version", [(kind, "ext4") for kind in MARKS] + OLDER)
def test_the_owners_word(folder, disk, kind, version):
    """Only an empty file of that name, in the root, gives a drive up; and the look changes not one byte, whatever it found."""
    fill, verdict, words = MARKS[kind]
    run(f"mkfs.{version}", "-q", disk.node)
    with Mounted(disk.node) as mount:
        fill(mount)
    before = disk.digest()
    found = inspected(folder, disk)
    assert found["verdict"] == verdict and words.replace("ext4", version) in found["reason"], found
    assert disk.digest() == before


def test_the_owners_word_on_a_partition(folder, disk):
    """The disk itself holds nothing that libblkid knows; the second of its partitions is an ext4 with the word on it."""
    with open(disk.node, "r+b") as node:
        node.write(os.urandom(MIB))
    for number, start in ((1, 2048), (2, 1_024_000)):
        run("mkfs.ext4", "-q", disk.add_partition(number, start, 800_000))
    assert inspected(folder, disk)["verdict"] == "foreign"
    with Mounted(f"{disk.node}p2") as mount:
        mark(mount)
    before = disk.digest()
    assert inspected(folder, disk)["verdict"] == "given-up"
    assert disk.digest() == before


@pytest.mark.parametrize("kind", ["nothing", "an empty file"])
def test_a_dirty_journal_is_left_alone(folder, kind):
    """A stick that was pulled out: the look does not replay its journal. Not one byte changes."""
    fill, verdict, _ = MARKS[kind]
    disk = copy_with_dirty_journal(folder, fill)
    before = disk.digest()
    disk.attach()
    try:
        assert inspected(folder, disk)["verdict"] == verdict
        assert disk.digest() == before
    finally:
        disk.detach()


def test_a_file_for_a_disk_is_given_up_in_the_same_way(folder):
    disk = Disk(folder, "file")
    run("mkfs.ext4", "-q", disk.image)
    with Mounted(disk.image) as mount:
        mark(mount)
    before = disk.digest()
    assert inspected(folder, disk)["verdict"] == "given-up"
    assert disk.digest() == before


def somebodys_swap(path):
    run("mkswap", path)


def our_label_on_a_stranger(path):
    """A file system that only has our label is not ours."""
    run("mkswap", "-L", "sublet-lease", path)


FOREIGN = {"LVM": (lvm_member, "LVM2_member"), "swap": (somebodys_swap, "swap"), "our label": (our_label_on_a_stranger, "swap")}


@pytest.mark.parametrize("kind", FOREIGN)
def test_somebodys_disk(folder, disk, kind):
    """Neither looked at further nor taken, by hand either; not one byte changes."""
    make, signature = FOREIGN[kind]
    make(disk.node)
    before = disk.digest()
    place = Place(folder, path=disk.node, encryption="none")
    found = place.inspect()
    assert (found["verdict"], found["signature"]) == ("foreign", signature)
    for step in ("prepare", "erase"):
        done = place.storage(step, "--yes")
        assert done.returncode == 75 and "not ours to" in done.stderr, done
    assert disk.digest() == before


# MARK: What stands on it


# Else the kernel goes on writing tables to a mounted file system of its own.
MKFS = ("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0")


def must_be_refused(folder, disk, reason, is_quiet=True):
    """By list, by inspect, by every step, though its owner named it and would give up anything on it; and nothing is written, which can't be
    seen where somebody else writes."""
    place = Place(folder, path=disk.node, adopt="any", encryption="none")
    before = disk.digest()
    assert place.list()[disk.node]["reason"] == reason
    found = place.inspect()
    assert (found["verdict"], found["reason"]) == ("refused", reason)
    for step in ("prepare", "open", "erase"):
        done = place.storage(step, "--yes")
        assert done.returncode == 75 and reason in done.stderr, done
    assert disk.digest() == before or not is_quiet


def test_a_mounted_disk(folder, disk):
    run(*MKFS, disk.node)
    with Mounted(disk.node) as mount:
        must_be_refused(folder, disk, f"mounted at {mount}")


def test_a_mounted_partition(folder, disk):
    part = disk.add_partition()
    run(*MKFS, part)
    with Mounted(part) as mount:
        must_be_refused(folder, disk, f"mounted at {mount}")


def test_a_loop_device_on_it(folder, disk):
    """And one on its partition."""
    for node in (disk.node, disk.add_partition()):
        other = run("losetup", "-r", "-f", "--show", node).stdout.strip()
        try:
            must_be_refused(folder, disk, f"in use by {other.removeprefix('/dev/')}")
        finally:
            run("losetup", "-d", other)


def test_a_disk_that_another_program_holds(folder, disk):
    """Mounted where we can't see it, in another mount namespace, or held for its own reasons: the kernel knows (O_EXCL)."""
    run(*MKFS, disk.node)
    mount = folder / "mount"
    mount.mkdir()
    holder = popen("unshare", "--mount", "sh", "-c", f"mount {disk.node} {mount} && touch {folder}/there && exec sleep 600")
    try:
        wait_for("the mount", (folder / "there").exists, 20)
        found = inspected(folder, disk)
        assert (found["verdict"], found["reason"]) == ("refused", "in use by something on this machine")
        done = Place(folder, path=disk.node, adopt="any", encryption="none").storage("erase", "--yes")
        assert done.returncode == 75, done
    finally:
        holder.kill()
        holder.wait()
    wait_for("the disk to be free", lambda: inspected(folder, disk)["verdict"] == "foreign", 20)


def test_swap(folder, disk):
    """In use, on the disk and on its partition."""
    for node in (disk.node, disk.add_partition()):
        run("mkswap", node)
        run("swapon", "--priority", "0", node)
        try:
            # The kernel may swap something out to it.
            must_be_refused(folder, disk, "in use as swap", is_quiet=False)
        finally:
            run("swapoff", node)


def test_a_read_only_disk(folder):
    disk = Disk(folder, "disk", read_only=True)
    disk.attach()
    try:
        must_be_refused(folder, disk, "read-only")
    finally:
        disk.detach()


def test_a_partition_is_no_drive(folder, disk):
    part = disk.add_partition()
    found = Place(folder, path=part, adopt="any").inspect()
    assert (found["verdict"], found["reason"]) == ("refused", "a partition; a drive is a whole disk")


def test_a_file_that_is_in_use(folder, disk):
    """The file behind somebody's loop device."""
    place = Place(folder, path=str(disk.image), adopt="any", encryption="none")
    assert place.inspect()["reason"] == f"in use by {disk.node.removeprefix('/dev/')}"
    assert place.storage("erase", "--yes").returncode == 75


def test_the_system_disk(folder):
    """Refused even when told by its path, and through a link. Only looked at."""
    source = run("findmnt", "-n", "--nofsroot", "-o", "SOURCE", "/").stdout.strip()
    if not source.startswith("/dev/"):
        pytest.skip("the root file system of this machine is on no block device")
    disk = "/dev/" + (run("lsblk", "-no", "PKNAME", source).stdout.split() or [source.removeprefix("/dev/")])[0]
    (folder / "link").symlink_to(disk)
    for path in (disk, folder / "link"):
        found = Place(folder, path=str(path), adopt="any").inspect()
        assert (found["verdict"], found["reason"]) == ("refused", "the system is on it")


# MARK: The drive that was meant


def test_another_drive_has_the_name_by_now(folder, disk):
    """A step that was meant for another drive does nothing."""
    place = Place(folder, path=disk.node, encryption="none")
    before = disk.digest()
    for step in ("prepare", "open", "erase"):
        done = place.storage(step, disk.node, "--drive", "serial:another", "--diskseq", "1", "--yes")
        assert done.returncode == 75 and "and not serial:another" in done.stderr, done
    assert disk.digest() == before
    identity = place.inspect()["identity"]
    assert place.storage("erase", disk.node, "--drive", identity, "--yes").returncode == 0


def test_a_drive_is_prepared_known_and_erased(folder, disk):
    """By hand, on a disk: mounted, in use, remembered by its volume; closed; erased; blank again."""
    place = Place(folder, path=disk.node, encryption="none")
    try:
        done = place.storage("prepare", "--yes")
        assert done.returncode == 0, done
        found = place.inspect()
        assert found["verdict"] == "in-use" and found["volume"]
        known = json.loads((folder / "state" / "drives.json").read_text())
        assert known == [{"identity": found["identity"], "volume": found["volume"]}]
        assert place.list()[disk.node]["verdict"] == "in-use"
    finally:
        assert place.storage("close").returncode == 0
    assert place.inspect()["verdict"] == "ours"
    assert place.storage("erase", "--yes").returncode == 0
    assert place.inspect()["verdict"] == "blank"


def test_no_drive_is_named(folder):
    """Without storage.path a step by hand wants to be told which drive; what is not on USB is then no drive."""
    place = Place(folder)
    for step in ("inspect", "prepare", "open", "erase"):
        done = place.storage(step, "--yes")
        assert done.returncode == 64 and "name the drive" in done.stderr, done
    assert place.storage("close").returncode == 0
