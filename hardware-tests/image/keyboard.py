"""The scroll lock LED of a PC's keyboard, from outside: QEMU tells whoever watches its screen by VNC what the guest has lit."""

import contextlib
import select
import socket
import struct
import time

SCROLL_LOCK = 1
# RFB's number for the keyboard's LEDs.
LED_STATE = -261


class Keyboard:
    """A connection to QEMU's VNC socket."""

    def __init__(self, path):
        self.vnc = socket.socket(socket.AF_UNIX)
        self.vnc.settimeout(60)
        self.vnc.connect(str(path))
        self.level = None
        self.greet()

    def close(self):
        self.vnc.close()

    def take(self, length):
        taken = b""
        while len(taken) < length:
            part = self.vnc.recv(length - len(taken))
            if not part:
                raise OSError("the machine ended")
            taken += part
        return taken

    def greet(self):
        """RFB 3.8 without a password; nothing but the LEDs is asked for."""
        self.vnc.sendall(self.take(12))
        self.take(self.take(1)[0])
        self.vnc.sendall(b"\1")
        if self.take(4) != bytes(4):
            raise OSError("VNC: refused")
        self.vnc.sendall(b"\1")
        self.take(struct.unpack(">20xI", self.take(24))[0])
        self.vnc.sendall(struct.pack(">BxHi", 2, 1, LED_STATE))
        self.level = self.told()

    def told(self):
        """The LED by the next message."""
        kind, rectangles = struct.unpack(">BxH", self.take(4))
        if kind != 0 or rectangles != 1 or struct.unpack(">8xi", self.take(12))[0] != LED_STATE:
            raise OSError("VNC: not what was asked for")
        return bool(self.take(1)[0] & SCROLL_LOCK)

    def watch(self, seconds):
        """How long it was lit and dark in turn, in seconds: (lit, length); the first and last are cut off."""
        runs, since = [], time.monotonic()
        end = since + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.vnc], [], [], left)[0]:
                break
            level, now = self.told(), time.monotonic()
            if level != self.level:
                runs.append((self.level, now - since))
                self.level, since = level, now
        return runs[1:] if runs else [(self.level, seconds)]


def watch(path, seconds):
    with contextlib.closing(Keyboard(path)) as keyboard:
        return keyboard.watch(seconds)
