"""The market's TLS front: a real nginx, configured by board/market/nginx.conf."""

import os
import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from proxy import ask
from world import ROOT, Service, run, wait_for

WAITING = '{"reason": "a test"}'


class Front(Service):
    """nginx, on a port of loopback, with a certificate of its own making for a name; `environment` is for who makes that."""

    def __init__(self, space, market, name="DNS:localhost", days=2, **environment):
        super().__init__(space.folder / "front.log", space)
        self.port = space.port()
        self.certificate, key = space.folder / "front.crt", space.folder / "front.key"
        words = f"-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} -subj /CN=front -addext subjectAltName={name}"
        run("openssl", "req", *words.split(), "-keyout", key, "-out", self.certificate, env={**os.environ, **environment})
        places = {
            "USER": "www-data", "PID_FILE": space.folder / "front.pid", "LOG": self.log, "MARKET": f"127.0.0.1:{market.port}",
            "LISTEN": f"127.0.0.1:{self.port}", "CERTIFICATE": self.certificate, "KEY": key,
        }
        self.config = space.folder / "nginx.conf"
        self.config.write_text(re.sub("@([A-Z_]+)@", lambda found: str(places[found[1]]), (ROOT / "board/market/nginx.conf").read_text()))
        self.tls = ssl.create_default_context(cafile=self.certificate)

    def start(self):
        self.launch(["nginx", "-c", self.config, "-g", "daemon off;"])
        wait_for("the front to listen", lambda: self.connects() or not self.is_running, 20)
        assert self.is_running, self.text()

    def connects(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def link(self):
        """A connection through TLS, for what is no proper request."""
        return self.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 45), server_hostname="localhost")

    def ask(self, config, kind="waiting", body=WAITING, nonce=None):
        return ask(self.port, config, kind, body, nonce=nonce, tls=self.tls)

    def statuses(self, configs):
        """What many messages at once are answered."""
        with ThreadPoolExecutor(16) as pool:
            return [answer.status for answer in pool.map(self.ask, configs)]
