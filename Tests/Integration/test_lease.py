"""The whole lease, end to end: one device, two renters one after the other. The tests tell the story in their order.

The first renter has a password and twelve seconds, and leaves a marker; the lease expires. The second comes with an ssh key, extends,
looks around, and is ended early.
"""

import json
import os
import pathlib
import secrets
import threading
import time

import pytest
from house import as_root, child_text, leave_marker, raw_count, seconds_of, try_login
from world import run, ssh, wait_for

MARKER = b"sublet-marker-" + secrets.token_hex(16).encode()
FIRST_SECONDS = 12
SECOND_SECONDS = 15


class ArgumentWatch(threading.Thread):
    """Notes every argument list that it sees on this machine, forty times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = set()
        self.stopping = threading.Event()
        self.rounds = 0

    def run(self):
        while not self.stopping.wait(0.025):
            self.rounds += 1
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    try:
                        self.seen.add(pathlib.Path("/proc", entry, "cmdline").read_bytes())
                    except OSError:
                        pass


@pytest.fixture(scope="module")
def watch():
    """Watches from before the first program of the world starts."""
    thread = ArgumentWatch()
    thread.start()
    yield thread
    thread.stopping.set()


@pytest.fixture(scope="module")
def device(watch, house):
    """Its lamp is not there, which no lease may wait for."""
    device = house.device("pi")
    device.config["lamp"] = {"gpio": {"chip": "no-such-chip", "line": 5}, "led": "no-such-led"}
    device.write_config()
    device.start()
    device.wait_until("offered")
    return device


@pytest.fixture(scope="module")
def first(house, device):
    return house.rent(device, f"{FIRST_SECONDS}s")


@pytest.fixture(scope="module")
def key(house):
    """The second renter's own key pair."""
    path = house.space.folder / "renter_key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "renter", "-f", path)
    return path


@pytest.fixture(scope="module")
def second(house, device, first, key):
    wait_for("the first lease to be over", lambda: device.status().get("lease") not in (None, first["lease"]), 60)
    access = house.rent(device, f"{SECOND_SECONDS}s", "--ssh-key", f"{key}.pub")
    house.market.command("extend", device.label, "--for", "10m")
    return access


def test_the_device_is_offered_only_after_an_erase(house, device):
    """A new drive is erased and checked before the market hears of a lease; then the device says what the lamp says."""
    assert seconds_of(device.events("lease.erased")[0]) <= seconds_of(device.events("lease.registered")[0])
    status = device.status()
    assert (status["state"], status["lamp"], status["container"], status["tunnel"]) == ("offered", "slow", "up", "up")
    wait_for("the market to hear of it", lambda: house.row(device)["phase"] == "offered", 10)
    row = house.row(device)
    assert (row["state"], row["tunnel"], row["encryption"], row["lease"]) == ("offered", "up", "none", status["lease"])
    # Without encryption it says so loudly.
    assert device.events("storage.unencrypted")


def test_the_owner_reads_it_on_a_pc(device):
    """device-status.txt says the same in words, with what to do; it is a text of Windows, for all to read."""
    text = (device.run_folder / "device-status.txt").read_bytes().decode()
    lines = text.split("\r\n")
    assert "state       offered" in lines and "lamp        slow blink (1 Hz): offered, waiting for a renter" in lines, text
    assert lines[-2] == "All is well; it waits for somebody who rents it." and "fault" not in text
    assert [line for line in lines if line.startswith("no lamp     ") and "no LED is named no-such-led" in line]


def test_a_lamp_that_is_not_there_is_an_error_that_stops_nothing(device):
    """One line in the log, not one for each try; the status says it too."""
    (line,) = device.events("lamp.failed")
    fault = device.status()["lampFault"]
    for words in ("line 5 of the GPIO chip no-such-chip, for no chip has this label", "no LED is named no-such-led"):
        assert words in line and words in fault
    assert " level=error " in line


def test_the_renter_logs_in_through_the_tunnel(house, device, first):
    """The password that the market issued opens the machine behind the market's port; the lamp is steady; the marker gets on the drive."""
    assert first["sshPort"] in range(house.sshd.ports[0], house.sshd.ports[1] + 1)
    assert ssh(first, "id -un").stdout.strip() == first["user"]
    assert device.status()["lamp"] == "steady"
    leave_marker(device, first, MARKER)


