"""The fence around a renter, tried from the inside with all that root with raw sockets can send; in network namespaces, which the test
makes and removes: the device, the renter's machine, the owner's network with its router, and the internet behind it.

    renter (10.213.77.2) -- sublet0 -- device (192.168.77.2) -- owner's network -- router (192.168.77.1) -- internet (45.45.45.45)
"""

import json
import os
import re
import subprocess

import pytest
import world
from world import Trouble, Workspace, run, wait_for

CONFIG = {"server": "https://market.example", "deviceId": "11111111-2222-4333-8444-555555555555", "deviceKey": "0123456789abcdef" * 4}
# One way to send something to an address, run in a namespace; whether anything came back, or arrived, is told by the exit status.
ATTEMPT = """
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
source = sys.argv[4] if len(sys.argv) > 4 else ""
family = socket.AF_INET6 if ":" in address else socket.AF_INET
if kind == "ping":
    protocol, echo = (socket.IPPROTO_ICMPV6, "8000000001020302") if ":" in address else (socket.IPPROTO_ICMP, "0800f3fb01020302")
    echo = bytes.fromhex(echo)
    with socket.socket(family, socket.SOCK_RAW, protocol) as s:
        s.settimeout(1.5)
        s.sendto(echo, socket.getaddrinfo(address, None, family)[0][4])
        while s.recvfrom(100)[0][-4:] != echo[-4:]:
            pass
    sys.exit()
with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as s:
    s.settimeout(1.5)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if source:
        s.bind((source, 0))
    place = socket.getaddrinfo(address, port, family)[0][4]
    if kind == "tcp":
        s.connect(place)
    else:
        s.sendto(b"x" * int(sys.argv[5] if len(sys.argv) > 5 else 8), place)
        s.recv(10)
"""
# Answers TCP connections and UDP datagrams, over IPv4 and IPv6, on these ports.
SERVER = """
import selectors, socket, sys
wait = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(socket.AF_INET6, kind)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            s.listen(50)
        wait.register(s, selectors.EVENT_READ, kind)
print("ready", flush=True)
while True:
    for key, _ in wait.select():
        if key.data == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            text, sender = key.fileobj.recvfrom(65536)
            print("heard", len(text), "from", sender[0], flush=True)
            key.fileobj.sendto(b"y", sender)
"""
# Datagrams of a size, each from a port of its own or all from one, as fast as they go; then how many were answered.
FLOOD = """
import select, socket, sys
address, count, size, own = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "own"
ports = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count if own else 1)]
for s in ports:
    s.connect((address, 53))
for number in range(count):
    ports[number % len(ports)].send(b"x" * size)
answered = 0
wait = select.poll()
for s in ports:
    wait.register(s, select.POLLIN)
for ready in iter(lambda: wait.poll(1500), []):
    for descriptor, _ in ready:
        answered += len(next(s for s in ports if s.fileno() == descriptor).recv(10))
print(answered)
"""
# One end of a TCP connection on port 5001: the one that waits or, with an address, the one that comes; gives 2 MiB or takes what comes.
PIPE = """
import socket, sys
what, *address = sys.argv[1:]
if address:
    connection = socket.create_connection((address[0], 5001), 20)
else:
    with socket.create_server(("", 5001)) as server:
        print("ready", flush=True)
        connection = server.accept()[0]
if what == "give":
    connection.sendall(bytes(2 << 20))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
else:
    print(sum(iter(lambda: len(connection.recv(65536)), 0)))
"""
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
PORTS = ("22", "25", "53", "80", "587")


