"""What breaks around a lease mends by itself or is told: engine, container, tunnel server, tunnel client, ports.

One device and one renter; each test breaks one thing and waits until all is whole again. The market moves a lease to other ports after
three seconds of refusal.
"""

import json
import os
import signal
import subprocess
import time

import pytest
from house import as_root, child_text, leave_marker, raw_count, try_login
from ports import Occupant
from traces import comm, pids_naming
from world import run, ssh, wait_for

MARKER = b"sublet-marker-" + os.urandom(16).hex().encode()


@pytest.fixture(scope="module")
def house(make_house):
    return make_house(refused=3)


@pytest.fixture(scope="module")
def occupant(house):
    """Somebody else listens on the first port that the market would give out."""
    occupant = Occupant(house.sshd.ports[0])
    house.parts.append(occupant)
    return occupant


@pytest.fixture(scope="module")
def device(house, occupant):
    return house.offered()


@pytest.fixture(scope="module")
def access(house, device):
    access = house.rent(device, "1h")
    leave_marker(device, access, MARKER)
    return access


def must_be_whole(house, device, access):
    """Container and tunnel are up, the market knows, and the renter gets in and finds the data."""
    wait_for(
        "all to be whole",
        lambda: [device.status().get(key) for key in ("state", "container", "tunnel", "fault")] == ["leased", "up", "up", None], 60,
    )
    wait_for("the market to hear it", lambda: (house.row(device)["tunnel"], house.row(device).get("fault")) == ("up", None), 20)
    assert ssh(access, "cat /data/marker").stdout.strip() == MARKER.decode()
    assert device.status()["lease"] == access["lease"] and len(device.events("lease.erasing")) == 1


def quiet(device, event, seconds=3):
    """Whether an event has not come for a while."""
    count = len(device.events(event))
    time.sleep(seconds)
    return len(device.events(event)) == count


def test_a_taken_port_is_passed_over(house, device, occupant, access):
    """A foreign program holds a port before the registration: the market gives three others, and says so in its log."""
    row = house.row(device)
    taken = house.sshd.ports[0]
    assert taken not in (row["sshPort"], row["httpPort"], row["httpsPort"])
    assert [line for line in house.market.text().splitlines() if " event=port.taken " in line and f"port={taken}" in line]
    must_be_whole(house, device, access)


def test_a_killed_engine_comes_back(house, device, access):
    """kill -9 of dockerd: the container and the renter's session go on, and a new dockerd takes them over."""
    session, container, engine = house.session(access), device.container(), device.engine_pid()
    since = len(device.text())
    os.kill(engine, signal.SIGKILL)
    device.wait_event("engine.down", since=since)
    session.must_go_on()
    device.wait_event("container.up" if device.events("container.down", since) else "engine.up", since=since)
    wait_for("the engine to answer", device.container, 30)
    assert device.engine_pid() != engine
    assert (device.container()["Id"], device.container_pid()) == (container["Id"], container["State"]["Pid"])
    session.must_go_on()
    must_be_whole(house, device, access)


def test_a_dead_engine_s_number_that_another_has_by_now_keeps_no_engine_from_starting(house, device, access):
    """The pid file that a killed dockerd leaves names a process that lives: this test."""
    session, engine = house.session(access), device.engine_pid()
    device.kill()
    os.kill(engine, signal.SIGKILL)
    (device.run_folder / "dockerd.pid").write_text(str(os.getpid()))
    device.start()
    device.wait_event("engine.up", since=device.since)
    assert device.engine_pid() not in (engine, os.getpid()) and not device.events("engine.down", device.since)
    session.must_go_on()
    must_be_whole(house, device, access)


