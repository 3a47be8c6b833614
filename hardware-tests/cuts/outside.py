"""What stands outside of the device whose power is cut, and stays up: the market, its tunnel server and the renter."""

import hashlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Tests" / "Integration"))
from world import Market, Trouble, TunnelServer, Workspace, run, ssh  # noqa: E402

US, DEVICE, LINK = "10.213.78.1", "10.213.78.2", "sublet-cuts0"
MARKER_BYTES = 2 << 20


class Outside:
    """Market and tunnel server on one end of a link; the device is at the other. The network namespace is ours: ports may be fixed."""

    def __init__(self):
        self.space = Workspace("cuts")
        self.market, self.sshd = Market(self.space, check_in=2, port=8080), None
        self.lock, self.is_frozen = threading.Lock(), False

    def build(self, kept=None):
        """The link, the records (new, or as they were kept), the tunnel server's key."""
        run("ip", "link", "set", "lo", "up")
        run("ip", "tuntap", "add", LINK, "mode", "tap")
        run("ip", "addr", "add", f"{US}/30", "dev", LINK)
        run("ip", "link", "set", LINK, "up")
        self.market.address = US
        # The device reaches it as its own port 8080 (see guest): nothing here is a network that needs TLS.
        self.market.arguments = ["--behind-tls-front"]
        if kept:
            shutil.copytree(kept / "market", self.market.data)
        self.sshd = TunnelServer(self.space, self.market)
        self.sshd.address = self.sshd.bind = US
        self.sshd.port, self.sshd.ports = 2222, (21000, 21029)
        self.sshd.host_key = self.space.disk / "host_ed25519"
        if kept:
            shutil.copy2(kept / "host_ed25519", self.sshd.host_key)
            shutil.copy2(kept / "host_ed25519.pub", f"{self.sshd.host_key}.pub")
        self.sshd.prepare()
        # A link that is gone is noticed after seconds here, not after 90: nobody wants to wait for it 300 times.
        text = self.sshd.config.read_text().replace("ClientAliveInterval 30", "ClientAliveInterval 1")
        self.sshd.config.write_text(text)

    def add_device(self):
        """A new device's configuration."""
        self.market.command("owner", "add", "olga")
        return self.market.add_device("rig", "http://127.0.0.1:8080")

    def start(self):
        self.market.start()
        self.sshd.start()

    def end(self):
        self.thaw()
        if self.sshd:
            self.sshd.end()
        self.market.end()

    def freeze(self):
        """The market says nothing more: so nothing new begins on the device while we look at what an erase has left."""
        with self.lock:
            if not self.is_frozen:
                os.kill(self.market.process.pid, signal.SIGSTOP)
            self.is_frozen = True

    def thaw(self):
        with self.lock:
            if self.is_frozen:
                os.kill(self.market.process.pid, signal.SIGCONT)
            self.is_frozen = False

    def keep(self, folder):
        """A copy of the records as they are now."""
        (folder / "market").mkdir()
        with sqlite3.connect(self.market.data / "market.db") as live, sqlite3.connect(folder / "market" / "market.db") as copy:
            live.backup(copy)
        for name in ("host_ed25519", "host_ed25519.pub"):
            shutil.copy2(self.space.disk / name, folder / name)

    def move_time(self, seconds):
        """What was kept then is looked at now: the end of a lease that ran then lies as far ahead as it did."""
        with sqlite3.connect(self.market.data / "market.db") as records:
            records.execute("UPDATE lease SET expires = expires + ? WHERE state = 'rented'", (seconds,))

    def rent(self, duration):
        """The account, or None while the market has nothing to rent out."""
        return self.market.try_rent("rig", duration)

    def check_receipt(self, lease):
        """The wipe receipt of a lease: what was checked. None while there is none; Trouble where it is not good."""
        done = self.market.command("receipt", "show", lease, check=False)
        if done.returncode != 0 or not done.stdout:
            return None
        path = self.space.folder / f"receipt-{lease}.json"
        path.write_text(done.stdout)
        self.market.command("receipt", "verify", path)
        statement = json.loads(json.loads(done.stdout)["statement"])
        if statement["lease"] != lease:
            raise Trouble(f"the receipt of {lease} is about {statement['lease']}")
        return statement["erase"]["checks"]


