"""The fence around a renter, tried from the inside with all that root with raw sockets can send, in network namespaces (net.py)."""

import json
import subprocess

import pytest
from net import SERVER, Net
from world import Trouble, Workspace, run, wait_for

# A datagram to an address by way of others (RFC 791, loose source route).
ROUTED = """
import socket, sys
address, *by = map(socket.inet_aton, sys.argv[1:])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    # The kernel puts the first of the list where the packet goes at first, and the address at its end.
    s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, 131, 3 + 4 * len(by), 4]) + b"".join(by))
    s.sendto(b"routed", (socket.inet_ntoa(address), 53))
"""
# Says to everybody on eth0 that addresses are here: an ARP answer that nobody asked for, to all and to one.
CLAIM = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as s:
    s.bind(("eth0", 0x0806))
    mac = s.getsockname()[4]
    for address in map(socket.inet_aton, sys.argv[2:]):
        for to in (b"\\xff" * 6, bytes.fromhex(sys.argv[1].replace(":", ""))):
            for asks in (1, 2):
                s.send(to + mac + b"\\x08\\x06\\0\\x01\\x08\\0\\x06\\x04\\0" + bytes([asks]) + mac + address + to + address)
"""


def wait_while_nothing(what, check):
    """Whether it came, within the time in which it surely would."""
    try:
        return wait_for(what, check, 3)
    except Trouble:
        return False


@pytest.fixture(scope="module")
def net():
    space = Workspace("fence")
    net = Net(space)
    try:
        net.open()
        net.fence()
        yield net
    finally:
        net.close()
        space.remove()


# What a renter tries, and whether it may come to anything.
TRIES = {
    "TCP to the internet": (True, "tcp", "45.45.45.45"),
    "UDP to the internet": (True, "udp", "45.45.45.45", 53),
    "a datagram in fragments to the internet": (True, "udp", "45.45.45.45", 53, "", "4000"),
    "mail to its own provider": (True, "tcp", "45.45.45.45", 587),
    "mail to other servers": (False, "tcp", "45.45.45.45", 25),
    "the router's admin page": (False, "tcp", "192.168.77.1"),
    "the router's name server": (False, "udp", "192.168.77.1", 53),
    "a datagram in fragments to the router": (False, "udp", "192.168.77.1", 53, "", "4000"),
    # Only the market could know which one that is: docs/device-config.md names it as a limit.
    "the router by its outer address": (True, "tcp", "45.45.45.1"),
    "the device by its own address": (False, "tcp", "192.168.77.2", 22),
    "the device by the bridge's address": (False, "tcp", "10.213.77.1", 22),
    "the device's name server": (False, "udp", "10.213.77.1", 53),
    "the broadcast address": (False, "udp", "255.255.255.255", 53),
    "the bridge's broadcast address": (False, "udp", "10.213.77.3", 53),
    "the owner's broadcast address": (False, "udp", "192.168.77.255", 53),
    "multicast, as mDNS": (False, "udp", "224.0.0.251", 53),
    "a cloud's metadata": (False, "tcp", "169.254.169.254"),
    "shared addresses (RFC 6598)": (False, "tcp", "100.64.0.1"),
    "another's address as its own, TCP": (False, "tcp", "45.45.45.45", 80, "45.45.45.99"),
    "another's address as its own, UDP": (False, "udp", "45.45.45.45", 53, "45.45.45.99"),
    "IPv6 to the internet": (False, "tcp", "2001:db8:45::45"),
    "IPv6 to the router": (False, "tcp", "2001:db8:77::1"),
    "IPv6 to the device by its own address": (False, "tcp", "2001:db8:77::2", 22),
    "IPv6 to the device by the bridge's address": (False, "tcp", "2001:db8:213::1", 22),
    "IPv6, UDP to the device": (False, "udp", "2001:db8:213::1", 53),
    "IPv6 to all nodes": (False, "udp", "ff02::1%eth0", 53),
    "ping to the internet": (True, "ping", "45.45.45.45"),
    "ping to the router": (False, "ping", "192.168.77.1"),
    "ping to the device by its own address": (False, "ping", "192.168.77.2"),
    "ping to the device by the bridge's address": (False, "ping", "10.213.77.1"),
    "IPv6, ping to the internet": (False, "ping", "2001:db8:45::45"),
    "IPv6, ping to the device by its own address": (False, "ping", "2001:db8:77::2"),
    "IPv6, ping to the device by the bridge's address": (False, "ping", "2001:db8:213::1"),
}


@pytest.mark.parametrize("what", TRIES)
def test_what_a_renter_tries(net, what, table):
    may, *words = TRIES[what]
    heard, before = {role: net.heard(role) for role in net.servers}, net.walls()
    assert net.reaches(*words) == may
    dropped = {wall: packets - before[wall] for wall, packets in net.walls().items() if packets > before[wall]}
    table("What a renter tried, and the packets that each wall dropped", what, "reached" if may else "stopped", dropped)
    if not may:
        assert {role: net.heard(role) for role in net.servers} == heard, "no answer came, but something arrived"
        assert dropped, "nothing arrived, but no wall has seen it"


def test_claims_to_other_addresses(net):
    """ARP: the renter says to be the router, the device, and the internet's host. The device goes on finding them where they are."""
    bridge = json.loads(net.at("device", "ip", "-j", "link", "show", "sublet0").stdout)[0]["address"]
    assert net.reaches("tcp", "192.168.77.1", role="device")
    before = net.at("device", "ip", "neighbour", "show", "192.168.77.1").stdout.split()
    net.at("renter", "python3", "-c", CLAIM, bridge, "192.168.77.1", "192.168.77.2", "45.45.45.45")
    after = net.at("device", "ip", "neighbour", "show", "192.168.77.1", "dev", "lan0").stdout.split()
    assert before[before.index("lladdr") + 1] == after[after.index("lladdr") + 1]
    assert net.reaches("tcp", "192.168.77.1", role="device") and net.reaches("tcp", "45.45.45.45", role="device")
    assert net.reaches("tcp", "45.45.45.45") and not net.reaches("tcp", "192.168.77.1")


