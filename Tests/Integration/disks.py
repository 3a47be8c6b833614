"""Disks for tests: loop devices as real ones, USB sticks imitated by umockdev, and things that strangers keep on theirs."""

import ctypes
import fcntl
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import tempfile

import world
from house import data_pieces
from world import run, wait_for

MIB = 1 << 20
# The file by which an owner gives a disk up.
MARKER = "ERASE-THIS-DRIVE"
CONFIG = {
    "server": "http://127.0.0.1:1",
    "deviceId": "11111111-2222-4333-8444-555555555555",
    "deviceKey": "0123456789abcdef" * 4,
}


class Disk:
    """A file behind a loop device, which stands for a disk; a hash of what it holds."""

    def __init__(self, folder, name, mib=1100, read_only=False):
        self.image = pathlib.Path(folder, f"{name}.img")
        self.read_only = read_only
        with open(self.image, "ab") as file:
            file.truncate(mib * MIB)
        self.node = None

    def attach(self):
        options = ["-P", "-f", "--show"] + (["-r"] if self.read_only else [])
        self.node = run("losetup", *options, self.image).stdout.strip()
        return self.node

    def insert(self, node):
        """Puts the medium into an empty drive."""
        run("losetup", node, self.image)
        self.node = node

    def detach(self):
        if self.node is None:
            return
        for point in self.mounted_at():
            run("umount", point, check=False)
        run("losetup", "-d", self.node, check=False)
        wait_for(f"{self.node} to be free", lambda: str(self.image) not in run("losetup", "-a").stdout, 20)
        self.node = None

    def mounted_at(self):
        return [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines() if line.startswith(self.node)]

    def add_partition(self, number=1, start=2048, sectors=200_000):
        """A partition that the kernel knows of; this kernel can't read tables. Start and length are in sectors of 512 bytes. Debian 13 has
        no addpart any more, so it is the ioctl BLKPG (BLKPG_ADD_PARTITION), with a struct blkpg_partition."""
        partition = ctypes.create_string_buffer(struct.pack("@qqi64s64s0q", 512 * start, 512 * sectors, number, b"", b""))
        with open(self.node, "rb") as node:
            fcntl.ioctl(node, 0x1269, struct.pack("@iiiP", 1, 0, len(partition.raw), ctypes.addressof(partition)))
        return f"{self.node}p{number}"

    def digest(self):
        """Of all bytes of the medium, where they are, and when it was last written to."""
        if self.node:
            # A partition's file system has a cache of its own.
            os.sync()
            run("blockdev", "--flushbufs", self.node)
        digest = hashlib.sha256()
        for start, piece in data_pieces(self.image):
            for offset in range(0, len(piece), 4096):
                block = piece[offset : offset + 4096]
                if block.count(0) != len(block):
                    digest.update(f"{start + offset}:".encode() + block)
        status = self.image.stat()
        return digest.hexdigest(), status.st_blocks, status.st_mtime_ns


class Mounted:
    """A file system, mounted for a while."""

    def __init__(self, node):
        self.node = node

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="sublet-mount-")
        run("mount", self.node, self.folder)
        return pathlib.Path(self.folder)

    def __exit__(self, *error):
        run("umount", self.folder)
        os.rmdir(self.folder)


class Place:
    """Where a governor that no market knows has its configuration, state and run folder."""

    def __init__(self, folder, **storage):
        self.folder = pathlib.Path(folder)
        self.config = self.folder / "device-config.json"
        self.config.write_text(json.dumps({**CONFIG, "storage": storage}))
        self.words = ["--config", self.config, "--state", self.folder / "state", "--run", self.folder / "run"]

    def storage(self, *words, before=(), **options):
        return run(*before, world.BIN / "governor", "storage", *words, *self.words, check=False, timeout=120, **options)

    def inspect(self, *words, **options):
        """What a look at a drive found."""
        return json.loads(self.storage("inspect", *words, "--json", **options).stdout)

    def list(self, **options):
        """What there is, by node."""
        done = self.storage("list", "--json", **options)
        assert done.returncode == 0, done
        return {drive["path"]: drive for drive in json.loads(done.stdout)}


