"""What a hostile renter does to the device from inside its machine, all in one lease: whatever it is, the device goes on checking in, and the
next lease is clean. What goes over the network is tried in test_fence.py."""

import os
import re
import threading

import pytest
import world
from house import as_root, child_text
from world import run, ssh, wait_for

# An address that leads out of the device and to nobody: behind a bridge without ports.
NOWHERE = f"198.51.100.{os.getpid() % 250 + 1}"
# Each goes on until /run/stop is there, which the test puts there from outside: in the machine nothing may be able to start any more.
HOSTILE = {
    "a fork bomb": "perl -e 'until (-e \"/run/stop\") { fork }'",
    "a memory hog": "until [ -e /run/stop ]; do perl -e 'until (-e \"/run/stop\") { push @hog, \"x\" x 1048576 }'; done",
    "a flood of words for the machine's log": "yes flood > /proc/1/fd/1 & until [ -e /run/stop ]; do sleep 0.1; done; kill $!",
    "a flood of connections": "ulimit -n 4096; perl -MSocket -e 'until (-e \"/run/stop\") { for (1 .. 3000) { "
    "socket(my $s, PF_INET, SOCK_DGRAM, 0) or last; send($s, \"x\", 0, pack_sockaddr_in(53, inet_aton(\"" + NOWHERE + "\"))); "
    "push @hog, $s } select(undef, undef, undef, 0.1); @hog = () }'",
}
# All that a lease's root may do, as bits of CapBnd: docs/renting.md names them.
KEPT = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 31}


@pytest.fixture(scope="module")
def device(house):
    device = house.device(size_mib=1100)
    device.config["network"].update(allow=[NOWHERE], connections=200)
    device.write_config()
    link = device.bridge + "n"
    run("ip", "link", "add", link, "type", "bridge")
    try:
        run("ip", "link", "set", link, "up")
        run("ip", "route", "add", f"{NOWHERE}/32", "dev", link)
        run("ip", "neighbour", "add", NOWHERE, "lladdr", "02:00:00:00:00:01", "dev", link, "nud", "permanent")
        device.start()
        device.wait_until("offered")
        yield device
    finally:
        run("ip", "link", "delete", link, check=False)


@pytest.fixture(scope="module")
def access(house, device):
    return house.rent(device, "1h")


def counted(device, controller, name):
    """A figure of the container's control group, of either version of them."""
    groups = dict(line.split(":", 2)[1:] for line in child_text(device.container_pid(), "cgroup").splitlines())
    second = "/sys/fs/cgroup" + groups.get("", "")
    place = f"/sys/fs/cgroup/{controller}{groups[controller]}" if controller in groups else second
    for file, key in name:
        found = re.search(rf"^{key}(\d+)$", open(f"{place}/{file}").read(), re.M) if os.path.exists(f"{place}/{file}") else None
        if found:
            return int(found.group(1))
    raise AssertionError(f"no {name} in {place}")


def check_ins(device):
    return len(device.events("market.checked-in"))


def tracked():
    """Connections that the device's kernel knows."""
    return int(open("/proc/sys/net/netfilter/nf_conntrack_count").read())


def dropped(device):
    """Packets that would have begun one connection too many."""
    rules = run("nft", "list", "chain", "inet", f"sublet-{device.bridge}", "fresh").stdout
    return int(re.search(r"ct count over 200 counter packets (\d+)", rules).group(1))


