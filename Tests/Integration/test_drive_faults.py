"""A drive that fails in service, and an erase that is broken off: real ext4 errors, real kills, real bytes.

The drive is a file without encryption; what needs dm-crypt or a drive that lies is in the hardware tests.
"""

import json
import os
import signal
import subprocess

import pytest
from house import as_root
from world import run, ssh, wait_for

MIB = 1 << 20


@pytest.fixture(scope="module")
def device(house):
    return house.offered()


@pytest.fixture(scope="module")
def access(house, device):
    access = house.rent(device, "1h")
    ssh(access, "echo precious > /data/marker; sync")
    return access


def source(device):
    """The block device under the drive's file system."""
    return run("findmnt", "-n", "-o", "SOURCE", device.mount).stdout.strip()


def must_be_whole(house, device, access):
    wait_for(
        "all to be whole",
        lambda: [device.status().get(key) for key in ("state", "container", "tunnel", "fault")] == ["leased", "up", "up", None], 90,
    )
    assert ssh(access, "cat /data/marker; touch /data/writable").stdout.strip() == "precious"
    assert device.status()["lease"] == access["lease"] and len(house.registrations(device)) == 1


def test_a_file_system_error_takes_the_drive_out_checks_it_and_brings_it_back(house, device, access):
    """ext4 itself reports an error and goes read-only: suspended, the market told, fsck, mounted again, the data there."""
    name = os.path.basename(source(device))
    since = len(device.text())
    with open(f"/sys/fs/ext4/{name}/trigger_fs_error", "w") as trigger:
        trigger.write("a test")
    device.wait_event("drive.failing", since=since, seconds=30)
    assert "drive-read-only" in device.events("drive.failing", since)[0]
    wait_for("the market to hear it", lambda: (house.row(device)["phase"], house.row(device).get("fault")) == ("suspended", "drive-read-only"), 30)
    must_be_whole(house, device, access)
    assert int(run("cat", f"/sys/fs/ext4/{os.path.basename(source(device))}/errors_count").stdout) == 0, "fsck has cleared them"


def test_a_full_drive_is_told_and_the_lease_goes_on(house, device, access):
    as_root(access, "fallocate -l 100G /data/full; dd if=/dev/zero of=/data/more bs=1M 2>/dev/null; sync; true", check=False)
    wait_for("the device to see it", lambda: device.status().get("fault") == "drive-full", 90)
    assert device.status()["state"] == "leased" and device.status()["lamp"] == "steady"
    wait_for("the market to hear it", lambda: house.row(device).get("fault") == "drive-full", 20)
    assert ssh(access, "echo still here").stdout.strip() == "still here"
    as_root(access, "rm -f /data/full /data/more; sync")
    must_be_whole(house, device, access)


class Steps:
    """`governor storage …` by hand on a device of its own that no governor serves."""

    def __init__(self, house, name, **storage):
        self.device = house.device(name, size_mib=1100)
        self.device.config["storage"].update(storage)
        self.device.write_config()
        self.drive = self.device.drive
        self.mark = self.device.state / "erase-mark.json"
        with open(self.drive, "wb") as file:
            file.truncate(1100 * MIB)

    def words(self, step, *more):
        return [self.device.program, "storage", step, "--yes", "--json", *more, *self.device.places]

    def run(self, step, *more, check=True):
        return run(*map(str, self.words(step, *more)), check=check)

    def broken_off(self, step):
        """Starts a step and kills it when it has left its mark on the card."""
        child = subprocess.Popen(list(map(str, self.words(step))), stdout=subprocess.DEVNULL)
        wait_for("a mark on the card", lambda: self.mark.exists() or child.poll() is not None, 120, 0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        return json.loads(self.mark.read_text())["done"]

    def put(self, offset, data):
        with open(self.drive, "r+b") as file:
            file.seek(offset)
            file.write(data)


def progress(done, step):
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line["done"] for line in lines if line.get("step") == step]


