"""A cable between this host and a virtual machine, and a relay that hands its connections on.

A device knows its market by an address of loopback, because http goes no further (see docs/device-config.md). In a virtual machine
loopback is another one. So both ends of the cable have a relay: what connects to a port of the machine's 127.0.0.1 comes out at the
same port of the host's. Ordinary sockets; no rule of a firewall, no route and no setting of the host is touched.
"""

import contextlib
import ctypes
import os
import socket
import threading

from world import run

# Of documentation (RFC 5737), so nobody's; and it is seen only in the cable's own network namespace.
HOST, GUEST = "198.51.100.1", "198.51.100.2"
LENGTH = "/30"
NEW_NETWORK = 0x40000000  # CLONE_NEWNET

_c = ctypes.CDLL(None, use_errno=True)


def _succeeds(name, result):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def listen(address, port):
    """A socket that listens, in the network namespace of the thread that calls."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(64)
    return listener


class Relay:
    """Hands what connects to its listeners on to (address, port), in threads of this process and in their network namespace."""

    def __init__(self):
        self.listeners = []
        self.open = set()
        self.lock = threading.Lock()

    def add(self, listener, address, port):
        self.listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener, (address, port)), daemon=True).start()

    def _accept(self, listener, there):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._connect, args=(near, there), daemon=True).start()

    def _connect(self, near, there):
        with near:
            try:
                far = socket.create_connection(there, timeout=10)
            except OSError:  # nobody listens: the caller sees an end, as it would of a server that is gone
                return
            with far:
                far.settimeout(None)
                with self.lock:
                    self.open |= {near, far}
                back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
                back.start()
                self._pump(near, far)
                back.join()
                with self.lock:
                    self.open -= {near, far}

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        """Closes the listeners, and every connection with them."""
        with self.lock:
            for each in [*self.listeners, *self.open]:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for listener in self.listeners:
                listener.close()
            self.listeners = []


class Cable:
    """A TAP device in a network namespace that has no name and no file: it is gone with the last process and socket in it."""

    def __init__(self, name, ports):
        """Makes the device and listens on its address, on each of the ports, for the host's 127.0.0.1."""
        self.name = name
        self.relay = Relay()
        self.inside = None
        self.outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        listeners = []
        try:
            _succeeds("unshare", _c.unshare(NEW_NETWORK))
            self.inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            for words in (
                ["tuntap", "add", name, "mode", "tap"], ["address", "add", HOST + LENGTH, "dev", name], ["link", "set", name, "up"]
            ):
                run("ip", *words)
            listeners = [(listen(HOST, port), port) for port in ports]
        finally:
            self._enter(self.outside)
        # Threads begin here, outside: their connections are the host's.
        for listener, port in listeners:
            self.relay.add(listener, "127.0.0.1", port)

    @staticmethod
    def _enter(namespace):
        _succeeds("setns", _c.setns(namespace, NEW_NETWORK))

    @contextlib.contextmanager
    def entered(self):
        """What is started within is started at the cable's end."""
        self._enter(self.inside)
        try:
            yield
        finally:
            self._enter(self.outside)

    def remove(self):
        self.relay.close()
        for descriptor in (self.inside, self.outside):
            if descriptor is not None:
                os.close(descriptor)
        self.inside = self.outside = None
