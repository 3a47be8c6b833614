"""The chain of boots: what is aimed at next, what is done on the way, and what is kept of a boot that failed."""

import json
import pathlib
import queue
import random
import shutil
import tarfile
import threading
import time
import traceback

from judge import Judge, Wrong
from machine import Machine
from outside import Outside
from world import Trouble, run, wait_for

# What may be aimed at from where a cut left the device, with weights; the nearer ones cost less time.
AIMS = {
    "idle": {"erase": 2, "prepare": 4, "build": 3},
    "preparing": {"erase": 2, "prepare": 3, "build": 3},
    "live": {"build": 4, "offered": 2, "run": 3},
    "rented": {"resume": 2, "run": 2, "erase": 5, "prepare": 2},
    "erasing": {"erase": 3, "prepare": 4, "build": 2},
}
AIMS.update(registering=AIMS["idle"], cleaning=AIMS["idle"])
# Which events begin a phase; how long it takes at first guess, in seconds.
BEGIN = {"lease.erasing": "erase", "lease.registered": "prepare", "lease.offered": "offered", "lease.rented": "run",
         "lease.erased": "register", "lease.expired": "erase", "lease.ended-by-market": "erase"}
SPANS = {"erase": 4.0, "prepare": 2.5, "build": 12.0, "offered": 3.0, "run": 6.0, "resume": 9.0, "register": 0.5,
         "busy": 15.0}
# What tells nothing of a failure.
EVERY_SECOND = ("event=market.checked-in", "step=fence-look")
PHASES = ("prepare", "build", "offered", "run", "busy", "resume", "erase", "register")
SECONDS = 900


# What nobody here uses: the real base image without it is on the drive in a fifth of the time. On Debian 13 parts of sshd are in
# usr/lib/openssh, and need SQLite.
LIBRARIES = "usr/lib/x86_64-linux-gnu/"
LEFT_OUT = (
    "usr/lib/python3", "usr/lib/git-core", "usr/lib/apt", "usr/lib/openssh/sftp", "usr/lib/openssh/ssh-", "usr/share", "var/lib/dpkg",
    "var/cache",
    *(f"usr/bin/{name}" for name in (
        "apt", "curl", "dpkg", "git", "gpgv", "htop", "ip", "openssl", "perl", "python", "rsync", "scalar", "ssh-a", "ssh-keyscan", "tmux",
        "vim", "wget",
    )),
    *(f"usr/sbin/{name}" for name in ("e2", "mke2fs", "tc")),
    *(LIBRARIES + name for name in ("perl", "gconv")),
    *(f"{LIBRARIES}lib{name}" for name in (
        "apt", "bpf", "brotli", "curl", "db-5", "edit", "event_core", "expat", "ext2fs", "fido2", "gnutls", "hogweed", "idn2", "ldap",
        "mvec", "nettle", "nghttp2", "p11-kit", "perl", "rtmp", "ssh2", "stdc++", "unistring",
    )),
)


def slim(base, target):
    with tarfile.open(base) as whole, tarfile.open(target, "w") as small:
        for member in whole:
            if member.isdir() or not member.name.removeprefix("./").startswith(LEFT_OUT):
                small.addfile(member, whole.extractfile(member) if member.isreg() else None)


