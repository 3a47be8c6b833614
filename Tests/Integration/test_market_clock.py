"""The clock of a market's machine jumps twelve years ahead, and back: no lease ends by it, the market says so, and so does every command.

libfaketime moves the clock that the market sees; the other clock, that counts from the boot, is left alone.
"""

import time

import pytest
from house import try_login
from world import run, wait_for

YEAR = 365 * 86_400


@pytest.fixture(scope="module")
def access(house):
    return house.rent(house.offered(), "1h")


@pytest.fixture
def clock(house, access, monkeypatch):
    """What is written here is added to the clock of the market, which starts anew, and of the commands."""
    clock = house.space.folder / "clock"
    clock.write_text("+0")
    folder = run("dpkg", "-L", "libfaketime").stdout.split()
    monkeypatch.setenv("LD_PRELOAD", next(path for path in folder if path.endswith("/libfaketime.so.1")))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_CACHE_DURATION", "1")
    monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")
    house.market.end()
    house.market.start()
    return clock


def events(house, name):
    return [line for line in house.market.text().splitlines() if f" event={name} " in line + " "]


def must_be_rented(house, device, access):
    """The device hears from the market and goes on; the market lists the lease as it was."""
    device.wait_event("market.checked-in", 3, since=len(device.text()))
    row = house.row(device)
    assert (row["lease"], row["state"], row["phase"]) == (access["lease"], "rented", "leased")
    assert not events(house, "lease.ended") and len(device.events("lease.erasing")) == 1


def test_a_jump_ends_no_lease(house, clock, access):
    device = house.devices[0]
    clock.write_text("+12y")
    wait_for("the market to notice", lambda: events(house, "market.clock-jumped"), 30)
    must_be_rented(house, device, access)
    # An operator's commands go by the same time, and say why.
    done = house.market.command("extend", "pi", "--for", "1h")
    assert "clock jumped" in done.stderr
    wait_for("the device to hear of it", lambda: device.status().get("expires") == access["expires"] + 3600, 20)
    # Nor does a new start believe it.
    house.market.end()
    house.market.start()
    wait_for("the market to say it again", lambda: len(events(house, "market.clock-jumped")) == 2, 30)
    must_be_rented(house, device, access)
    clock.write_text("+0")
    wait_for("the market to follow the clock again", lambda: events(house, "market.clock-back"), 30)
    must_be_rented(house, device, access)
    assert try_login(access)


def test_an_operator_can_say_that_the_jump_was_right(house, clock, access):
    """The market then goes by its clock. The device does not: no market's clock jumps while a device counts along."""
    device = house.devices[0]
    house.market.end()
    (house.market.data / "clock.json").unlink()
    clock.write_text("+12y")
    since = len(device.text())
    house.market.start()
    wait_for("the market to end what is over by its clock", lambda: house.row(device)["state"] == "ended", 30)
    assert "the market's clock near" in device.wait_event("market.answer-refused", since=since)
    assert device.status()["state"] == "leased" and try_login(access)
    assert device.status()["expires"] - time.time() < YEAR
