"""Crashes, halts and power cuts of a device: a lease and its data outlive all of them, and nothing is offered that is not erased.

One device goes through them one after another. A power cut is played: every process of the device is killed at once, and mounts, loop
devices, network and the run folder go. What was written but not synced is not lost here; that takes the virtual machine of hardware-tests.
"""

import pathlib
import secrets
import signal
import time

import pytest
from house import as_root, in_front, leave_marker, raw_count, seconds_of, try_login
from traces import mount_points, pids_naming
from world import run, ssh, wait_for

MARKER = b"sublet-marker-" + secrets.token_hex(16).encode()


@pytest.fixture(scope="module")
def device(house):
    return house.offered()


@pytest.fixture(scope="module")
def access(house, device):
    """A long lease with data in it."""
    access = house.rent(device, "1h")
    leave_marker(device, access, MARKER)
    return access


def parts(device):
    """What must be the very same after a crash."""
    container = device.container()
    return {
        "container": container["Id"], "init": container["State"]["Pid"], "engine": device.engine_pid(), "tunnel": device.tunnel_pid(),
    }


def must_be_whole(house, device, access):
    """The lease stands, with its data and credentials, and the market never gave another."""
    device.wait_until("leased")
    wait_for("container and tunnel", lambda: [device.status().get(key) for key in ("container", "tunnel")] == ["up", "up"], 60)
    assert device.status()["lease"] == access["lease"] == house.registrations(device)[-1]
    assert ssh(access, "cat /data/marker ~/marker").stdout.split() == [MARKER.decode()] * 2
    assert as_root(access, "id -u").stdout.strip() == "0"
    assert not device.events("lease.erasing", device.since)
    wait_for("the market to hear it", lambda: (house.row(device)["phase"], house.row(device)["tunnel"]) == ("leased", "up"), 20)


def test_a_crash_disturbs_nobody(house, device, access):
    """kill -9 of the governor: the renter's session goes on. The next governor adopts engine, container and tunnel as they stand and sends
    a check-in, all within 5 s."""
    session, before = house.session(access), parts(device)
    device.kill()
    session.must_go_on()
    assert device.status()["state"] == "not running" and parts(device) == before
    device.start()
    began = seconds_of(device.wait_event("governor.started", since=device.since))
    for event in ("container.up", "tunnel.up", "market.checked-in"):
        assert seconds_of(device.wait_event(event, since=device.since, seconds=20)) - began < 5, event
    assert parts(device) == before
    session.must_go_on()
    must_be_whole(house, device, access)


def test_a_stop_and_a_start_disturb_nobody(house, device, access):
    """An upgrade stops the governor in order; that drops nobody either."""
    session, before = house.session(access), parts(device)
    device.end(signal.SIGTERM)
    assert device.events("governor.stopping", device.since)
    session.must_go_on()
    device.start()
    must_be_whole(house, device, access)
    assert parts(device) == before
    session.must_go_on()


def test_a_second_governor_is_refused(device, access):
    """Two governors on one run folder would fight: the second ends with 75 and one line, and the first does not notice."""
    done = run(device.program, "run", *device.places, check=False, timeout=20)
    assert done.returncode == 75 and len(done.stderr.splitlines()) == 1 and "another governor" in done.stderr
    assert device.status()["state"] == "leased"


def test_halt_ends_everything_and_keeps_the_data(house, device, access):
    """`governor halt` ends container, engine and tunnel and closes the drive; the lease and its data stay, and the next run goes on."""
    done = device.halt()
    assert (done.returncode, done.stderr) == (0, "")
    assert not pids_naming(str(device.run_folder))
    assert not [point for point in mount_points() if point.startswith(str(device.run_folder))]
    assert not pathlib.Path("/sys/class/net", device.bridge).exists()
    assert not try_login(access)
    assert raw_count(device.drive, MARKER) >= 2 and device.journal()["stage"] == "live"
    device.start()
    must_be_whole(house, device, access)


def test_a_power_cut_costs_no_data(house, device, access):
    """After a power cut in the middle of a lease the device comes back with the same lease, data, credentials and ports."""
    device.pull_the_plug()
    assert not pids_naming(str(device.run_folder)) and not device.run_folder.exists()
    device.start()
    must_be_whole(house, device, access)
    assert device.status()["sshPort"] == access["sshPort"]


def test_a_power_cut_without_a_market(house, device, access):
    """The market is away when the device boots: the lease resumes all the same, and the renter works; contact comes with the market."""
    device.pull_the_plug()
    house.market.end()
    device.start()
    device.wait_event("tunnel.up", since=device.since)
    device.wait_event("container.up", since=device.since)
    assert ssh(access, "cat /data/marker").stdout.strip() == MARKER.decode()
    assert device.status()["state"] == "leased" and device.events("market.check-in-failed", device.since)
    house.market.start()
    must_be_whole(house, device, access)