def test_the_lease_expires_and_is_erased(house, device, first):
    """At the promised second, not before and hardly after, the device ends the lease and erases; a receipt goes to the market."""
    # The first was before the first lease. With a check-in at that very second the device may hear of the end before its own clock tells it.
    erasing = device.wait_event("lease.erasing", 2, seconds=FIRST_SECONDS + 20)
    assert -0.5 < seconds_of(erasing) - first["expires"] < 3
    device.wait_event("lease.erased", 2, seconds=60)
    device.wait_event("receipt.kept", seconds=30)
    assert raw_count(device.drive, MARKER) == 0


def test_the_receipt_is_good(house, device, first):
    """`market receipt verify` takes the receipt, with the device's own key too; a changed one it refuses."""
    receipt = house.space.folder / "receipt.json"
    receipt.write_text(house.market.command("receipt", "show", first["lease"]).stdout)
    public = " ".join((device.state / "device_ed25519.pub").read_text().split()[:2])
    for words in ((), ("--key", public)):
        shown = house.market.command("receipt", "verify", receipt, *words).stdout
        assert f"good: lease {first['lease']}" in shown and "all-zero" in shown
    changed = house.space.folder / "changed.json"
    changed.write_text(receipt.read_text().replace("all-zero", "all-fine"))
    assert house.market.command("receipt", "verify", changed, check=False).returncode == 65


def test_the_next_lease_knows_nothing_of_the_last(house, device, first, second):
    """Other lease, other user, other password; the first renter's password opens neither port; the marker is nowhere on the raw drive."""
    assert len({first["lease"], second["lease"]}) == len({first["password"], second["password"]}) == 2
    assert not try_login(first)
    assert not try_login({**first, "sshPort": second["sshPort"]})
    assert ssh(second, "cat /data/marker ~/marker", check=False).returncode != 0
    assert raw_count(device.drive, MARKER) == 0
    assert house.registrations(device) == [first["lease"], second["lease"]]


def test_key_and_password_both_open(second, key):
    """A lease with an ssh key takes the key, and the password as well; nobody else's key."""
    assert ssh(second, "id -un", key=key).stdout.strip() == second["user"]
    assert ssh(second, "id -un").stdout.strip() == second["user"]
    other = key.with_name("other_key")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other)
    assert not try_login(second, key=other)
    assert not try_login(second, password="wrong-" + second["password"])


def test_root_inside_is_nobody_outside(device, second):
    """sudo works; outside, the container's root is an unprivileged uid."""
    assert as_root(second, "id -u").stdout.strip() == "0"
    host_uid = int(child_text(device.container_pid(), "status").split("Uid:")[1].split()[0])
    assert host_uid >= 100_000


def control(pid, controller, old, new):
    """A file of a process's control group, by its name in version 1 and in version 2."""
    for line in child_text(pid, "cgroup").splitlines():
        number, names, path = line.split(":", 2)
        if controller in names.split(","):
            return pathlib.Path(f"/sys/fs/cgroup/{controller}{path}/{old}").read_text().strip()
    return pathlib.Path(f"/sys/fs/cgroup{path}/{new}").read_text().strip()


def test_limits_hold(device, second):
    """Memory and number of processes are limited in the control group, and a renter who wants more runs into the limit."""
    limits, pid = device.config["limits"], device.container_pid()
    assert int(control(pid, "memory", "memory.limit_in_bytes", "memory.max")) == limits["memoryMiB"] << 20
    assert int(control(pid, "pids", "pids.max", "pids.max")) == limits["pids"]
    assert ssh(second, "tail /dev/zero; echo $?").stdout.strip() == "137"
    crowd = ssh(second, "sh -c 'for i in $(seq 400); do sleep 2 & done' >/dev/null 2>/tmp/crowd; grep -c -i 'fork' /tmp/crowd", check=False)
    assert crowd.stdout.strip() == "1", crowd
    wait_for("the crowd to leave", lambda: int(control(pid, "pids", "pids.current", "pids.current")) < 50, 20)