def marker_digest(marker):
    return hashlib.sha256((f"{marker}\n".encode() * (MARKER_BYTES // len(marker)))[:MARKER_BYTES]).hexdigest()


class Renter:
    """Who writes to the machine, and afterwards knows what was said to be on the drive for good."""

    # A number in /data and at home, which is in the machine's own layer; both synced before it is told: n is there, or a later one.
    COUNT = """
        n=$(cat /data/n 2>/dev/null || echo 0)
        while sleep 0.1; do
            n=$((n+1))
            for place in /data ~; do
                cd $place && echo $n >n.new && sync n.new && mv n.new n && sync . || exit 1
            done
            echo $n
        done"""
    # As root: a package of twenty files, made, installed over the one before, and told when dpkg has it; and between two, files that come and go.
    INSTALL = """
        mkdir -p /root/busy/DEBIAN /root/busy/opt/busy && cd /root || exit 1
        n=$(dpkg-query -W -f '${Version}' busy 2>/dev/null || echo 0)
        while n=$((n+1)); do
            printf 'Package: busy\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: busy\n' $n >busy/DEBIAN/control
            for file in $(seq 20); do echo $n $file >busy/opt/busy/$file; done
            dpkg-deb -Znone --root-owner-group -b busy busy.new >/dev/null && sync busy.new && mv busy.new busy.deb || exit 1
            dpkg -i busy.deb >/dev/null && echo $n || exit 1
            rm -rf /var/tmp/layer && cp -a busy /var/tmp/layer || exit 1
        done"""
    # What a cut in that may leave: a package to be installed again, but none older than what was told, and no other damage.
    MEND = """
        cd /root && dpkg-query -W -f '${Version} ' busy || exit 1
        dpkg --configure -a >/dev/null 2>&1
        dpkg -i busy.deb >/dev/null || exit 1
        dpkg --audit; dpkg --verify busy; cat /opt/busy/1; cat /opt/busy/* | wc -l"""

    def __init__(self, access):
        self.access = access
        self.processes = []
        self.counted = self.installed = 0

    def login(self, command):
        """Runs a command in the rented machine; None where that failed, or came to no end: the power may go while somebody logs in."""
        try:
            done = ssh(self.access, command, check=False, timeout=40)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout if done.returncode == 0 else None

    def write(self, marker):
        """Writes the marker to /data and at home, synced. True where all of it was told to be done."""
        text = self.login(f"yes {marker} | head -c {MARKER_BYTES} >/data/marker && cp /data/marker ~/marker && sync && sha256sum <~/marker")
        return text is not None and text.split()[0] == marker_digest(marker)

    def ask_host_key(self):
        done = run("ssh-keyscan", "-T", "10", "-p", self.access["sshPort"], "-t", "ed25519", self.access["host"], check=False)
        return done.stdout

    def start_counting(self):
        self._start(self.COUNT, "counted")

    def start_installing(self):
        self._start(self.INSTALL, "installed")

    def _start(self, script, counter):
        """Runs a script that tells a number over and over; as root where that is what it needs."""
        command = script if counter == "counted" else f"sudo -S -p '' sh -c {shlex.quote(script)}"
        words = [
            "sshpass", "-e", "ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "PubkeyAuthentication=no", "-p", str(self.access["sshPort"]), "-l", self.access["user"],
            self.access["host"], command,
        ]
        environment = {**os.environ, "SSHPASS": self.access["password"]}
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.processes.append(process)
        process.stdin.write(self.access["password"] + "\n")
        process.stdin.flush()
        threading.Thread(target=self._hear, args=(process, counter), daemon=True).start()

    def _hear(self, process, counter):
        for line in process.stdout:
            setattr(self, counter, int(line))

    def mend(self):
        """What dpkg says after a cut while it worked: the version that it knew, and the lines of MEND. None where that failed."""
        command = f"sudo -S -p '' sh -c {shlex.quote(self.MEND)}"
        try:
            done = ssh(self.access, command, check=False, timeout=120, input=self.access["password"] + "\n")
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.split(" ", 1) if done.returncode == 0 else None

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []
