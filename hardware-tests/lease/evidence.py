"""What a lease shows of itself: looked at on the drive, on the card, in the engine's folder and as its renter."""

import json
import os
import pathlib
import secrets
import signal

from world_in_rig import CARD, DRIVE, HEADER, IO, MAPPER, MARKER_BYTES, World, expect, header_is_zero, marker_digest, read_raw, say
from world import run, ssh, wait_for  # (world_in_rig knows where it is)


class Evidence(World):
    """A world whose lease is looked at."""

    # While it lives.

    def write_marker(self, access, marker):
        script = (
            f"yes {marker} | head -c {MARKER_BYTES} >/data/marker && cp /data/marker ~/marker && sync && "
            "sha256sum <~/marker && grep -w /data /proc/mounts | cut -d' ' -f1"
        )
        digest, source = ssh(access, script).stdout.split()[0::2]
        expect(digest == marker_digest(marker), f"logged in with the password; {MARKER_BYTES >> 20} MiB of marker in /data and at home")
        expect(source == MAPPER, f"/data is {source}")

    def fill_drive(self, access, marker):
        """The marker over most of the drive, in what the container prints (which nothing keeps), and in its own layer (`write_marker` did that)."""
        script = (
            f"yes {marker} | head -c 16M >/tmp/block && left=$(($(df --output=avail -B16M /data | tail -1) - 6)) && "
            "while [ $left -gt 0 ] && cat /tmp/block; do left=$((left-1)); done >/data/fill && sync && stat -c %s /data/fill; "
            f"printf '%s\\n' '{access['password']}' | sudo -S -p '' sh -c 'echo {marker} >/proc/1/fd/1'"
        )
        filled = int(ssh(access, script, timeout=900).stdout)
        size = int(run("blockdev", "--getsize64", DRIVE).stdout)
        expect(filled > 0.6 * size, f"the marker over {filled >> 20} MiB of the drive's {size >> 20}")
        logs = list((self.device.mount / "engine").glob("*/containers/*/*.log"))
        expect(not logs, "the engine keeps nothing of the container's output")
        self.docker_before = self.docker_ids()

    def docker_ids(self):
        """What the engine has for this lease alone: its container's id and the name of its layer."""
        found = self.device.container()
        return {found["Id"], pathlib.Path(found["GraphDriver"]["Data"]["UpperDir"]).parent.name}

    def show_docker_forgot(self, marker):
        """No container, layer or log of the lease before is in the new engine's folder."""
        engine = self.device.mount / "engine"
        expect(not self.docker_before & self.docker_ids(), "another container, another layer")
        names = run("find", engine, "-printf", "%f\n").stdout.split("\n")
        expect(not self.docker_before & set(names), "the engine has nothing under the old names")
        found = run("grep", "-rlF", "--devices=skip", marker, engine, check=False).stdout
        expect(not found, "the old marker is in no log, layer or volume of the new engine " + found)

    def show_encryption(self):
        text = run("cryptsetup", "luksDump", DRIVE).stdout
        header = json.loads(run("cryptsetup", "luksDump", "--dump-json-metadata", DRIVE).stdout)
        segment = header["segments"]["0"]
        flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
        cipher = "aes-xts-plain64" if "aes" in flags else "xchacha12,aes-adiantum-plain64"
        expect(segment["encryption"] == cipher, f"LUKS2 with {cipher}, for this processor")
        expect(segment["sector_size"] == 4096 and int(segment["offset"]) == HEADER, "sectors of 4 KiB behind a header of 16 MiB")
        expect("Label:         \tsublet-lease" in text, "the label says whose it is")
        expect(len(header["keyslots"]) == 1 and not header["tokens"], "one key slot")
        table = run("dmsetup", "table", MAPPER).stdout.split()
        expect(table[2] == "crypt" and table[3] == cipher, "the mapper's table is crypt")
        place = self.key.stat()
        expect((place.st_mode & 0o7777, place.st_uid, place.st_size) == (0o600, 0, 64), "the lease's key lies 0600 on the card")

    def show_medium(self, marker):
        """The same blocks through the mapper and past it."""
        file = self.device.mount / "engine" / "100000.100000" / "volumes" / "data" / "_data" / "marker"
        lines = run("filefrag", "-e", "-b4096", file).stdout.splitlines()
        first = next(line for line in lines if line.split(":")[0].strip() == "0")
        block = int(first.split(":")[2].split("..")[0])
        open_side = read_raw(MAPPER, block * 4096, 65536)
        expect(open_side.count(marker.encode()) > 1000, "the marker's blocks hold it, read through the mapper")
        closed_side = read_raw(DRIVE, HEADER + block * 4096, 65536)
        expect(marker.encode() not in closed_side and any(closed_side), "the same blocks on the drive are something else")
        return block

    def show_wrong_key_refused(self):
        wrong = self.space.folder / "wrong.key"
        wrong.write_bytes(secrets.token_bytes(64))
        opened = [
            run("cryptsetup", "open", "--test-passphrase", "--key-file", key, DRIVE, check=False).returncode for key in (self.key, wrong)
        ]
        expect(opened == [0, 2], "the lease's key fits; another one is refused")

    def steal(self):
        """What somebody could copy who has the device in hands while the lease lives."""
        self.stolen_key = self.space.folder / "stolen.key"
        self.stolen_key.write_bytes(self.key.read_bytes())
        self.stolen_header = self.space.folder / "stolen.header"
        run("cryptsetup", "luksHeaderBackup", DRIVE, "--header-backup-file", self.stolen_header)
        volume_key = self.space.folder / "volume.key"
        words = ["--dump-volume-key", "--volume-key-file", volume_key, "--key-file", self.key]
        run("cryptsetup", "luksDump", "--batch-mode", DRIVE, *words)
        # For the host, which looks for them on the raw drive and card; in RAM here.
        (IO / "keys").write_text(f"hex:{self.key.read_bytes().hex()}\nhex:{volume_key.read_bytes().hex()}\n")

    def lose_dockerd(self):
        """A killed dockerd leaves bind mounts in the data-root; another one takes over the container, and the renter notices nothing."""
        before = self.device.container_pid()
        os.kill(self.device.engine_pid(), signal.SIGKILL)
        self.event("engine.up", 2)
        expect(self.device.container_pid() == before, "dockerd was killed and is back; the container never stopped")
        nested = [line.split()[4] for line in open("/proc/self/mountinfo") if f"{self.device.mount}/" in line]
        say(f"mounts inside the drive now: {len(nested)}")

    # Once it has ended.

    def show_erased(self):
        expect(header_is_zero(), "the first 16 MiB of the drive are zero")
        expect(not self.key.exists(), "the lease's key file is gone")
        expect(run("cryptsetup", "luksDump", DRIVE, check=False).returncode != 0, "cryptsetup finds no LUKS header")
        expect(run("blkid", "-p", DRIVE, check=False).returncode == 2, "blkid finds no signature")
        expect(not os.path.exists(MAPPER), "nothing is open")

    def show_stolen_key_useless(self):
        done = run("cryptsetup", "open", "--test-passphrase", "--key-file", self.stolen_key, DRIVE, check=False)
        expect(done.returncode != 0, "a copy of the key from before opens nothing")

    def show_card_opens_nothing(self):
        """A copy of the header, and everything that is on the card tried as its key."""
        files = [path for path in CARD.rglob("*") if path.is_file() and 0 < path.stat().st_size <= 4096]
        words = ["cryptsetup", "open", "--test-passphrase", "--header", self.stolen_header, DRIVE, "--key-file"]
        opened = [path.name for path in files if run(*words, path, check=False).returncode == 0]
        expect(not opened, f"a copy of the header and any of {len(files)} files of the card as its key open nothing {opened}")
        expect(run(*words, self.stolen_key, check=False).returncode == 0, "(the stolen key does open that copy: so much for the copy)")

    def stolen_pair_reads(self, marker, block):
        """Whether who copied header AND key while the lease lived can still read its data on the drive."""
        words = ["cryptsetup", "open", "--readonly", "--header", self.stolen_header, DRIVE, "stolen", "--key-file"]
        wrong = run(*words, self.space.folder / "wrong.key", check=False)
        expect(wrong.returncode == 2, "a copy of the header alone opens nothing")
        run(*words, self.stolen_key)
        try:
            return marker.encode() in read_raw("/dev/mapper/stolen", block * 4096, 65536)
        finally:
            run("cryptsetup", "close", "stolen")

    @staticmethod
    def host_key(access):
        return run("ssh-keyscan", "-p", access["sshPort"], "-t", "ed25519", access["host"]).stdout

    def show_receipt(self, lease, method="key"):
        receipt = self.space.folder / f"receipt-{lease}.json"

        def kept():
            done = self.market.command("receipt", "show", lease, check=False)
            return done.returncode == 0 and done.stdout

        text = wait_for("the wipe receipt", kept, 120, 0.3)
        receipt.write_text(text)
        self.market.command("receipt", "verify", receipt)
        statement = json.loads(json.loads(text)["statement"])
        erase = statement["erase"]
        expect(statement["lease"] == lease and erase["method"] == method, f"a wipe receipt, method {method}, its signature holds")
        say(f"its checks: {' '.join(erase['checks'])}")
        return erase["checks"]