class Chain:
    """Boots, judges, cuts."""

    def __init__(self, seed, tell, logs=None, is_busy=False):
        self.random, self.tell, self.logs, self.is_busy = random.Random(seed), tell, logs, is_busy
        self.number, self.tally = 0, {phase: 0 for phase in PHASES}
        self.spans, self.plan = dict(SPANS), None
        self.outside = Outside()
        self.machine = Machine(self.outside.space)
        self.before = self.outside.space.disk / "before"
        self.judge = None

    def build(self, base, kept=None):
        """The world before the first boot; or as it was kept."""
        space = self.outside.space
        self.outside.build(kept)
        bases = space.disk / "base"
        bases.mkdir()
        if self.is_busy:
            shutil.copy2(base, bases / "base.tar")
        else:
            slim(base, bases / "base.tar")
        facts = {}
        if kept:
            facts = json.loads((kept / "facts.json").read_text())
            for name in ("drive", "card"):
                run("cp", "--sparse=always", "--reflink=auto", kept / name, space.disk / name)
            self.move_time(facts, time.time() - facts["at"])
        else:
            self.machine.make(self.config(self.outside.add_device()))
        self.kept_plan = facts.get("plan")
        self.judge = Judge(self.machine, self.outside, facts)
        self.outside.start()

    @staticmethod
    def config(config):
        config["storage"] = {"path": "/dev/ubda", "encryption": "luks2"}
        config["limits"] = {"memoryMiB": 256, "pids": 256}
        # The rig's kernel has no nftables for ip: no walls here.
        config["network"] = {"bridge": "sublet0", "subnet": "10.213.77.0/30", "fence": "none"}
        return config

    def move_time(self, facts, seconds):
        self.outside.move_time(int(seconds))
        access = (facts.get("lease") or {}).get("access")
        if access:
            access["expires"] += int(seconds)

    def total(self):
        return sum(self.tally.values())

    def run(self, count):
        for self.number in range(1, count + 1):
            journal = self.judge.look()
            self.save(self.draw(journal))
            Boot(self, journal, self.plan).to_its_cut()

    def boot_again(self):
        """The boot that was kept, with the same aim."""
        self.number = 1
        self.plan = self.kept_plan
        Boot(self, self.judge.look(), self.plan).to_its_cut()

    def finish(self):
        """A last boot that is not cut off, until whoever lives on the drive is served; every rented lease that ended has its receipt."""
        self.number += 1
        journal = self.judge.look()
        self.save(None)
        boot = Boot(self, journal, None)
        boot.to_service()
        if self.is_busy:
            boot.to_its_end()
        for lease in self.judge.retired:
            if lease.get("access"):
                self.judge.expect(
                    wait_for(f"the receipt of {lease['id']}", lambda each=lease: self.outside.check_receipt(each["id"]), 30, 0.5),
                    "a lease without a receipt",
                )
        self.machine.cut()
        self.machine.await_end()

    def draw(self, journal):
        """What to aim at, how far into it, and how the next lease ends. Rare phases are drawn more often."""
        stage = journal.get("stage", "idle")
        if stage == "live" and self.judge.lease.get("access"):
            stage = "rented"
        aims = dict(AIMS[stage])
        if journal.get("clean"):
            aims.pop("erase", None)
        weights = [weight / (1 + self.tally[aim]) ** 0.5 for aim, weight in aims.items()]
        aim = "busy" if self.is_busy else self.random.choices(list(aims), weights)[0]
        part = self.random.random()
        lasts = 0 if self.is_busy else self.random.choice([0, 0, 15, 25])
        return {"from": stage, "aim": aim, "part": part, "lasts": lasts}

    def save(self, plan):
        """Everything as it is before this boot."""
        self.plan = plan
        shutil.rmtree(self.before, ignore_errors=True)
        self.before.mkdir()
        self.machine.copy(self.before)
        self.outside.keep(self.before)
        (self.before / "facts.json").write_text(json.dumps({**self.judge.facts(), "plan": plan, "at": time.time()}))

    def keep_failed(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        if (self.before / "facts.json").exists():
            run("cp", "-a", "--sparse=always", "--reflink=auto", self.before, folder)
        else:
            folder.mkdir()
        for log in (self.machine.log, self.outside.market.log, self.outside.sshd.log):
            if log.exists():
                shutil.copy2(log, folder)
        return folder

    def tell_failure(self, trouble):
        for path in (self.outside.market.log, self.machine.log):
            if path.exists():
                lines = [line for line in path.read_text(errors="replace").splitlines() if not any(word in line for word in EVERY_SECOND)]
                print(f"# --- {path.name}", *("# " + line for line in lines[-40:]), sep="\n")
        # Last, for of a long log the end is what people are shown.
        for frame in traceback.extract_tb(trouble.__traceback__)[1:]:
            print(f"#     {pathlib.Path(frame.filename).name}:{frame.lineno} {frame.line}")
        kind = "wrong" if isinstance(trouble, Wrong) else type(trouble).__name__
        print(f"# cut {self.number}, aimed at {self.plan and self.plan['aim']}: {kind}: {trouble}")

    def end(self):
        self.machine.cut()
        self.machine.await_end()
        if self.judge and self.judge.renter:
            self.judge.renter.stop()
        self.outside.end()
        self.outside.space.remove()


class Boot:
    """One boot, from what a cut has left to the next."""

    def __init__(self, chain, journal, plan):
        self.chain, self.judge, self.machine, self.outside = chain, chain.judge, chain.machine, chain.outside
        self.journal, self.plan = journal, plan
        self.phase, self.phase_at = "boot", time.monotonic()
        self.began = self.phase_at
        self.aim = plan["aim"] if plan else None
        self.timer = None
        self.has_tunnel = self.has_container = self.is_served = self.has_ended = False

    def to_its_cut(self):
        self.machine.boot()
        try:
            self.live(lambda: False)
        finally:
            if self.timer:
                self.timer.cancel()
        if self.chain.logs:
            shutil.copy2(self.machine.log, self.chain.logs / f"boot-{self.chain.number:03}.log")
        self.chain.tally[self.phase if self.phase in PHASES else "register"] += 1
        self.chain.tell(
            f"{self.chain.number}: from {self.plan['from']}, cut in {self.phase} {time.monotonic() - self.phase_at:.1f} s in, "
            f"aimed at {self.aim}; {time.monotonic() - self.began:.1f} s{self.work()}"
        )

    def work(self):
        """How far a busy renter has come."""
        renter = self.judge.renter
        return f"; told {renter.counted} and package {renter.installed}" if renter and renter.processes else ""

    def to_service(self):
        self.machine.boot()
        self.live(lambda: self.is_served or self.phase == "offered")

    def to_its_end(self):
        """The lease is ended; what follows is the next one."""
        self.judge.expect(self.is_served and self.judge.work(), "the renter can't go on working")
        self.judge.lease["over"] = True
        self.outside.market.command("end", "rig")
        self.live(lambda: self.phase == "offered")

    def live(self, is_done):
        """Takes what comes until the machine is off."""
        give_up = time.monotonic() + SECONDS
        while not is_done():
            try:
                event = self.machine.events.get(timeout=0.3)
            except queue.Empty:
                event = False
            if event is None:
                return self.ended()
            if event:
                self.judge.judge(event, self.journal)
                self.follow(event)
            elif not self.machine.is_cut:
                self.act()
            if time.monotonic() > give_up:
                raise Wrong(f"after {SECONDS} s it has not come to {self.aim}; it stands at {self.phase}")

    def ended(self):
        status = self.machine.await_end()
        if not self.machine.is_cut:
            raise Wrong(f"the machine ended by itself with status {status}")

    def follow(self, event):
        """Where the device is now; sets the time of the cut when it comes to what is aimed at."""
        name, lease = event.name, self.judge.lease
        self.has_tunnel |= name == "tunnel.up"
        self.has_container |= name == "container.up"
        phase = BEGIN.get(name)
        if name == "governor.started" and lease and lease.get("access"):
            phase = "resume"
        elif name == "storage.ready" and not (lease and lease.get("access")) or name == "governor.started" and lease:
            phase = "build"
        elif name == "container.up" and self.phase == "resume":
            phase = "run"
        # That it was rented it may hear while it comes back from a cut, and when the renter has begun to work.
        if phase and phase != self.phase and not (name == "lease.rented" and self.phase in ("resume", "busy")):
            self.enter(phase, event.at)

    def enter(self, phase, at):
        if self.phase in SPANS and self.phase not in ("run", "offered") and not self.machine.is_cut:
            # How long it takes on this machine, so that cuts fall on all of it.
            self.chain.spans[self.phase] += (at - self.phase_at - self.chain.spans[self.phase]) / 3
        self.phase, self.phase_at = phase, at
        if phase == self.aim and not self.timer:
            delay = self.plan["part"] * self.chain.spans[phase] - (time.monotonic() - at)
            self.timer = threading.Timer(max(0, delay), self.machine.cut)
            self.timer.start()

    def act(self):
        """Nothing new: what somebody outside does meanwhile."""
        lease = self.judge.lease
        try:
            if self.phase == "offered" and self.aim not in ("offered", None):
                self.rent()
            elif self.phase == "run" and lease and lease.get("access"):
                self.use(lease)
        except (Trouble, OSError, ValueError) as trouble:
            # The other end of a connection may be gone at any moment.
            if not self.machine.is_cut and not self.judge.is_over():
                raise
            self.chain.tell(f"(broken off: {trouble})")

    def rent(self):
        lasts = self.plan["lasts"]
        access = self.outside.rent(f"{lasts}s" if lasts else "1h")
        if access:
            self.judge.rented(access)
            self.enter("run", time.monotonic())

    def use(self, lease):
        """The renter moves in, or comes back after a cut; where the erase is aimed at, the lease is ended then."""
        if not self.is_served and self.has_tunnel and self.has_container and not self.judge.is_over(margin=8):
            self.is_served = self.judge.come_back() if "counted" in lease else self.judge.move_in()
        is_long = lease["access"]["expires"] > time.time() + 60
        if self.is_served and self.aim == "busy":
            if self.judge.work():
                self.enter("busy", time.monotonic())
        elif self.is_served and self.aim not in ("run", "resume", None) and is_long and not self.has_ended:
            lease["over"] = self.has_ended = True
            self.outside.market.command("end", "rig")