def test_the_container_is_walled_in(house, device, second):
    """Default seccomp, an init, no privilege, no device, nothing published on the host."""
    found = device.container()
    host = found["HostConfig"]
    assert not host["Privileged"] and host["CapDrop"] == ["ALL"] and not host["SecurityOpt"] and not host["Devices"] and not host["Binds"]
    assert (host["PidMode"], host["UsernsMode"], host["IpcMode"]) == ("", "", "private")
    assert not host["PortBindings"] and not host["PublishAllPorts"] and not any(found["NetworkSettings"]["Ports"].values())
    status = child_text(found["State"]["Pid"], "status")
    assert "Seccomp:\t2" in status
    assert host["Init"] and child_text(found["State"]["Pid"], "comm").strip() == "docker-init"
    # Docker's default profile forbids a new user namespace to a process without CAP_SYS_ADMIN.
    assert ssh(second, "unshare --user true", check=False).returncode != 0
    rules = run("nft", "list", "ruleset").stdout.splitlines()
    assert not [line for line in rules if "dnat" in line and found["NetworkSettings"]["IPAddress"] in line]
    # What the walls keep in is tried in test_fence.py; here they stand, as `governor fence` prints them, and the bridge has no IPv6 address.
    stands = run("nft", "list", "table", "inet", f"sublet-{device.bridge}").stdout
    told = run(device.program, "fence", *device.places).stdout
    assert stands.count("drop") == told.count("drop") > 4
    assert not run("ip", "-6", "address", "show", "dev", device.bridge).stdout


def test_web_ports_lead_inside(second):
    """What listens on 80 and 443 in the container is reached through the market's two web ports."""
    server = (
        "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => shift, Listen => 5) or die; "
        'while (my $c = $s->accept) { print $c "greetings\\n"; close $c }'
    )
    as_root(second, "".join(f"setsid perl -e '{server}' {port} >/dev/null 2>&1 & " for port in (80, 443)))
    for name in ("httpPort", "httpsPort"):
        words = ("curl", "-s", "--max-time", "5", "--http0.9", f"http://127.0.0.1:{second[name]}")
        wait_for(f"{name} to answer", lambda: run(*words, check=False).stdout == "greetings\n", 20)


def files_below(*folders):
    """Every plain file at or below folders."""
    for folder in folders:
        for path in [folder] if folder.is_file() else folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path


def files_holding(secrets_, *folders):
    """The files that hold one of the secrets."""
    found = []
    for path in files_below(*folders):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if any(secret.encode() in content for secret in secrets_):
            found.append(path)
    return found


def test_no_secret_is_where_it_does_not_belong(house, device, first, second, key, watch):
    """Passwords and keys are in no log, no argument list, no image or container layer, not in what the engine tells, and not in the
    market's records once the renter has them; the device's file of the account and its key file are for root alone."""
    private = (device.state / "device_ed25519").read_text().splitlines()[2]
    everything = [first["password"], second["password"], device.config["deviceKey"], private]
    assert watch.rounds > 100 and any(b"governor" in words for words in watch.seen)
    assert not [words for words in watch.seen if any(secret.encode() in words for secret in everything)]
    paths = ("/containers/renter/json", "/images/json", "/images/sublet-base:current/json", "/images/sublet-base:current/history")
    told = json.dumps([device.docker("GET", path) for path in paths])
    assert not [secret for secret in everything if secret in told]
    logs = house.space.folder.glob("*.log")
    assert not files_holding(everything, *logs, house.market.data)
    # The one place for the password of a lease that runs: on its own drive, or what the drive's mount and RAM show of it.
    account = device.mount / "account.json"
    assert files_holding(everything, device.run_folder) == [account]
    assert second["password"] in account.read_text()
    for path in (account, device.state / "device_ed25519", device.state / "journal.json"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_an_extension_outlives_the_old_end(house, device, second):
    """Past the first promised end the device keeps an extended lease, and the renter works on."""
    time.sleep(max(0, second["expires"] - time.time()) + 3)
    assert device.status()["state"] == "leased" and device.status()["expires"] == second["expires"] + 600
    assert try_login(second)
    assert len(device.events("lease.erasing")) == 2


def test_an_early_end_erases(house, device, second):
    """`market end` ends the lease at the next check-in; it is erased as at its expiry, and the device is offered again."""
    assert raw_count(device.drive, second["user"].encode()) > 0
    house.market.command("end", device.label)
    device.wait_event("lease.ended-by-market", seconds=20)
    device.wait_event("lease.erased", 3, seconds=60)
    device.wait_until("offered")
    wait_for("the receipt", lambda: house.market.command("receipt", "show", second["lease"], check=False).returncode == 0, 20)
    assert not try_login(second)
    assert raw_count(device.drive, second["user"].encode()) == 0
