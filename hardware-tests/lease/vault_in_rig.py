#!/usr/bin/python3
"""The renter's vault on a real dm-crypt, told in chapters; each is one boot of the fast rig (see ../vault.bats).

    vault_in_rig.py CHAPTER
"""

import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import time

from world_in_rig import BRIDGE, CARD, DRIVE, IO, MAPPER, Trouble, World, at, await_power_cut, expect, run, say, tell_chapter, wait_for

VAULT = f"/dev/mapper/{BRIDGE}-vault"
SIZE_MIB = 160
WRONG = 1000


def search(path, needles):
    """How often each stands in a file or device, from its beginning to its end."""
    found, tail, overlap = [0] * len(needles), b"", max(len(needle) for needle in needles)
    with open(path, "rb", buffering=0) as file:
        while part := file.read(4 << 20):
            for index, needle in enumerate(needles):
                found[index] += (tail[-len(needle) + 1 :] + part).count(needle)
            tail = part[-overlap:]
    return found


def search_memory(pid, needle):
    """How often bytes stand in what a process has in its memory, of every mapping that can be read."""
    found = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in open(f"/proc/{pid}/maps"):
            bounds, mode, *rest = line.split()
            if mode[0] != "r" or rest[-1] in ("[vvar]", "[vsyscall]"):
                continue
            low, high = (int(number, 16) for number in bounds.split("-"))
            tail, offset = b"", low
            while offset < high:
                try:
                    memory.seek(offset)
                    part = memory.read(min(1 << 20, high - offset))
                except (OSError, ValueError):
                    break
                if not part:
                    break
                found += (tail + part).count(needle)
                tail, offset = part[-len(needle) + 1 :], offset + len(part)
    return found


