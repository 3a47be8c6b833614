"""What the owner's network says to a device: names, the time, and a captive portal. QEMU's user network hands the guest's questions to this host."""

import os
import random
import socket
import ssl
import struct
import subprocess
import threading
import time

from world import Trouble


def asking(address, folder):
    """Words before QEMU's own: it asks the name server there, for it asks the one of its own resolv.conf."""
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {address}\n")
    return ("unshare", "--mount", "sh", "-c", f'mount --bind {resolver} /etc/resolv.conf && exec "$@"', "sh")


def free_address():
    """One of loopback's, for a name server: others of this host have theirs."""
    return f"127.53.{random.randrange(1, 255)}.{random.randrange(1, 255)}"


class Datagrams:
    """Answers datagrams on a port of loopback, from a thread."""

    def __init__(self, address, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind((address, port))
        except OSError as error:
            raise Trouble(f"{address} port {port}: {error.strerror}; does another rig run on this host?") from error
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
                answer = self.answer(question)
                if answer:
                    self.socket.sendto(answer, peer)
            except OSError:
                if self.socket.fileno() < 0:
                    return

    def end(self):
        self.socket.close()


class Names(Datagrams):
    """A name server (RFC 1035). `say` is what it tells: a function from a name to an IPv4 address, None for one that does not exist; or None, and
    it does not answer at all. `asked` are the names it was asked for."""

    def __init__(self, address):
        self.say, self.asked = None, []
        super().__init__(address, 53)

    def answer(self, question):
        say = self.say
        if say is None:
            return None
        try:
            name, asked, kind = self.read(question)
        except (IndexError, struct.error):
            # Cut off.
            return None
        self.asked.append(name)
        address = say(name)
        found = struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address) if address and kind == 1 else b""
        return question[:2] + struct.pack(">HHHHH", 0x8180 if address else 0x8183, 1, 1 if found else 0, 0, 0) + asked + found

    @staticmethod
    def read(question):
        """The name that is asked for, the bytes that ask for it, and the kind."""
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode(errors="replace"))
            at += 1 + question[at]
        kind, _ = struct.unpack(">HH", question[at + 1 : at + 5])
        return ".".join(labels).lower(), question[12 : at + 5], kind


class TimeServer(Datagrams):
    """An NTP server (RFC 5905) with this host's time, which answers while `is_up`."""

    def __init__(self):
        self.is_up = True
        super().__init__("127.0.0.1", 123)

    def answer(self, question):
        if not self.is_up or len(question) < 48:
            return None
        now = time.time() + 2_208_988_800
        stamp = struct.pack(">II", int(now), int(now % 1 * (1 << 32)))
        return struct.pack(">BBbbII4s", 0x24, 2, 6, -20, 0, 0, b"\x7f\0\0\1") + stamp + question[40:48] + stamp + stamp


class Portal:
    """What a captive portal has on every address, here on the market's port: a page, and a certificate of its own."""

    page = b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def __init__(self, folder, port):
        files = folder / "portal.crt", folder / "portal.key"
        words = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=login.example"
        subprocess.run(["openssl", "req", *words.split(), "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(*map(os.fspath, files))
        self.socket = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.greet, args=(link,), daemon=True).start()

    def greet(self, link):
        try:
            link.settimeout(20)
            with self.tls.wrap_socket(link, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(self.page)
        except OSError:
            link.close()

    def end(self):
        # accept() goes on in a socket that is only closed.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