def test_a_killed_containerd_comes_back(house, device, access):
    """kill -9 of containerd: nobody would hear of the container's end. So dockerd goes too, and the container and the renter's session go on."""
    session, container, engine, killed = house.session(access), device.container(), device.engine_pid(), device.containerd_pid()
    since = len(device.text())
    os.kill(killed, signal.SIGKILL)
    assert "containerd ended" in device.wait_event("engine.down", since=since)
    device.wait_event("engine.up", since=since)
    wait_for("the engine to answer", device.container, 30)
    assert device.containerd_pid() != killed and device.engine_pid() != engine and not os.path.exists(f"/proc/{engine}")
    assert (device.container()["Id"], device.container_pid()) == (container["Id"], container["State"]["Pid"])
    session.must_go_on()
    must_be_whole(house, device, access)


def test_a_containerd_of_unknown_number_keeps_no_other_from_starting(house, device, access):
    """The governor was killed between the start of containerd and the note of its number: it holds the lock of its books."""
    session, container, lost = house.session(access), device.container_pid(), device.containerd_pid()
    device.kill()
    device.containerd_number.unlink()
    device.start()
    device.wait_event("container.up", since=device.since)
    assert lost not in pids_naming(str(device.run_folder)) and device.container_pid() == container
    session.must_go_on()
    must_be_whole(house, device, access)


def test_an_engine_that_hangs_is_ended_and_comes_back(house, device, access):
    """SIGSTOP of dockerd: it is alive and answers nobody. It is noticed with a check-in, and the container goes on under another dockerd."""
    session, container, engine = house.session(access), device.container(), device.engine_pid()
    since = len(device.text())
    os.kill(engine, signal.SIGSTOP)
    assert "does not answer" in device.wait_event("engine.down", since=since)
    session.must_go_on()
    device.wait_event("engine.up", since=since)
    wait_for("the engine to answer", device.container, 30)
    assert device.engine_pid() != engine and not os.path.exists(f"/proc/{engine}")
    assert (device.container()["Id"], device.container_pid()) == (container["Id"], container["State"]["Pid"])
    session.must_go_on()
    must_be_whole(house, device, access)


SERVICE = """[Unit]
Description=what the renter installed
[Service]
ExecStart=/usr/bin/sleep 987654
[Install]
WantedBy=multi-user.target
"""


def test_a_fence_that_is_taken_down_stands_again(house, device, access):
    """Something on the device flushes or changes its rules, as a reload of a firewall does: the kernel's news is heard and it is raised
    again, without waiting for a check-in: the market answers none meanwhile. What others do to their own rules costs no look."""
    def looks():
        return len([line for line in device.events("step.done", device.since) if " step=fence-look " in line])

    session, table = house.session(access), ["inet", f"sublet-{device.bridge}"]
    before = run("nft", "--stateless", "list", "table", *table).stdout
    house.market.process.send_signal(signal.SIGSTOP)
    try:
        wait_for("no check-in to be answered any more", lambda: quiet(device, "market.checked-in"), 20)
        for times, words in enumerate((["delete", "table", *table], ["flush", "chain", *table, "host"]), 1):
            run("nft", *words)
            device.wait_event("fence.up", times, since=device.since)
            assert run("nft", "--stateless", "list", "table", *table).stdout == before
        assert len(device.events("fence.down", device.since)) == 2
        assert not device.events("market.check-in-failed", device.since), "it was a check-in's look"
        wait_for("the look at what was raised", lambda: quiet(device, "step.done"), 30)

        seen, other = looks(), f"sublet-test{os.getpid()}"
        run("nft", "-f", "-", input=f"table inet {other} {{\n}}\n")
        for _ in range(50):
            run("nft", "-f", "-", input=f"add chain inet {other} c\nadd rule inet {other} c counter\ndelete chain inet {other} c\n")
        run("nft", "delete", "table", "inet", other)
        assert looks() == seen
        began = time.monotonic()
        for _ in range(50):
            run("nft", "-f", "-", input=f"add counter {' '.join(table)} c\ndelete counter {' '.join(table)} c\n")
        wait_for("a look at our own", lambda: looks() > seen, 30)
        wait_for("the last look", lambda: quiet(device, "step.done"), 30)
        assert looks() - seen <= 3 + (time.monotonic() - began) / 2 and len(device.events("fence.down", device.since)) == 2
    finally:
        house.market.process.send_signal(signal.SIGCONT)
    session.must_go_on()
    must_be_whole(house, device, access)