def test_nobody_comes_in_but_the_device(net):
    """The owner's network is safe from the renter, and the renter's machine from it; the tunnel's connections come from the device."""
    server = subprocess.Popen(net.within("renter", "python3", "-c", SERVER, "80"), stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == b"ready\n"
        assert net.reaches("tcp", "10.213.77.2", role="device")
        assert not net.reaches("tcp", "10.213.77.2", role="router")
        assert not net.reaches("tcp", "2001:db8:213::2", role="router")
    finally:
        server.kill()
        server.wait()


def test_everything_dropped_is_counted(net):
    """An owner sees in `nft list table inet sublet-sublet0` that the walls had work."""
    assert all(net.walls().values()), net.walls()


def test_source_routes(net):
    """A packet that goes to the device, and from there to where the renter may not. Even where the kernel would follow it."""
    for role, link in (("device", "all"), ("device", "sublet0"), ("router", "all"), ("router", "lan0")):
        net.at(role, "sysctl", "-qw", f"net.ipv4.conf.{link}.accept_source_route=1")
    for by in ("10.213.77.1", "192.168.77.2"):
        net.at("renter", "python3", "-c", ROUTED, "192.168.77.1", by)
    assert not wait_while_nothing("routed", lambda: "heard 6 " in net.heard("router"))
    net.at("device", "nft", "delete", "table", "inet", "sublet-sublet0")
    net.at("renter", "python3", "-c", ROUTED, "192.168.77.1", "10.213.77.1")
    wait_for("the packet, without the fence", lambda: "heard 6 " in net.heard("router"), 20)
    net.fence()


def test_the_device_by_its_link_local_address(net):
    address = net.link_local() + "%eth0"
    assert not net.reaches("tcp", address, 22) and not net.reaches("udp", address, 53) and not net.reaches("ping", address)
    net.at("device", "nft", "delete", "table", "inet", "sublet-sublet0")
    assert net.reaches("tcp", address, 22) and net.reaches("ping", address), "without the fence it would work"
    net.fence()


def test_what_the_owner_opens(net):
    """`network.allow` and `network.smtp`; raised anew over the old rules, in one step."""
    net.fence(allow=["192.168.77.1", "192.168.77.0/30", "192.168.88.0/24"], smtp=True)
    assert net.reaches("tcp", "192.168.77.1") and net.reaches("tcp", "45.45.45.45", 25)
    assert not net.reaches("tcp", "192.168.77.2", 22) and not net.reaches("tcp", "10.213.77.1", 22)
    net.fence()
    assert not net.reaches("tcp", "192.168.77.1") and not net.reaches("tcp", "45.45.45.45", 25)
    assert net.at("device", "nft", "list", "tables").stdout.split() == ["table", "inet", "sublet-sublet0"]


def test_without_the_fence_all_of_it_would_work(net):
    """And so we know that the tries do try: with its table away most of what was refused is reached."""
    net.at("device", "nft", "delete", "table", "inet", "sublet-sublet0")
    refused = [what for what, (may, *words) in TRIES.items() if not may and not net.reaches(*words)]
    net.fence()
    # Nobody has these addresses; the two of another's come back to nobody; nobody here answers a broadcast.
    assert set(refused) <= {
        "a cloud's metadata", "shared addresses (RFC 6598)", "another's address as its own, TCP",
        "another's address as its own, UDP", "the broadcast address", "the bridge's broadcast address", "the owner's broadcast address",
        "multicast, as mDNS", "IPv6 to all nodes",
    }


def test_connections_are_counted(net):
    """A renter who begins connection after connection gets as many as `network.connections` says; the table of the kernel is left to the
    device, which goes on making its own, and what the renter has begun goes on too."""
    def tracked():
        return int(net.at("device", "cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)

    net.fence(connections=100)
    before = tracked()
    assert net.flood("45.45.45.45", 300) == 100
    assert tracked() - before < 120
    pace, count = net.dropped("fresh")
    assert (pace, count) == (0, 200)
    assert not net.reaches("tcp", "45.45.45.45") and net.reaches("tcp", "45.45.45.45", role="device")
    net.fence()
    assert net.reaches("tcp", "45.45.45.45")


def test_a_flood_of_new_connections_is_slowed(net):
    """Whatever the limit: the kernel's count would grow by each that is tried."""
    net.fence(connections=1_000_000)
    answered = net.flood("45.45.45.45", 3_000)
    pace, count = net.dropped("fresh")
    # The server's own buffer may lose some of what got through.
    assert 0 < pace <= 2_500 and count == 0 and answered <= 3_000 - pace
    net.fence()


# Who gives, who takes, at which address who connects, the limit, and the chain that drops.
WAYS = {
    "up": ("renter", "internet", "45.45.45.45", "renter", "upMbit", "outward"),
    "down": ("internet", "renter", "45.45.45.45", "renter", "downMbit", "inward"),
    "up through the tunnel": ("renter", "device", "10.213.77.2", "device", "upMbit", "host"),
    "down through the tunnel": ("device", "renter", "10.213.77.2", "device", "downMbit", "toward"),
}


@pytest.mark.parametrize("way", WAYS)
def test_rates(net, way):
    """`network.upMbit` and `network.downMbit`, also for what goes through the tunnel, whose end is in the device. What is too much is
    dropped; TCP gets all of it through none the less."""
    *who, limit, chain = WAYS[way]
    net.fence(**{limit: 8})
    assert net.gives(*who) == 2 << 20 and net.dropped(chain)[0] > 0
    net.fence()
    drops = len(net.dropped(chain))
    assert net.gives(*who) == 2 << 20 and drops == {"outward": 4, "inward": 1, "host": 1, "toward": 0}[chain]
