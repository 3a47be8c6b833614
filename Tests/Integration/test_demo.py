"""What the demo stands on: the cable to its virtual machine, and the question whether this kernel encrypts.

The demo itself is its own test: it fails where anything that it shows is not so (see Tests/Demo/demo).
"""

import os
import pathlib
import socket
import sys
import threading

import pytest
from ports import free_port
from world import ROOT, run, wait_for

sys.path.insert(0, str(ROOT / "Tests" / "Demo"))
import wire  # noqa: E402

needs_tun = pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs /dev/net/tun")
NAME = f"sl{os.getpid() % 100000}tap"


class Greeter:
    """A service on the host's loopback that says hello, takes what comes until its end, and says how much that was."""

    def __init__(self):
        self.listener = wire.listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return
            with caller:
                caller.sendall(b"hello\n")
                count = 0
                while part := caller.recv(65536):
                    count += len(part)
                caller.sendall(str(count).encode())

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as call:
    greeting = call.recv(6)
    call.sendall(bytes(3_000_000))
    call.shutdown(socket.SHUT_WR)
    print(greeting.decode().strip(), call.makefile().read())
"""


def call(port, address=wire.HOST):
    return run("/usr/bin/python3", "-c", CALL, address, port, check=False, timeout=30)


@pytest.fixture
def greeter():
    greeter = Greeter()
    yield greeter
    greeter.close()


@pytest.fixture
def cable(greeter):
    dead = free_port()
    cable = wire.Cable(NAME, [greeter.port, dead])
    cable.dead = dead
    with cable.entered():
        run("ip", "link", "set", "lo", "up")
    yield cable
    cable.remove()


@needs_tun
def test_the_cable_carries_to_the_hosts_loopback(cable, greeter):
    """From the cable's end a port of its address is that of the host's loopback, both ways, to the last byte."""
    with cable.entered():
        done = call(greeter.port)
        assert run("ip", "-br", "link", "show", NAME).stdout.startswith(NAME)
    assert done.stdout.split() == ["hello", "3000000"], done
    # Nobody behind it: the caller's connection ends.
    with cable.entered():
        assert "hello" not in call(cable.dead).stdout


@needs_tun
def test_the_host_has_no_part_in_the_cable(cable, greeter):
    """Neither its device nor its address is the host's; and back on the host we are where we were."""
    assert not pathlib.Path("/sys/class/net", NAME).exists()
    assert f"{wire.HOST}/" not in run("ip", "address").stdout
    assert call(greeter.port, "127.0.0.1").stdout.split() == ["hello", "3000000"]


@needs_tun
def test_removing_a_cable_ends_what_goes_over_it(greeter):
    """A connection that is open when the cable is removed ends, on the host too; else the demo would find its own ports in use."""
    cable = wire.Cable(NAME, [greeter.port])
    with cable.entered():
        run("ip", "link", "set", "lo", "up")
        call = socket.create_connection((wire.HOST, greeter.port), timeout=10)
    with call:
        assert call.recv(6) == b"hello\n" and connections(greeter.port)
        cable.remove()
        assert call.recv(1) == b""
        wait_for("the host's end to end", lambda: not connections(greeter.port), 10)


def connections(port):
    """Established connections to a port of the host's loopback."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [line for line in lines if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01"]


def test_where_a_drive_is_encrypted():
    """`host` exactly where this kernel has dm-crypt, by another's word; `none` only where it is asked for."""
    script = ROOT / "board" / "host" / "encryption"
    targets = run("dmsetup", "targets", check=False).stdout.split()
    assert run(script).stdout.strip() == ("host" if "crypt" in targets else "rig")
    assert run(script, env={**os.environ, "PLAIN": "1"}).stdout.strip() == "none"


@needs_tun
def test_no_tap_is_one_line_with_two_ways_out():
    """Without /dev/net/tun: 69, how to get it, and how to see the demo without."""
    script = ROOT / "board" / "host" / "check-kernel"
    assert run(script, "--rig", check=False).returncode == 0
    done = run("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$0" --rig', script, check=False)
    assert done.returncode == 69 and len(done.stderr.splitlines()) == 1
    assert all(words in done.stderr for words in ("/dev/net/tun", "modprobe tun", "PLAIN=1"))