def test_a_killed_container_comes_back(house, device, access):
    """kill -9 of the container's init: it starts again with its data, the same host key, and every service that the renter has enabled;
    the market hears of it."""
    as_root(access, f"printf '%s' '{SERVICE}' > /etc/systemd/system/renters.service; systemctl enable --now renters; pgrep -f 987654")
    key = run("ssh-keyscan", "-t", "ed25519", "-p", access["sshPort"], access["host"]).stdout
    container = device.container()
    since = len(device.text())
    os.kill(container["State"]["Pid"], signal.SIGKILL)
    device.wait_event("container.down", since=since)
    device.wait_event("container.up", since=since)
    assert device.container()["Id"] == container["Id"] and device.container_pid() != container["State"]["Pid"]
    must_be_whole(house, device, access)
    wait_for("the renter's services", lambda: ssh(access, "pgrep -x cron && pgrep -f 98765[4]", check=False).returncode == 0, 30, 0.5)
    assert run("ssh-keyscan", "-t", "ed25519", "-p", access["sshPort"], access["host"]).stdout == key


def test_a_container_of_which_the_engine_has_lost_track_comes_back(house, device, access):
    """dockerd is killed, and what it starts next has it in its books that the container does not run, as if it had been killed before it wrote
    that down. It does run, and so can't be started."""
    since, container = len(device.text()), device.container()
    book = device.mount / container["ResolvConfPath"].split("/drive/")[1].replace("resolv.conf", "config.v2.json")
    device.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(device.engine_pid(), signal.SIGKILL)
        facts = json.loads(book.read_text())
        facts["State"].update(Running=False, Pid=0)
        book.write_text(json.dumps(facts))
    finally:
        device.process.send_signal(signal.SIGCONT)
    wait_for("the engine to complain", lambda: [line for line in device.events("container.down", since) if " already " in line], 60)
    device.wait_event("container.up", since=since)
    assert device.container()["Id"] == container["Id"] and device.container_pid() != container["State"]["Pid"]
    assert not os.path.exists(f"/proc/{container['State']['Pid']}")
    must_be_whole(house, device, access)


def test_a_killed_tunnel_client_comes_back(house, device, access):
    """kill -9 of the ssh client: another one opens the same ports."""
    before, since = device.tunnel_pid(), len(device.text())
    os.kill(before, signal.SIGKILL)
    device.wait_event("tunnel.down", since=since)
    device.wait_event("tunnel.up", since=since)
    assert device.tunnel_pid() not in (None, before)
    must_be_whole(house, device, access)
    assert house.row(device)["sshPort"] == access["sshPort"]


def test_a_killed_tunnel_server_is_told_and_found_again(house, device, access):
    """The tunnel server dies with all its sessions: the device tells the market that its tunnel is down, and opens it when the server is
    back."""
    since = len(device.text())
    house.sshd.end(signal.SIGKILL)
    device.wait_event("tunnel.down", since=since)
    wait_for("the market to hear it", lambda: house.row(device)["tunnel"] == "down", 20)
    assert device.status()["state"] == "leased" and not try_login(access)
    house.sshd.start()
    device.wait_event("tunnel.up", since=since)
    must_be_whole(house, device, access)
    assert house.row(device)["sshPort"] == access["sshPort"]


def test_a_tunnel_server_that_hangs_is_told_and_found_again(house, device, access):
    """The tunnel server's host freezes and thaws (a paused VM): no connection ends by itself. ssh asks every 30 s and gives up after the
    third silence; the tunnel stands again, on the same ports, when the server is back."""
    since = len(device.text())
    frozen = [house.sshd.process.pid, *house.sshd.sessions()]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        device.wait_event("tunnel.down", since=since, seconds=150)
        wait_for("the market to hear it", lambda: house.row(device)["tunnel"] == "down", 20)
        assert device.status()["state"] == "leased"
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    device.wait_event("tunnel.up", since=since)
    must_be_whole(house, device, access)
    assert house.row(device)["sshPort"] == access["sshPort"]