def must_be_offered_clean(device, after_erase=True):
    """Offered again; since the last start the drive was erased, checked, and only then registered."""
    device.wait_until("offered")
    if after_erase:
        order = [seconds_of(device.events(event, device.since)[0]) for event in ("lease.erased", "lease.registered", "lease.offered")]
        assert order == sorted(order)
    assert raw_count(device.drive, MARKER) == 0


@pytest.mark.parametrize("moment", ["at once", "in the erase itself"])
def test_a_power_cut_while_erasing(house, device, access, moment):
    """A cut between the end of a lease and its verified erase: the erase is done before anything is offered, and its receipt arrives."""
    if moment != "at once":
        access = house.rent(device, "1h")
        leave_marker(device, access, MARKER)
    assert raw_count(device.drive, MARKER) >= 1
    before = len(device.events("lease.erasing"))
    house.market.command("end", device.label)
    device.wait_event("lease.erasing", before + 1)
    if moment != "at once":
        erasing = b"storage\0erase"
        wait_for("the erasing child", lambda: [p for p in pids_naming(str(device.run_folder)) if erasing in command(p)], 30, 0)
    device.pull_the_plug()
    assert device.journal()["stage"] == "erasing" and not device.events("lease.erased", device.since)[before:]
    device.start()
    must_be_offered_clean(device)
    assert not try_login(access)
    wait_for("the receipt", lambda: house.market.command("receipt", "show", access["lease"], check=False).returncode == 0, 20)
    assert house.row(device)["lease"] == device.status()["lease"] != access["lease"]


def command(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_power_cut_while_offered(house, device, access):
    """Nobody had rented it: it comes back with the same lease, unerased (nobody was in it), and can be rented."""
    device.wait_until("offered")
    before = device.status()["lease"]
    device.pull_the_plug()
    device.start()
    device.wait_until("offered")
    assert device.status()["lease"] == before == house.registrations(device)[-1]
    assert not device.events("lease.registered", device.since)


def cleared(device):
    return [line for line in device.events("step.done", device.since) if " step=engine-clear " in line]


def test_a_power_cut_while_the_machine_is_built(house, device, access):
    """dockerd notes an image before all of it is on the drive, and never mends what a cut has left of it: what was not finished is made anew,
    under the same lease."""
    device.wait_until("offered")
    lease, engine = device.status()["lease"], device.mount / "engine"
    mark = engine.with_name("engine.unfinished")
    links = list(engine.glob("*/overlay2/*/link"))
    assert links and not mark.exists()
    # As a cut leaves it: the image is noted, and its files are empty.
    mark.touch()
    for link in links:
        link.write_text("")
    device.pull_the_plug()
    device.start()
    wait_for("the engine's folder to be begun anew", lambda: cleared(device) and mark.exists(), 30, 0.01)
    device.wait_event("container.up", since=device.since, seconds=120)
    device.wait_until("offered")
    assert device.status()["lease"] == lease and not mark.exists()
    assert not device.events("container.down", device.since)


@pytest.fixture
def slow_format(house):
    """A PATH on which mkfs.ext4 tells that it began and takes two seconds more."""
    folder = house.space.folder / "slow"
    folder.mkdir(exist_ok=True)
    began = folder / "began"
    began.unlink(missing_ok=True)
    return in_front(folder, "mkfs.ext4", "PATH=${PATH#*:}", f"touch {began}", "sleep 2", 'exec mkfs.ext4 "$@"'), began


@pytest.mark.parametrize("how", ["crash", "power cut"])
def test_an_end_while_preparing(house, device, slow_format, how):
    """A crash or a cut while the drive is formatted for a lease that the market has granted: the drive is erased again, and the same lease
    is asked for under its name; the market gives no second one. After a crash the old child may still format: it is waited for."""
    path, began = slow_format
    house.market.command("end", device.label)
    device.wait_event("lease.ended-by-market", len(device.events("lease.ended-by-market")) + 1, seconds=120)
    device.end()
    device.start(PATH=path)
    wait_for("the formatting to begin", began.exists, 60, 0.01)
    lease = device.journal()["lease"]
    assert device.journal()["stage"] == "preparing"
    device.pull_the_plug() if how == "power cut" else device.kill()
    device.start()
    must_be_offered_clean(device)
    assert device.status()["lease"] == lease and house.registrations(device).count(lease) == 1
    if how == "crash":
        assert try_login(house.rent(device, "1h"))


def test_an_end_that_passed_while_off(house, device):
    """The lease ended while the device had no power. It does not know the time at boot and erases nothing by guess; when the market tells
    the time, it ends and erases."""
    access = house.rent(device, "6s")
    assert try_login(access)
    device.pull_the_plug()
    house.market.end()
    time.sleep(max(0, access["expires"] - time.time()) + 0.5)
    device.start()
    device.wait_event("container.up", since=device.since)
    device.wait_event("market.check-in-failed", 2, since=device.since)
    assert device.status()["state"] == "leased" and not device.events("lease.erasing", device.since)
    house.market.start()
    device.wait_event("lease.erased", since=device.since, seconds=30)
    must_be_offered_clean(device)
    assert house.row(device)["lease"] != access["lease"] and not try_login(access)