def test_what_the_machine_may_do(device, access):
    """The bounds that are not for a test to try: each is there."""
    status = child_text(device.container_pid(), "status")
    bits = int(re.search(r"CapBnd:\s*(\w+)", status).group(1), 16)
    assert {bit for bit in range(64) if bits >> bit & 1} == KEPT
    limits = child_text(device.container_pid(), "limits")
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert 1_024 <= int(re.search(r"Max open files +1024 +(\d+) ", limits).group(1)) <= 65_536
    assert child_text(device.container_pid(), "oom_score_adj").strip() == "500"
    assert as_root(access, "echo -1 > /proc/self/oom_score_adj", check=False).returncode != 0
    devices = as_root(access, "find / -xdev \\( -type b -o -type c \\); find /dev \\( -type b -o -type c \\)").stdout.split()
    assert {name for name in devices if not name.startswith("/dev/pts/")} <= {
        "/dev/" + name for name in ("full", "null", "random", "tty", "urandom", "zero")
    }
    assert as_root(access, "mknod /data/sda b 8 0", check=False).returncode != 0
    host = device.container()["HostConfig"]
    assert host["MemorySwap"] == host["Memory"] == 512 << 20 and host["PidsLimit"] == 256 and host["NanoCpus"] > 0
    assert as_root(access, "ping -c 1 -W 1 127.0.0.1").returncode == 0, "what is kept is enough"


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_renter_does(device, access, what):
    pid, connections, since = device.container_pid(), tracked(), check_ins(device)
    renter = threading.Thread(target=lambda: as_root(access, HOSTILE[what], check=False, timeout=200))
    renter.start()
    try:
        bites = {
            "a fork bomb": lambda: counted(device, "pids", [("pids.events", "max ")]),
            "a memory hog": lambda: counted(device, "memory", [("memory.events", "oom_kill "), ("memory.oom_control", "oom_kill ")]),
            "a flood of connections": lambda: dropped(device) > 0,
        }
        wait_for("it to come to its bounds", bites.get(what, lambda: True), 60)
        wait_for("three more check-ins", lambda: check_ins(device) >= since + 3, 60)
        assert tracked() < connections + 400
    finally:
        run("nsenter", "-t", pid, "-m", "touch", "/run/stop")
        renter.join()
        run("nsenter", "-t", pid, "-m", "rm", "/run/stop")
    assert device.container_pid() == pid and ssh(access, "echo still here").stdout.strip() == "still here"
    assert (device.run_folder / "dockerd.log").stat().st_size < 100_000
    assert not device.container()["LogPath"]


# The files first, for what takes the inodes leaves none for those that take the blocks.
FILL = """
for n in $(seq 0 60); do for size in 256M 32M 4M 512K 64K 4K; do : > /fill.$size.$n; done; done
: > /data/one
mkdir /data/many
perl -e 'my $n = 0; while (open(F, ">", "/data/many/" . $n++)) { }'
n=0
for size in 256M 32M 4M 512K 64K 4K; do while fallocate -l $size /fill.$size.$n 2>/dev/null; do n=$((n + 1)); done; done
dd if=/dev/zero of=/data/one bs=4k count=100000 2>/dev/null
df --output=iavail,avail / | tail -1
"""


def test_a_full_drive_keeps_nobody_out(house, device, access):
    """A renter takes every block and inode there is. The device checks in, and after a power cut the machine comes back, so that the renter
    can make room: some is kept for the engine, and kept again."""
    assert as_root(access, FILL, timeout=200).stdout.split() == ["0", "0"]
    since = check_ins(device)
    wait_for("three more check-ins", lambda: check_ins(device) >= since + 3, 60)
    assert len(os.listdir(device.mount / "spare")) == 128
    for again in range(2):
        device.pull_the_plug()
        device.start()
        device.wait_event("container.up", since=device.since, seconds=120)
        wait_for("the room to be kept again", lambda: len(os.listdir(device.mount / "spare")) > 100, 30)
        wait_for("the renter to get in", lambda: ssh(access, "true", check=False, timeout=40).returncode == 0, 60)
    as_root(access, "rm -rf /fill.* /data/many /data/one; sync")
    wait_for("all of the room to be kept", lambda: len(os.listdir(device.mount / "spare")) == 128, 30)


def test_the_next_lease_is_clean(house, device, access):
    as_root(access, "echo 'echo pwned' > /etc/profile.d/pwned.sh; touch /data/pwned")
    house.market.command("end", device.label)
    wait_for("another lease", lambda: device.status().get("lease") not in (None, access["lease"]), 60)
    second = house.rent(device, "1h")
    assert "pwned" not in ssh(second, "ls -A /data /etc/profile.d; bash -lc true").stdout
    assert as_root(second, "df --output=pcent /data | tail -1; ls /").stdout.split()[0] < "60%"


def test_a_device_that_may_use_one_processor_only(house):
    """dockerd makes no machine with more processors than it may use itself, whatever there are."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        narrow = house.offered("narrow", size_mib=1100)
    finally:
        os.sched_setaffinity(0, allowed)
    assert narrow.container()["HostConfig"]["NanoCpus"] == 10**9