def test_a_stolen_port_moves_the_lease(house, device, access):
    """While the tunnel server was away somebody else took the renter's ssh port: the device tells that it is refused, the market moves the
    lease to other ports, and the renter finds the machine there."""
    since = len(device.text())
    free = house.free_ports()
    house.sshd.end(signal.SIGKILL)
    thief = Occupant(access["sshPort"])
    house.parts.append(thief)
    house.sshd.start()
    device.wait_event("tunnel.refused", since=since)
    wait_for("the market to hear it", lambda: house.row(device)["tunnel"] in ("refused", "up"), 20, 0.05)
    moved = wait_for("the move", lambda: [line for line in house.market.text().splitlines() if " event=lease.moved " in line], 30)
    assert f"from={access['sshPort']}" in moved[0] and len(moved) == 1
    device.wait_event("tunnel.up", since=since)
    row = house.row(device)
    new = {**access, "sshPort": row["sshPort"]}
    assert row["sshPort"] not in (access["sshPort"], house.sshd.ports[0])
    must_be_whole(house, device, new)
    assert device.journal()["tunnel"]["ports"]["ssh"] == row["sshPort"]
    # The old ports are free again, all three; only the thief has one of them.
    assert house.free_ports() == free
    thief.remove()


@pytest.fixture
def bystander(house):
    """Somebody on the device who works in a mount namespace of his own, begun as a copy of the device's."""
    process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "300"])
    wait_for("the copy", lambda: os.readlink(f"/proc/{process.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"), 10)
    yield process
    process.kill()
    process.wait()


def test_an_end_without_an_engine(house, device, access, bystander):
    """The lease ends while dockerd is dead and the container still runs: container and shim are ended all the same, and the drive is let go
    of and erased. A bystander whose namespace has copies of the mounts is not hurt, and can't keep the data alive."""
    container = device.container_pid()
    assert raw_count(device.drive, MARKER) > 0
    assert str(device.mount) in child_text(bystander.pid, "mountinfo")
    governor = device.process.pid
    os.kill(governor, signal.SIGSTOP)
    os.kill(device.engine_pid(), signal.SIGKILL)
    house.market.command("end", device.label)
    time.sleep(1.5)
    os.kill(governor, signal.SIGCONT)
    device.wait_event("lease.erased", 2, seconds=60)
    assert not os.path.exists(f"/proc/{container}") and raw_count(device.drive, MARKER) == 0
    assert bystander.poll() is None and str(device.mount) not in child_text(bystander.pid, "mountinfo")
    device.wait_until("offered")
    names = [comm(pid) for pid in pids_naming(str(device.run_folder))]
    assert (names.count("dockerd"), names.count("docker-init")) == (1, 1), names


def test_an_end_with_an_engine_that_hangs(house, device):
    """The lease ends while dockerd is alive and answers nobody: it is ended after a while, with the container, and all goes on as ever."""
    access = house.rent(device, "1h")
    leave_marker(device, access, MARKER)
    container, engine = device.container_pid(), device.engine_pid()
    erased = len(device.events("lease.erased"))
    os.kill(engine, signal.SIGSTOP)
    house.market.command("end", device.label)
    device.wait_event("lease.erased", erased + 1, seconds=90)
    assert not os.path.exists(f"/proc/{container}") and not os.path.exists(f"/proc/{engine}") and raw_count(device.drive, MARKER) == 0
    device.wait_until("offered")
    names = [comm(pid) for pid in pids_naming(str(device.run_folder))]
    assert (names.count("dockerd"), names.count("docker-init")) == (1, 1), names
