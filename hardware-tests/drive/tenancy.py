"""Steps of ../drive.bats: a lease, its drive that is pulled, its end."""

import json

from board import LONG, expect, is_mapped, node_of, run, runs, say, ssh, step, wait_for


@step
def rent(here):
    # A governor that has just started tells the market so before it has looked at its drive.
    here.shows("it can be rented", lambda: here.market_says().get("phase") == "offered")
    here.access = here.market.rent("board", "2h")
    here.event("lease.rented")
    ssh(here.access, "head -c 6000000 /dev/urandom >/data/marker && cp /data/marker ~/ && sync")
    here.digests = here.marker_digests()
    expect(len(set(here.digests)) == 1, "rented; 6 MB in /data and at home")


@step
def is_suspended(here):
    here.event("drive.gone")
    here.device.wait_until("suspended", seconds=LONG)
    here.shows("nothing is mapped", lambda: not is_mapped())
    here.shows("no container runs", lambda: not runs("containerd-shim"))
    here.shows("the market knows", lambda: here.market_says().get("phase") == "suspended")
    expect(here.market_says()["fault"] == "drive-gone", "and why: drive-gone")
    expect(here.device.status()["lamp"] == "three", "the lamp: three flashes")


@step
def is_back(here, serial):
    """The lease goes on with its data."""
    here.event("container.up")
    here.device.wait_until("leased", seconds=LONG)
    here.shows("the renter can log in", lambda: ssh(here.access, "true", check=False).returncode == 0)
    expect(here.marker_digests() == here.digests, f"all the data is there; the drive is {node_of(serial)} now")
    expect(not here.happened("lease.erasing"), "nothing was erased")


@step
def erases_by(here, method):
    """Its owner wants another way of erasing; the governor starts again with it, and drops nobody."""
    here.device.end()
    here.device.config["storage"]["erase"] = method
    here.device.write_config()
    here.device.start()
    here.event("governor.started")


@step
def end_lease(here):
    here.market.command("end", "board")
    here.event("lease.ended-by-market")


@step
def key_is_gone(here):
    """The lease is over, so its key is."""
    here.shows("the key file is gone", lambda: not here.key.exists())


@step
def goes_on_overwriting(here):
    """Not from the beginning: what the mark says is done is not done again."""
    mark = json.loads((here.device.state / "erase-mark.json").read_text())
    least = mark["done"] * 100 // mark["bytes"]

    def percent():
        progress = here.device.status().get("progress", {})
        return progress.get("percent", 0) if progress.get("step") == "erase" else 0

    first = wait_for("the overwriting to go on", percent, LONG, 0.05)
    expect(least <= first < 100, f"it goes on at {first} per cent; the mark was at {least}")


@step
def is_erased(here, serial, method="key"):
    here.event("lease.erased", 2 * LONG)
    lease = here.access["lease"]
    receipt = here.space.folder / "receipt.json"
    wait_for("the wipe receipt", lambda: here.market.command("receipt", "show", lease, check=False).returncode == 0, LONG, 0.5)
    receipt.write_text(here.market.command("receipt", "show", lease).stdout)
    here.market.command("receipt", "verify", receipt)
    statement = json.loads(json.loads(receipt.read_text())["statement"])
    erase = statement["erase"]
    expect(statement["lease"] == lease and f":{serial}@" in erase["drive"], f"the wipe receipt names the lease and {serial}")
    expect(erase["method"] == method, f"erased by {method}: {', '.join(erase['checks'])}")


@step
def end(here):
    here.device.remove()
    here.sshd.end()
    here.market.end()
    expect(not is_mapped(), "nothing is mapped")
    left = run("pgrep", "-la", "dockerd|containerd|governor", check=False).stdout
    expect(not left, "no engine and no governor runs " + left)
    raise SystemExit