class Net:
    """The four namespaces, joined; with the fence of a configuration around the renter."""

    def __init__(self, space):
        self.space = space
        self.names = {role: f"sbf{os.getpid()}{role}" for role in ("device", "renter", "router", "internet")}
        self.servers = {}

    def open(self):
        for role, name in self.names.items():
            run("ip", "netns", "add", name)
            self.at(role, "ip", "link", "set", "lo", "up")
        self.join("device", "lan0", ["192.168.77.2/24", "2001:db8:77::2/64"], "router", "lan0", ["192.168.77.1/24", "2001:db8:77::1/64"])
        self.join("router", "wan0", ["45.45.45.1/24", "2001:db8:45::1/64"], "internet", "wan0", ["45.45.45.45/24", "2001:db8:45::45/64"])
        for role in ("device", "router"):
            self.at(role, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for family, router in (("-4", "192.168.77.1"), ("-6", "2001:db8:77::1")):
            self.at("device", "ip", family, "route", "add", "default", "via", router)
        # A home router translates for the device; a renter's own addresses would never come back.
        self.at("router", "ip", "route", "add", "10.213.77.0/30", "via", "192.168.77.2")
        self.at("internet", "ip", "route", "add", "default", "via", "45.45.45.1")
        self.at("internet", "ip", "-6", "route", "add", "default", "via", "2001:db8:45::1")
        for role in ("device", "router", "internet"):
            self.serve(role)

    def join(self, one, its, its_addresses, other, others, other_addresses):
        run("ip", "link", "add", its, "netns", self.names[one], "type", "veth", "peer", "name", others, "netns", self.names[other])
        for role, link, addresses in ((one, its, its_addresses), (other, others, other_addresses)):
            for address in addresses:
                self.at(role, "ip", "address", "add", address, "dev", link, *(["nodad"] if ":" in address else []))
            self.at(role, "ip", "link", "set", link, "up")

    def serve(self, role):
        """Something that answers in a namespace, whatever it is asked by."""
        with open(self.space.folder / f"{role}.log", "wb") as log:
            self.servers[role] = subprocess.Popen(self.within(role, "python3", "-c", SERVER, *PORTS), stdout=log, stderr=log)
        wait_for(f"the {role} to serve", lambda: "ready" in self.heard(role), 20)

    def heard(self, role):
        return (self.space.folder / f"{role}.log").read_text()

    def fence(self, **network):
        """Raises the fence as the governor does: its rules first, then the bridge; and puts the renter behind it."""
        config = self.space.folder / "config.json"
        config.write_text(json.dumps({**CONFIG, "network": network}))
        rules = run(world.BIN / "governor", "fence", "--config", config).stdout
        self.at("device", "nft", "-f", "-", input=rules)
        if self.at("device", "ip", "link", "show", "sublet0", check=False).returncode == 0:
            return
        self.at("device", "ip", "link", "add", "sublet0", "type", "bridge")
        self.at("device", "ip", "address", "add", "10.213.77.1/30", "dev", "sublet0")
        # Worse than what the governor makes: this bridge has IPv6 addresses, and gives the renter a way.
        self.at("device", "ip", "address", "add", "2001:db8:213::1/64", "dev", "sublet0", "nodad")
        self.at("device", "ip", "link", "set", "sublet0", "up")
        self.join("device", "veth0", [], "renter", "eth0", ["10.213.77.2/30", "2001:db8:213::2/64"])
        self.at("device", "ip", "link", "set", "veth0", "master", "sublet0")
        self.at("renter", "ip", "route", "add", "default", "via", "10.213.77.1")
        self.at("renter", "ip", "-6", "route", "add", "default", "via", "2001:db8:213::1")
        self.at("renter", "ip", "address", "add", "45.45.45.99/32", "dev", "lo")
        # Who wants to get through does not wait for an answer to a neighbour solicitation.
        bridge = json.loads(self.at("device", "ip", "-j", "link", "show", "sublet0").stdout)[0]["address"]
        for address in ("2001:db8:213::1", self.link_local()):
            self.at("renter", "ip", "-6", "neighbour", "replace", address, "lladdr", bridge, "dev", "eth0", "nud", "permanent")
        self.at("router", "ip", "-6", "route", "add", "2001:db8:213::/64", "via", "2001:db8:77::2")

    def link_local(self):
        """The bridge's address that needs nobody's leave."""
        def found():
            text = self.at("device", "ip", "-6", "-o", "address", "show", "dev", "sublet0", "scope", "link").stdout
            return re.search(r"inet6 (fe80:\S+)/64", text)

        return wait_for("the bridge's link-local address", found, 20).group(1)

    def within(self, role, *words):
        return ["ip", "netns", "exec", self.names[role], *words]

    def at(self, role, *words, **options):
        return run(*self.within(role, *words), **options)

    def reaches(self, kind, address, port=80, *more, role="renter"):
        """Whether an answer came."""
        return self.at(role, "python3", "-c", ATTEMPT, kind, address, str(port), *more, check=False, timeout=20).returncode == 0

    def flood(self, address, count, size=8, own=True, role="renter"):
        """How many of so many datagrams were answered; each from a port of its own is a connection of its own to the kernel."""
        return int(self.at(role, "python3", "-c", FLOOD, address, count, size, "own" if own else "one", timeout=60).stdout)

    def gives(self, role, other, address, comes):
        """How many bytes of 2 MiB arrive over TCP; one of the two connects to the other at an address."""
        waits = other if comes == role else role
        words = {role: "give", other: "take"}
        with subprocess.Popen(self.within(waits, "python3", "-c", PIPE, words[waits]), stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout.readline() == "ready\n"
                said = self.at(comes, "python3", "-c", PIPE, words[comes], address, timeout=60).stdout
                return int(said or process.communicate(timeout=60)[0])
            finally:
                process.kill()

    def dropped(self, chain):
        """Packets that each dropping rule of a chain has dropped, in order."""
        table = json.loads(self.at("device", "nft", "-j", "list", "chain", "inet", "sublet-sublet0", chain).stdout)["nftables"]
        rules = [entry["rule"]["expr"] for entry in table if "rule" in entry]
        return [part["counter"]["packets"] for rule in rules if {"drop": None} in rule for part in rule if "counter" in part]

    def close(self):
        for server in self.servers.values():
            server.kill()
            server.wait()
        for name in self.names.values():
            run("ip", "netns", "delete", name, check=False)


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
}


@pytest.mark.parametrize("what", TRIES)
def test_what_a_renter_tries(net, what):
    may, *words = TRIES[what]
    before = {role: net.heard(role) for role in net.servers}
    assert net.reaches(*words) == may
    if not may:
        assert {role: net.heard(role) for role in net.servers} == before, "no answer came, but something arrived"


def test_ping(net):
    assert net.reaches("ping", "45.45.45.45")
    for address in ("192.168.77.1", "192.168.77.2", "10.213.77.1", "2001:db8:213::1", "2001:db8:77::2", "2001:db8:45::45"):
        assert not net.reaches("ping", address), address


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
    counts = {chain: net.dropped(chain) for chain in ("outward", "host", "inward")}
    print(counts)
    assert all(count > 0 for counted in counts.values() for count in counted), counts
    assert sum(map(len, counts.values())) == 6


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
