"""hardware-tests/run on a device of this machine: the tier that erases nothing, its report, and what it refuses. The other tiers want a machine of
their own: hardware-tests/device.bats."""

import os
import re
import signal
import subprocess
import xml.dom.minidom

from world import ROOT, run


def suite(device, *words, stdin=subprocess.DEVNULL):
    """Runs it as a tester would, with others at work on the same machine."""
    command = [ROOT / "hardware-tests" / "run", *words]
    return subprocess.run([str(word) for word in command], env={**os.environ, **device.environment}, stdin=stdin, capture_output=True, text=True)


def test_the_safe_tier_passes_on_an_offered_device(house):
    device = house.offered()
    report, junit = house.space.folder / "report", house.space.folder / "junit.xml"
    done = suite(device, "--shared", "--report", report, "--junit", junit)
    assert done.returncode == 0, done.stdout
    for test in ("governor selftest", "governor status", "the walls", "the disks with", "a drive that is not ours", "a memory limit"):
        assert re.search(rf"^ok \d+ {test}.* # in ", done.stdout, re.M), test
    # Each skip says why.
    assert all(re.search(r"# skip \w+", line) for line in done.stdout.splitlines() if "# skip" in line)
    text = report.read_text()
    assert "governor 0.1" in text and f"kernel       Linux {os.uname().release}" in text and done.stdout in text
    assert xml.dom.minidom.parse(str(junit)).getElementsByTagName("testcase").length == int(re.match(r"1\.\.(\d+)", done.stdout)[1])
    assert device.status()["state"] == "offered"


def test_what_is_said_holds_no_secret(house):
    device = house.devices[0]
    key, report = device.config["deviceKey"], house.space.folder / "report"
    liar = house.space.folder / "liar"
    liar.write_text(f"#!/bin/sh\n[ $1 != selftest ] || {{ echo 'not ok - {key}'; exit 70; }}\nexec {device.program} \"$@\"\n")
    liar.chmod(0o755)
    device.program, honest = liar, device.program
    try:
        done = suite(device, "--shared", "--filter", "selftest: the program", "--report", report)
    finally:
        device.program = honest
    assert "(secret)" in report.read_text() and key not in report.read_text()
    assert done.returncode == 1


def test_walls_that_are_gone_are_seen(house):
    device = house.devices[0]
    table = ["inet", f"sublet-{device.bridge}"]
    # With every check-in they would be raised again.
    device.process.send_signal(signal.SIGSTOP)
    rules = run("nft", "list", "table", *table).stdout
    run("nft", "delete", "table", *table)
    try:
        done = suite(device, "--shared", "--filter", "^the walls")
    finally:
        run("nft", "-f", "-", input=rules)
        device.process.send_signal(signal.SIGCONT)
    assert done.returncode == 1 and "nft list table" in done.stdout


def test_nothing_is_destroyed_without_the_drive_and_a_yes(house):
    device = house.devices[0]
    before = device.status()["lease"]
    done = suite(device, "destructive")
    assert (done.returncode, "which drive may be destroyed?" in done.stderr) == (64, True)
    done = suite(device, "destructive", "--drive", "NOBODY", "--yes")
    assert (done.returncode, "no drive here has the serial NOBODY" in done.stderr) == (75, True)
    done = suite(device, "destructive", "--drive", f"path:{device.drive}")
    assert (done.returncode, "ALL DATA ON THIS DRIVE WILL BE DESTROYED" in done.stderr, "nobody is there to ask" in done.stderr) == (64, True, True)
    house.rent(device, "10m")
    done = suite(device, "destructive", "--drive", f"path:{device.drive}", "--yes")
    assert (done.returncode, "its renter would lose everything" in done.stderr) == (75, True)
    assert device.status()["lease"] == before
    assert suite(device, "unheard-of").returncode == 64
