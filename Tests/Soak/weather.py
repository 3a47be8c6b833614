"""Outages: the market does not answer, the tunnel server ends, or nothing at all comes through, over and over."""

import contextlib
import random
import threading
import time

from proxy import Proxy
from world import run


class Weather(threading.Thread):
    """Takes something away for a while, over and over; `up` and `down` are the ranges of seconds between outages and in them."""

    def __init__(self, house, proxy, clock, up, down):
        super().__init__(daemon=True)
        self.house, self.proxy, self.clock = house, proxy, clock
        self.up, self.down = up, down
        self.is_over = threading.Event()
        # Held in an outage; who holds it has fine weather.
        self.fine = threading.Lock()
        self.count = 0
        self.away = 0.0
        self.error = None

    def sleep(self, bounds):
        end = self.clock.now() + random.uniform(*bounds)
        while self.clock.now() < end and not self.is_over.is_set():
            time.sleep(0.01)

    def run(self):
        outages = [self.no_market, self.no_tunnel_server, self.no_network]
        try:
            while not self.is_over.is_set():
                self.sleep(self.up)
                with self.fine:
                    if self.is_over.is_set():
                        return
                    began = self.clock.now()
                    with outages[self.count % 3]():
                        self.sleep(self.down)
                    self.count += 1
                    self.away += self.clock.now() - began
        except BaseException as error:
            self.error = error
            raise

    @contextlib.contextmanager
    def no_market(self):
        """Its port is shut: connections are refused."""
        with self.proxy.lying(Proxy.refuse):
            yield

    @contextlib.contextmanager
    def no_tunnel_server(self):
        """sshd and all of its sessions are gone."""
        self.house.sshd.end()
        try:
            yield
        finally:
            self.house.sshd.start()

    @contextlib.contextmanager
    def no_network(self):
        """Every packet to and from both vanishes, also of connections that stand."""
        table = f"inet {self.house.space.name}"
        ports = f"{{ {self.proxy.port}, {self.house.sshd.port} }}"
        rules = f"tcp dport {ports} drop\ntcp sport {ports} drop"
        run("nft", "-f", "-", input=f"table {table} {{\nchain out {{\ntype filter hook output priority 0\n{rules}\n}}\n}}\n")
        try:
            yield
        finally:
            run("nft", f"delete table {table}")

    def end(self):
        """The last outage ends; what went wrong in one is raised."""
        self.is_over.set()
        self.join()
        if self.error:
            raise self.error