@pytest.fixture
def overwriting(house, request):
    return Steps(house, request.node.name.removeprefix("test_")[:12].replace("_", "-"), erase="overwrite")


def test_a_broken_overwrite_goes_on_where_it_was(overwriting):
    overwriting.run("prepare")
    overwriting.run("close")
    overwriting.put(1000 * MIB, b"secret" * 1000)
    mark = overwriting.broken_off("erase")
    assert 0 < mark < 1100 * MIB
    done = overwriting.run("erase")
    assert min(progress(done, "erase")) > mark, "what was overwritten is not overwritten again"
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["method"] == "overwrite" and "all-zero" in report["checks"]
    assert not overwriting.mark.exists()
    assert json.loads(overwriting.run("verify").stdout.splitlines()[-1])["checks"] == ["no-header", "header-zero", "all-zero", "key-file-gone"]


def test_what_was_written_behind_the_mark_is_found(overwriting):
    overwriting.broken_off("erase")
    overwriting.put(100 * MIB, b"somebody else wrote here")
    done = overwriting.run("erase", check=False)
    assert done.returncode == 70 and "near byte 104857600" in done.stderr
    assert not overwriting.mark.exists(), "the next try begins at the beginning"
    assert "all-zero" in overwriting.run("erase").stdout


def test_a_mark_of_another_drive_is_not_believed(overwriting):
    overwriting.device.state.mkdir(exist_ok=True)
    overwriting.mark.write_text(json.dumps({"drive": "serial:other", "bytes": 1100 * MIB, "done": 1099 * MIB}))
    overwriting.put(64 * MIB, b"secret")
    assert min(progress(overwriting.run("erase"), "erase")) <= 64 * MIB


def test_verify_changes_nothing_and_names_what_is_left(overwriting):
    overwriting.put(0, b"\0" * MIB + b"left over")
    before = run("sha256sum", overwriting.drive).stdout
    done = overwriting.run("verify", check=False)
    assert done.returncode == 70 and "still holds data at byte 1048576" in done.stderr
    overwriting.put(MIB, b"\0" * 9)
    overwriting.put(900 * MIB, b"x")
    done = overwriting.run("verify", check=False)
    assert done.returncode == 70 and "data is still on" in done.stderr
    overwriting.put(900 * MIB, b"\0")
    assert run("sha256sum", overwriting.drive).stdout != before
    before = run("sha256sum", overwriting.drive).stdout
    overwriting.run("verify")
    assert run("sha256sum", overwriting.drive).stdout == before


def test_a_drive_of_its_true_size_passes_the_probe_and_nothing_of_it_stays(overwriting):
    report = json.loads(overwriting.run("erase", "--probe").stdout.splitlines()[-1])
    assert "size-true" in report["checks"] and "all-zero" in report["checks"]


def test_a_device_whose_drive_is_not_ours_to_erase_tells_its_market_why(house):
    """No lease, no lamp but three flashes, not one byte changed; the operator reads why in the listing, and it goes away with the reason."""
    device = house.device("photos", size_mib=1100)
    with open(device.drive, "wb") as file:
        file.truncate(1100 * MIB)
    run("mkfs.ext4", "-q", "-L", "photos", device.drive)
    before = run("sha256sum", device.drive).stdout
    device.start()
    row = wait_for("the market to hear it", lambda: house.row(device).get("phase") == "waiting" and house.row(device), 30)
    assert row["state"] == "new" and "ext4" in row["fault"] and "ERASE-THIS-DRIVE" in row["fault"]
    assert device.status()["state"] == "waiting" and device.status()["lamp"] == "three"
    assert len([line for line in house.market.text().splitlines() if " event=device.waiting " in line]) == 1
    assert run("sha256sum", device.drive).stdout == before and house.registrations(device) == []
    run("wipefs", "--all", "-q", device.drive)
    with open(device.drive, "r+b") as file:
        file.write(b"\0" * MIB)
    device.wait_until("offered")
    wait_for("the market to hear that", lambda: house.row(device)["phase"] == "offered" and "fault" not in house.row(device), 20)