class Renter:
    """What the renter does; and what must be true then."""

    def __init__(self, here, access):
        self.here, self.access, self.device = here, access, here.device
        self.socket, self.master = here.space.folder / "renter.ssh", None
        self.passphrase, self.marker, self.clear = (IO / "secrets").read_text().split()

    def ssh(self, command, check=True, **options):
        """Runs a command in the renter's machine, over one login for all: a login takes seconds here."""
        if not self.master or self.master.poll() is not None:
            self.log_in()
        return run("ssh", "-F", "none", "-S", self.socket, "-l", self.access["user"], self.access["host"], command, check=check, **options)

    def log_in(self):
        words = "-F none -M -N -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ServerAliveInterval=5"
        self.socket.unlink(missing_ok=True)
        self.master = subprocess.Popen(
            ["sshpass", "-e", "ssh", *words.split(), "-S", self.socket, "-p", str(self.access["sshPort"]), "-l", self.access["user"],
             self.access["host"]],
            env={**os.environ, "SSHPASS": self.access["password"]}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for("the login", lambda: self.socket.exists() or self.master.poll() is not None, 60)

    def vault(self, words, text="", check=True):
        """Runs `vault` in the renter's machine."""
        done = self.ssh("vault " + words, check=False, input=text)
        if check and done.returncode != 0:
            raise Trouble(f"vault {words}: status {done.returncode}: {done.stderr.strip()}")
        return done

    def open(self):
        self.vault("open", self.passphrase + "\n")

    def status(self):
        return json.loads(self.vault("status --json").stdout)

    def wait_for_login(self):
        wait_for("the login", lambda: self.ssh("true", check=False).returncode == 0, 120)

    def has_data(self, text):
        count = int(self.ssh(f"cat /vault/marker | grep -c {self.marker}").stdout)
        expect(count == 20_000, text)

    def is_closed(self, text):
        seen = self.ssh("vault status --json; ls -A /vault; grep ' /vault ' /proc/mounts | cut -d' ' -f1").stdout.splitlines()
        expect(json.loads(seen[0])["state"] == "closed", text + ": vault status says closed")
        expect(seen[1:] == [MAPPER], "nothing is in /vault, and nothing but the empty folder is mounted there")
        self.is_locked()

    def is_locked(self):
        expect(not os.path.exists(VAULT), "the volume is locked: nothing of it under /dev/mapper")
        loops = [path for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file") if "vault" in path.read_text()]
        expect(not loops, "no loop device is left")

    # What is shown.

    def create(self):
        began = time.monotonic()
        done = self.vault(f"create --size {SIZE_MIB}M", self.passphrase + "\n")
        say(f"vault create took {time.monotonic() - began:.1f} s: {done.stdout.strip()}")
        shown = self.ssh("grep ' /vault ' /proc/mounts; stat -c '%U %a' /vault; ls -A /vault").stdout.splitlines()
        source, _, kind, options = next(line for line in shown if line.startswith(VAULT)).split()[:4]
        expect(source == VAULT and kind == "ext4", "it is at /vault: ext4 on its own mapping")
        expect({"nosuid", "nodev"} <= set(options.split(",")), "mounted nosuid, nodev")
        expect(shown[-2] == f"{self.access['user']} 755", "it belongs to the renter")
        status = self.status()
        expect(status["state"] == "open" and status["sizeBytes"] == SIZE_MIB << 20, f"vault status says so: {status}")
        again = self.vault(f"create --size {SIZE_MIB}M", "another passphrase\n", check=False)
        expect(again.returncode == 73, "another one is refused")

    def show_volume(self):
        file = self.device.mount / "vault.luks"
        header = json.loads(run("cryptsetup", "luksDump", "--dump-json-metadata", file).stdout)
        slot, = header["keyslots"].values()
        derivation, segment = slot["kdf"], header["segments"]["0"]
        flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
        cipher = "aes-xts-plain64" if "aes" in flags else "xchacha12,aes-adiantum-plain64"
        expect(segment["encryption"] == cipher and segment["sector_size"] == 4096, f"LUKS2 with {cipher}, sectors of 4 KiB")
        expect(derivation["type"] == "argon2id" and 8192 <= derivation["memory"] <= 65536,
               f"Argon2id with {derivation['memory'] >> 10} MiB, {derivation['time']} rounds, {derivation['cpus']} at once")
        place = file.stat()
        expect((stat.S_IMODE(place.st_mode), place.st_uid) == (0o600, 0), "its file is root's alone")
        expect(place.st_blocks * 512 >= place.st_size == SIZE_MIB << 20, "all its bytes are reserved on the drive")
        seen = self.ssh("find / -xdev -name 'vault.luks*' 2>/dev/null; ls /dev/mapper /dev/dm-0 2>&1 | grep -c 'No such'").stdout
        expect(seen.split() == ["2"], "the renter's machine sees neither the file nor the mapping")

    def write(self):
        lines = f"yes {self.marker} | head -n 20000 >/vault/marker; yes {self.clear} | head -n 20000 >/data/clear; sync"
        self.ssh(lines)
        self.has_data("20,000 lines of marker are in /vault")

    def close_in_use(self):
        done = self.ssh("cd /vault && exec vault close", check=False)
        expect(done.returncode == 75 and "still uses" in done.stderr, "it is not closed under somebody who stands in it")
        self.vault("close")
        self.is_closed("closed")

    def wrong_passphrase(self):
        done = self.vault("open", self.passphrase + "x\n", check=False)
        expect(done.returncode == 65 and "wrong passphrase" in done.stderr, "a wrong passphrase is refused")
        self.is_closed("after that")

    # Where the passphrase must not be.

    def processes(self):
        """The governor and everything that the engine and the tunnel are made of, by name."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    name = (entry / "comm").read_text().strip()
                except OSError:
                    continue
                if name in ("governor", "dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "ssh", "market", "sshd"):
                    # The renter's own sshd has it: by it the passphrase came in. That is the renter's machine, not the device's programs.
                    if os.readlink(entry / "ns/pid") == os.readlink("/proc/self/ns/pid"):
                        found[int(entry.name)] = name
        return found

    def show_passphrase_nowhere(self):
        needle = self.passphrase.encode()
        planted = subprocess.Popen(
            [sys.executable, "-c", "import sys, time; kept = sys.stdin.readline(); print('ready', flush=True); time.sleep(600)"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        planted.stdin.write(self.passphrase + "\n")
        planted.stdin.flush()
        planted.stdout.readline()
        try:
            expect(search_memory(planted.pid, needle) > 0, "the search finds it in the memory of a process that holds it")
        finally:
            planted.kill()
            planted.wait()
        found = self.processes()
        expect({"governor", "dockerd", "containerd", "ssh"} <= {name[:10] for name in found.values()}, f"to be searched: {sorted(found.values())}")
        governor = self.device.process.pid
        expect(search_memory(governor, self.device.journal()["lease"].encode()) > 0, "the search finds the lease's name in the governor's memory")
        holders = {name: search_memory(pid, needle) for pid, name in found.items()}
        expect(not any(holders.values()), f"the passphrase is in no memory of the device's programs: {holders}")
        environments = [entry for entry in pathlib.Path("/proc").glob("[0-9]*/environ") if needle in read(entry)]
        arguments = [entry for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline") if needle in read(entry)]
        expect(not environments and not arguments, "nor in any process's arguments or environment")
        run("sync")
        files = [path for folder in (CARD, self.here.space.folder) for path in folder.rglob("*")
                 if path.is_file() and not path.is_relative_to(self.device.mount)]  # fmt: skip
        logs = {path.name for path in files}
        expect({"device.log", "dockerd.log", "journal.json"} <= logs, f"searched: {len(files)} files, logs and the card's among them")
        expect(not [path for path in files if needle in read(path)], "nor in a log, in the state folder on the card, or in the run folder")
        self.show_volumes(needle)

    def show_volumes(self, needle):
        """The raw drive, and the lease's volume in the clear."""
        marker, clear = self.marker.encode(), self.clear.encode()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        raw = search(DRIVE, [needle, marker, clear, b"sublet-lease"])
        expect(raw[:3] == [0, 0, 0] and raw[3] > 0, f"on the whole raw drive: passphrase, vault's text, lease's text 0; its label {raw[3]} times")
        lease = search(MAPPER, [needle, marker, clear])
        expect(lease[:2] == [0, 0] and lease[2] > 10_000, f"on the unlocked lease's volume: passphrase 0, vault's text 0, the lease's own text {lease[2]} times")

    # How it ends.

    def must_close_with_the_machine(self, how, act):
        self.open()
        self.has_data("opened")
        before, count = self.device.container_pid(), len(self.device.events("vault.closed"))
        self.ssh("nohup sh -c 'cd /vault && exec sleep 9999' >/dev/null 2>&1 &")
        act(before)
        wait_for("the machine's end", lambda: not os.path.exists(f"/proc/{before}"), 60)
        self.here.event("vault.closed", count + 1)
        self.is_locked()
        wait_for("the machine", lambda: (self.device.container() or {}).get("State", {}).get("Pid", 0) not in (0, before), 90)
        self.wait_for_login()
        self.is_closed(how)

    def restarts(self):
        def by_engine(_):
            self.device.docker("POST", "/containers/renter/restart?t=5")

        def by_death(pid):
            os.kill(pid, signal.SIGKILL)

        def without_governor(pid):
            self.device.kill()
            os.kill(pid, signal.SIGKILL)
            wait_for("the machine's end", lambda: not os.path.exists(f"/proc/{pid}"), 60)
            self.device.start()

        self.must_close_with_the_machine("the machine restarted", by_engine)
        self.must_close_with_the_machine("the machine killed", by_death)
        self.must_close_with_the_machine("the machine killed while no governor ran", without_governor)

    def governor_restart(self):
        self.open()
        self.device.kill()
        self.device.start()
        wait_for("the door", lambda: self.vault("status", check=False).returncode == 0, 60)
        expect(self.status()["state"] == "open", "a restart of the governor closes nothing")
        self.has_data("and the data is there")

    def pause_left(self):
        """How many seconds a guess is told to wait; 0 when it was tried."""
        told = re.search(r"try again in (\d+) s", self.vault("open", "one more guess\n", check=False).stderr)
        return int(told.group(1)) if told else 0

    def thousand_wrong(self):
        """Over the socket, as fast as it answers, by the renter's user in the renter's processes."""
        self.vault("close")
        first = int(next(path.name for path in (self.device.mount / "engine").glob("[0-9]*.[0-9]*")).split(".")[0])
        began = time.monotonic()
        done = run(
            "nsenter", "--target", self.device.container_pid(), "--pid", sys.executable, __file__.replace("vault_in_rig", "vault_knock"),
            self.device.run_folder / "vault" / "vault.sock", first + 1000, first, WRONG,
        )  # fmt: skip
        took = time.monotonic() - began
        answers = {int(reason): count for reason, count in json.loads(done.stdout).items()}
        say(f"{WRONG} wrong passphrases in {took:.0f} s: reasons {answers}")
        expect(sum(answers.values()) == WRONG and set(answers) <= {1, 4}, "each was answered: wrong, or too many")
        # Three are free; the pauses after them double, from one second to a minute.
        pauses = sum(min(60, 1 << number) for number in range(max(0, answers[1] - 3)))
        expect(answers[1] >= 3 and pauses <= took, f"only {answers[1]} were tried at all; the others had to wait")
        expect(self.device.is_running and self.device.status()["state"] == "leased", "the governor is at its work")
        checked = len(self.device.events("market.checked-in"))
        self.device.wait_event("market.checked-in", checked + 2, seconds=30)
        # Of the pause that is on only a moment may be left, or none. Each guess after it begins a longer one.
        wait_for("a long pause", lambda: self.pause_left() >= 20, 300, 1)
        done = self.vault("open", self.passphrase + "\n", check=False)
        expect(done.returncode == 75 and "try again in" in done.stderr, f"the right one has to wait too: {done.stderr.strip()}")
        wait_for("the pause", lambda: self.vault("open", self.passphrase + "\n", check=False).returncode == 0, 90, 2)
        self.has_data("and opens it then")

    def halt(self):
        done = self.device.halt()
        expect(done.returncode == 0, "governor halt ends all, with the vault open " + done.stderr)
        expect(not os.path.exists(MAPPER), "the drive is closed")
        self.is_locked()
        self.device.start()
        self.here.event("container.up", len(self.device.events("container.up")) + 1, seconds=240)
        self.wait_for_login()
        self.is_closed("after a halt")


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


# The chapters.


def kept(here):
    """A vault is made, used, closed, opened; nobody else has its passphrase; then the power goes while it is open."""
    here.start()
    here.event("lease.offered", seconds=240)
    access = here.rent("4h")
    here.event("lease.rented")
    here.facts.keep(access=access)
    renter = Renter(here, access)
    expect(renter.status()["state"] == "none", "no vault at first")
    renter.create()
    renter.show_volume()
    renter.write()
    renter.close_in_use()
    renter.wrong_passphrase()
    renter.open()
    renter.has_data("opened again: all is there")
    renter.show_passphrase_nowhere()
    at("searched", 300)
    renter.governor_restart()
    renter.vault("close")
    renter.restarts()
    renter.open()
    renter.ssh("sync")
    await_power_cut("open")


def after_power_cut(here):
    """It stays closed until the renter opens it; a thousand guesses; then it is forgotten, and the lease ends."""
    renter = Renter(here, here.facts["access"])
    here.start()
    here.event("container.up", seconds=240)
    renter.wait_for_login()
    renter.is_closed("after a power cut")
    renter.open()
    renter.has_data("the passphrase opens it; all is there")
    renter.halt()
    renter.open()
    renter.thousand_wrong()
    renter.show_passphrase_nowhere()
    renter.vault("forget", "yes\n")
    expect(renter.status()["state"] == "none" and not (here.device.mount / "vault.luks").exists(), "forgotten: no vault, no file")
    renter.is_locked()
    renter.create()
    here.market.command("end", "rig")
    here.event("lease.erased", len(here.device.events("lease.erased")) + 1, seconds=240)
    renter.is_locked()
    expect(True, "with a vault open the lease was ended and its drive erased, verified")
    here.end()


CHAPTERS = {each.__name__.replace("_", "-"): each for each in (kept, after_power_cut)}

if __name__ == "__main__":
    sys.exit(tell_chapter(CHAPTERS, World))
