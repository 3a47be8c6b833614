"""TCP ports of loopback: free ones, and a foreign program that takes one."""

import random
import socket
import time


def free_port():
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_port_range(count):
    """`count` neighbouring ports that nobody listens on now; another world that looks at the same time looks elsewhere."""
    start = random.randrange(0, 10000 // count) * count
    for offset in range(0, 10000, count):
        first = 21000 + (start + offset) % 10000
        sockets = []
        try:
            for port in range(first, first + count):
                probe = socket.socket()
                sockets.append(probe)
                probe.bind(("127.0.0.1", port))
            return first, first + count - 1
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
    raise OSError("no free range of ports")


class Occupant:
    """A foreign program that listens on a port."""

    def __init__(self, port, address="127.0.0.1", seconds=10):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        end = time.monotonic() + seconds
        while True:
            try:
                self.socket.bind((address, port))
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        self.socket.listen(1)

    def remove(self):
        self.socket.close()
