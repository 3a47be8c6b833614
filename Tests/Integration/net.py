"""Four network namespaces for the fence: the device, the renter's machine, the owner's network with its router, and the internet behind it.

    renter (10.213.77.2) -- sublet0 -- device (192.168.77.2) -- owner's network -- router (192.168.77.1) -- internet (45.45.45.45)
"""

import json
import os
import re
import subprocess

import world
from world import run, wait_for

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
PORTS = ("22", "25", "53", "80", "587")
# The rules that drop, by chain, in their order: what each stops.
WALLS = {"outward": ("IPv6", "a false source", "a closed address", "mail"), "host": ("the device itself",), "inward": ("not asked for",)}


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
        # Who answers as mDNS does; the kernel lets nobody's groups fall before any wall sees it.
        self.at("device", "ip", "address", "add", "224.0.0.251/32", "dev", "sublet0", "autojoin")
        self.at("device", "ip", "link", "set", "sublet0", "up")
        # What it says by itself is not what a test has tried.
        self.at("renter", "sysctl", "-qw", "net.ipv6.conf.default.router_solicitations=0")
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

    def walls(self):
        """Packets that each wall has dropped."""
        return {wall: packets for chain, walls in WALLS.items() for wall, packets in zip(walls, self.dropped(chain), strict=True)}

    def close(self):
        for server in self.servers.values():
            server.kill()
            server.wait()
        for name in self.names.values():
            run("ip", "netns", "delete", name, check=False)