def copy_with_dirty_journal(folder, fill):
    """An ext4 whose journal holds what is not in its place yet, as after a cable was pulled: the image of one that is mounted."""
    source = Disk(folder, "clean")
    run("mkfs.ext4", "-q", source.image)
    source.attach()
    try:
        with Mounted(source.node) as mount:
            fill(mount)
            run("sync", "-f", mount)
            for number in range(200):
                (mount / f"photo-{number}.jpg").write_bytes(os.urandom(4_000))
            run("sync", "-f", mount)
            dirty = Disk(folder, "dirty")
            run("blockdev", "--flushbufs", source.node)
            run("cp", "--sparse=always", source.image, dirty.image)
    finally:
        source.detach()
    assert "needs_recovery" in run("dumpe2fs", "-h", dirty.image).stdout
    return dirty


def lvm_member(path):
    """The label of an LVM physical volume, in the second sector (lib/format_text/layout.h): nothing but that."""
    body = struct.pack("<I8s", 32, b"LVM2 001") + b"A" * 32 + bytes(512 - 20 - 12 - 32)
    crc = 0xF597A6CF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    with open(path, "r+b") as disk:
        disk.seek(512)
        disk.write(struct.pack("<8sQI", b"LABELONE", 1, crc) + body)


class UsbTree:
    """USB disks for programs that ask libudev and sysfs (umockdev); their nodes hold nothing."""

    def __init__(self):
        self.lines = []
        self.count = 0

    def add(self, kind, path, attributes, properties=(), node=None):
        self.lines += [f"P: {path}"] + ([f"N: {node}"] if node else [])
        self.lines += [f"E: {key}={value}" for key, value in {"SUBSYSTEM": kind, **dict(properties)}.items()]
        self.lines += [f"A: {key}={value}" for key, value in attributes.items()] + [""]

    def stick(self, name, serial="E0D55EA573FC", socket="1-1.2", unit="0:0", scsi_type="0", wwid=None, gib=8, **attributes):
        """A disk behind usb-storage or UAS; those of one socket share their USB device."""
        usb = f"/devices/pci0000:00/0000:00:14.0/usb1/{socket}"
        if f"P: {usb}" not in self.lines:
            facts = {"idVendor": "0951", "idProduct": "1666", **({"serial": serial} if serial is not None else {})}
            self.add("usb", usb, facts, {"DEVTYPE": "usb_device"})
            self.add("usb", f"{usb}/{socket}:1.0", {}, {"DEVTYPE": "usb_interface"})
        host = len(self.lines)
        scsi = f"{usb}/{socket}:1.0/host{host}/target{host}:0:0/{host}:{unit if unit.count(':') == 2 else '0:' + unit}"
        facts = {"type": scsi_type, "vendor": "Kingston", "model": "DataTraveler", **({"wwid": wwid} if wwid else {})}
        self.add("scsi", scsi, facts, {"DEVTYPE": "scsi_device"})
        self.block(name, f"{scsi}/block/{name}", gib, **attributes)
        return f"{scsi}/block/{name}"

    def block(self, name, path, gib=8, type="disk", **attributes):
        self.count += 1
        facts = {"size": int(gib * (1 << 21)), "ro": 0, "diskseq": self.count, "dev": f"259:{1000 + self.count}", **attributes}
        self.add("block", path, facts, {"DEVTYPE": type, "DEVNAME": f"/dev/{name}", "MAJOR": 259, "MINOR": 1000 + self.count}, name)

    def around(self, folder):
        """The words before a command that make it see these disks and no others."""
        path = pathlib.Path(folder, "machine.umockdev")
        path.write_text("\n".join(self.lines))
        return ["umockdev-run", "-d", path, "--"]


def mark(mount):
    """Gives a mounted disk up."""
    (mount / MARKER).touch()


def popen(*words):
    """A program in the background, to be ended by whoever started it."""
    return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
