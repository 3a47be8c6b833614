"""The device: QEMU, started from a card as it would be flashed."""

import base64
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "Tests" / "Integration"), str(TESTS / "pi-rig")]
from keyboard import watch  # noqa: E402
from monitor import Monitor, pattern_of  # noqa: E402
from world import Trouble, run, wait_for  # noqa: E402

FAT = 1 << 20
# Where the lamp is on a Pi: pin 11 of its header.
LAMP = 17
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
UEFI = "/usr/share/OVMF/OVMF_%s_4M.fd"


def is_pi(board):
    """Whether a board is a Raspberry Pi: it has GPIO lines, numbered sockets, and no clock that goes on while it is off."""
    return board.startswith("pi-")


def boot_config(text, model):
    """What config.txt says for a model: the lines for all, and those in its own section."""
    section, found = "all", {}
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section in ("all", model) and line and line[0] != "#":
            key, value = re.split("[= ]", line, maxsplit=1)
            found[key] = value
    return found


class Machine:
    """The device: QEMU, started from a card, heard on its serial console."""

    def __init__(self, folder, card, board, certificate, uefi=False, forward="", before=(), more=(), virt=False):
        """`forward` is what QEMU's user network lets in, as an option of -netdev; `before` are words before QEMU's own, `more` those behind. The device
        believes `certificate`."""
        self.folder, self.card, self.board, self.uefi, self.forward, self.is_virt = folder, card, board, uefi, forward, virt
        self.lines = []
        self.console = folder / "console.log"
        self.authority = pathlib.Path(certificate).read_text()
        words = self.virt() if virt else getattr(self, board.replace("-", "_"))()
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            # It ends with the thread that starts it, however that ends: the rig's main one.
            ["setpriv", "--pdeathsig", "KILL", "nice", "-n", "10", *map(str, [*before, *words, *more])]
            + ["-display", "none", "-monitor", "none", "-qmp", f"unix:{self.qmp},server=on,wait=off"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        threading.Thread(target=self.listen, daemon=True).start()

    @property
    def qmp(self):
        return self.folder / "qmp"

    @property
    def vnc(self):
        return self.folder / "vnc"

    @property
    def has_lines(self):
        return is_pi(self.board) and not self.is_virt

    def credential(self):
        """For systemd-tmpfiles: adds our authority to those of the root, in RAM."""
        text = base64.b64encode(self.authority.encode()).decode()
        return base64.b64encode(f"w+~ {AUTHORITIES} - - - - {text}\n".encode()).decode()

    def firmware(self):
        """Words for UEFI, whose variables are a file of this run's own; none for BIOS."""
        if not self.uefi:
            return []
        variables = shutil.copy(UEFI % "VARS", self.folder / "variables.fd")
        drive = "if=pflash,format=raw,file="
        return ["-drive", f"{drive}{UEFI % 'CODE'},readonly=on", "-drive", drive + str(variables)]

    def virtualbox_amd64(self):
        """As VirtualBox does it: a SATA disk, an Intel network card, BIOS or UEFI."""
        return [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "Nehalem", "-smp", "2", "-m", "1024", "-nodefaults",
            *self.disks(),
            "-nic", "user,id=net,model=e1000" + self.forward, "-device", "qemu-xhci,id=usb,p2=8,p3=8", "-device", "virtio-rng-pci", "-serial", "stdio",
            "-vnc", f"unix:{self.vnc}",
            "-smbios", f"type=11,value=io.systemd.credential.binary:tmpfiles.extra={self.credential()}", *self.firmware(),
        ]  # fmt: skip

    def disks(self):
        """The card alone, or what is in an appliance: system, drive, CD."""
        if self.card.suffix == ".img":
            return ["-drive", f"if=none,id=card,file={self.card},format=raw,cache=unsafe", "-device", "ide-hd,drive=card"]
        words = []
        for number, (name, kind, form) in enumerate((("system", "hd", "qcow2"), ("lease", "hd", "qcow2"), ("seed", "cd", "raw"))):
            file = self.card.with_name(name + (".iso" if kind == "cd" else ".qcow2"))
            words += ["-drive", f"if=none,id={name},file={file},format={form},cache=unsafe"]
            words += ["-device", f"ide-{kind},drive={name},bus=ide.{number}"]
        return words

    def take(self, *names, start=FAT):
        """Files of a FAT partition of the card, which begins at byte `start`: the folder that they are in now."""
        boot = self.folder / "boot"
        boot.mkdir(exist_ok=True)
        run("mcopy", "-n", "-i", f"{self.card}@@{start}", *("::" + name for name in names), boot)
        return boot

    def pi_arm64(self):
        """QEMU does not run the Pi's firmware: what that would load from the FAT partition, U-Boot and a device tree, is taken from there, by its
        config.txt. The rest, from the script that chooses a system on, U-Boot finds on the card by itself."""
        boot = self.take("config.txt", "cmdline.txt")
        config = boot_config((boot / "config.txt").read_text(), "pi3")
        kernel, tree = config["kernel"], "bcm2837-rpi-3-b.dtb"
        self.take(kernel, tree)
        # QEMU's chip takes the start of its watchdog for the end of its time, and starts anew at once.
        line = (boot / "cmdline.txt").read_text().strip() + " systemd.watchdog_sec=0 systemd.set_credential_binary=tmpfiles.extra:" + self.credential()
        return [
            "qemu-system-aarch64", "-M", "raspi3b", "-kernel", boot / kernel, "-dtb", boot / tree, "-append", line,
            "-drive", f"file={self.card},format=raw,if=sd,cache=unsafe", "-device", "usb-hub,id=hub,port=1",
            "-netdev", "user,id=net" + self.forward, "-device", "usb-net,netdev=net,port=1.1", "-serial", "null", "-serial", "stdio",
        ]  # fmt: skip

    # The programs are 32-bit, the kernel for a Pi 3 is not.
    pi_armhf = pi_arm64

    def virt(self):
        """The kernel for a Pi 2, which is 32-bit: QEMU's raspi2b does not carry it, so this is QEMU's own board, whose SD card and USB are on PCI. No
        U-Boot: kernel, initrd and words are taken from the card."""
        kernel_a = int(run("partx", "-g", "-o", "START", "--nr", "6", self.card).stdout) << 9
        self.take("vmlinuz-armmp", "initrd-armmp", start=kernel_a)
        boot = self.take("cmdline.txt")
        # The last console is systemd's, and this board has one serial line.
        line = (boot / "cmdline.txt").read_text().strip() + " console=ttyAMA0,115200 root=PARTUUID=5b1e7000-02 rauc.slot=A"
        # A 32-bit ARM kernel takes 1023 bytes: too few for the certificate as it is packed for the others.
        line += f' systemd.set_credential=tmpfiles.extra:"w+ {AUTHORITIES} - - - - {self.authority.encode("unicode_escape").decode()}"'
        return [
            "qemu-system-arm", "-M", "virt,highmem=off", "-cpu", "cortex-a7", "-smp", "2", "-m", "1024", "-nodefaults",
            "-kernel", boot / "vmlinuz-armmp", "-initrd", boot / "initrd-armmp", "-append", line,
            "-device", "sdhci-pci", "-drive", f"if=none,id=card,file={self.card},format=raw,cache=unsafe", "-device", "sd-card,drive=card",
            "-device", "qemu-xhci,id=usb,p2=8,p3=8", "-netdev", "user,id=net" + self.forward, "-device", "usb-net,netdev=net", "-serial", "stdio",
        ]  # fmt: skip

    def listen(self):
        with open(self.console, "wb") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                self.lines.append((self.age(), line.decode(errors="replace").rstrip()))

    def age(self):
        return time.monotonic() - self.began

    def hears(self, pattern, seconds, count=1):
        """When the console has shown a text so often."""
        wanted = re.compile(pattern)

        def heard():
            found = [moment for moment, line in list(self.lines) if wanted.search(line)]
            if len(found) < count and self.process.poll() is not None:
                raise Trouble(f"the machine ended while waiting for {pattern}")
            return found[count - 1 :]

        return wait_for(f"'{pattern}' on the console", heard, seconds, 0.2)[0]

    def plug_words(self, file, serial, port="1.2"):
        """The command that puts a stick into a free socket; a Pi's sockets have numbers."""
        place = ["--bus", "usb-bus.0", "--port", port] if self.has_lines else []
        return [TESTS / "slow-rig" / "usb", "--qmp", self.qmp, "plug", file, "--serial", serial, "--removable", *place]

    def plug(self, *words):
        run(*self.plug_words(*words))

    def lamp(self):
        """What the lamp shows, seen from outside for six seconds: a GPIO line by the chip's registers, or the keyboard's scroll lock LED."""
        if not self.has_lines:
            return pattern_of(watch(self.vnc, 6.5))
        with contextlib.closing(Monitor(self.qmp)) as monitor:
            return monitor.pattern(LAMP)

    def shows(self, pattern, seconds=120):
        """Waits until the lamp does."""
        seen, end = [], self.age() + seconds
        while pattern not in seen:
            if self.age() > end:
                raise Trouble(f"the lamp{f' on line {LAMP}' if self.has_lines else ''} should show {pattern}; it was {seen}")
            seen.append(self.lamp())

    def cut(self):
        """The plug is pulled."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
