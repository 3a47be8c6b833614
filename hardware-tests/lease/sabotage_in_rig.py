#!/usr/bin/python3
"""Each test of hardware-tests/run is shown to fail when what it tests is broken: in the fast rig, where nothing can be harmed.

    sabotage_in_rig.py safe|lease|reboot|power-cut

Breaks one thing, runs the one test, expects it to fail with certain words, and mends it. Where a thing can't be broken by itself, the program
under test is one that lies: a script in front of the real one. docs/hardware-tests.md has the table.
"""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

from device_in_rig import Tested
from world_in_rig import DRIVE, at, await_power_cut, expect, say, tell_chapter
from world import ROOT, run, ssh  # (world_in_rig knows where it is)


class Broken(Tested):
    """A device whose parts are broken one after the other."""

    def one(self, test, tier, patience=4, finish=False, program=None, market=None, **environment):
        """Runs one test, by the beginning of its name; its exit status and what it said."""
        words = [ROOT / "hardware-tests" / "run", tier, "--filter", "^" + test]
        if tier == "destructive":
            words += ["--drive", f"path:{DRIVE}", "--yes", "--market", market or self.market.program]
        if finish:
            words += ["--finish"]
        places = {**self.places, "GOVERNOR": program or self.device.program, "SUBLET_TEST_PATIENCE": patience, **environment}
        done = subprocess.run(
            [str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900,
            env={**os.environ, **{name: str(value) for name, value in places.items()}},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def fails(self, test, words, tier="destructive", **options):
        """The test fails, and says the words."""
        status, said, errors = self.one(test, tier, **options)
        is_so = status == 1 and "\nnot ok" in said and words in said
        if not is_so:
            print(said, errors, flush=True)
        line = next((line.removeprefix("# ") for line in said.splitlines() if words and words in line), "")
        self.wrong += not is_so
        say(f"{'ok' if is_so else 'NOT SO'}: {test}: {line or words}")

    def skips(self, test, words):
        status, said, errors = self.one(test, "destructive")
        is_so = status == 0 and " # skip " in said and words in said
        if not is_so:
            print(said, errors, flush=True)
        expect(is_so, f"{test}: skipped: {words}")

    def script(self, name, text):
        return write_script(self.space.folder / name, text)

    def liar(self, text):
        """A governor that lies: $real is the true one, $config the file that it was told."""
        head = f"real={self.device.program}\nconfig=\nfor word; do [[ ${{last-}} != --config ]] || config=$word; last=$word; done\n"
        return self.script("liar", head + text + '\nexec "$real" "$@"')

    @contextlib.contextmanager
    def noted(self, name, change):
        """One of the notes on the card says something else."""
        path = self.device.state / "hardware-tests" / name
        before = path.read_text()
        path.write_text(change(before))
        try:
            yield
        finally:
            path.write_text(before)


def write_script(path, text):
    path.write_text("#!/bin/bash\n" + text + "\n")
    path.chmod(0o755)
    return path


def another_lease(access, lease="0" * 32):
    """The note of an account, as if it were another lease's."""
    return json.dumps({**json.loads(access), "lease": lease})


@contextlib.contextmanager
def covered(place, by):
    """Something else is found at a place."""
    run("mount", "--bind", by, place)
    try:
        yield
    finally:
        run("umount", place)


def over(path, text):
    """A file of the kernel's that says something else."""
    fake = pathlib.Path("/tmp/fake")
    fake.write_text(text)
    return covered(path, fake)


def sysfs(folder, files):
    """More in a folder of sysfs than there is: a copy of its links, and files."""
    copy = pathlib.Path("/tmp/sysfs")
    shutil.rmtree(copy, ignore_errors=True)
    run("cp", "-a", folder, copy)
    for name, text in files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(text)
    return covered(folder, copy)


@contextlib.contextmanager
def clock(text):
    before = time.time() - time.monotonic()
    run("date", "-s", text)
    try:
        yield
    finally:
        time.clock_settime(time.CLOCK_REALTIME, before + time.monotonic())


@contextlib.contextmanager
def beside(script):
    """A script that goes on while the test runs."""
    process = subprocess.Popen(["bash", "-c", script], start_new_session=True)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def program(name, text):
    """Another program under a name."""
    path = write_script(pathlib.Path("/usr/local/bin", name), text)
    try:
        yield
    finally:
        path.unlink()


# What each tier's tests are broken by.


def safe(here):
    here.start()
    here.device.wait_until("building", "offered", seconds=600)
    liar = here.liar

    def fails(*words, **options):
        here.fails(*words, tier="safe", **options)

    fails("governor selftest: the program", "not ok - LUKS2 header", program=liar("export TMPDIR=/proc"))
    fails("governor selftest: the machine", "the program dockerd", program=liar("export PATH=/nonexistent"))
    fails("governor status", "failed", program=liar('[[ $* != "status --json" ]] || { "$real" "$@" | sed "s/\\"lamp\\": *\\"[a-z]*\\"/\\"lamp\\":\\"dark\\"/"; exit; }'))

    drops = 'if [[ $1 == storage && $2 == list ]]; then "$real" "$@" | jq -c "del(.[-1])"; exit; fi'
    fails("governor storage list", "< lsblk", program=liar(drops))
    asks = '[[ "$1 $2" != "storage prepare" ]] || { echo "governor: storage: nothing was changed"; exit 64; }'
    fails("the disks with the system", "expected to be refused (75), found status 64", program=liar(asks))
    takes = '[[ "$1 $2" != "storage inspect" ]] || { "$real" "$@" | jq ".verdict = \\"blank\\""; exit; }'
    fails("the disks with the system", "blank:", program=liar(takes))
    adopts = '[[ $1 != storage || $2 == inspect ]] || sed -i "s/\\"path\\"/\\"adopt\\": \\"any\\", \\"path\\"/" "$config"'
    fails("a drive that is not ours", "expected to be refused (75), found status 0", program=liar(adopts))

    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    other = cpu.replace(" aes", "") if " aes" in cpu else cpu.replace("flags\t\t:", "flags\t\t: aes")
    pathlib.Path("/tmp/cpuinfo").write_text(other)
    blind = '[[ "$1 $2" != "storage prepare" ]] || exec unshare -m sh -c "mount --bind /tmp/cpuinfo /proc/cpuinfo; exec \\"\\$@\\"" sh "$real" "$@"'
    fails("a drive that the governor prepares here", ", found ", program=liar(blind))
    keeps = ('state=${config%/*}/state; case "$1 $2" in "storage close") cp $state/lease.key /tmp/kept ;; '
             '"storage open") cp /tmp/kept $state/lease.key ;; esac')
    fails("a drive that the governor prepares here", "it opened without its key", program=liar(keeps))
    with over("/proc/cpuinfo", other):
        fails("the drive in use has the cipher", "failed")

    with over("/sys/fs/cgroup/cgroup.controllers", "cpu io pids\n"):
        fails("a memory limit bites", "add cgroup_enable=memory")
    with program("tail", "exec sleep 0.1"):
        fails("a memory limit bites", "the kernel killed 0")

    with sysfs("/sys/class", {"hwmon/hwmon0/name": "rpi_volt\n", "hwmon/hwmon0/in0_lcrit_alarm": "1\n"}):
        fails("supply", "voltage is too low now")
    with program("vcgencmd", "echo throttled=0x50000"):
        fails("supply", "says 0x50000: under-voltage")
    with sysfs("/sys/class", {"thermal/thermal_zone0/type": "cpu-thermal\n", "thermal/thermal_zone0/temp": "85123\n"}):
        fails("heat", "cpu-thermal: 85 °C")
    with program("vcgencmd", "echo throttled=0x20000"):
        fails("heat", "says 0x20000: throttled")
    os.symlink("/dev/ubdb", "/dev/mmcblk0")
    with sysfs("/sys/block", {"mmcblk0/device/pre_eol_info": "0x02\n"}):
        fails("the card", "pre_eol_info 0x02")
    with sysfs("/sys/block", {"mmcblk0/device/life_time": "0x01 0x0b\n"}):
        fails("the card", "life_time 0x0b")
    with sysfs("/sys/block", {"mmcblk0/device/life_time": "0x01 0x01\n"}):
        pathlib.Path("/dev/kmsg").write_text("mmc0: error -110 whilst initialising SD card\n")
        fails("the card", "errors of the card")
    os.unlink("/dev/mmcblk0")

    with clock("2001-01-01"):
        fails("the clock is not before", "the clock says 2001-01-01")
    with other_time(here) as config:
        fails("the clock is the market's", "s beside the market's", SUBLET_CONFIG=config)
    with beside("while sleep 0.5; do date -s +2sec; done >/dev/null"):
        fails("the clock runs as fast", "ms since boot")

    leaves = '[[ $1 != selftest ]] || { truncate -s 1M /tmp/left; losetup -f /tmp/left; }'
    fails("governor selftest: the program", "not as it was: new: loop /tmp/left", program=liar(leaves))
    run("losetup", "-D")
    leaves = '[[ $1 != selftest ]] || { mkdir -p /tmp/left.d; mount -t tmpfs left /tmp/left.d; }'
    fails("governor selftest: the program", "not as it was: new: mount /tmp/left.d", program=liar(leaves))
    run("umount", "/tmp/left.d")
    leaves = '[[ $1 != selftest ]] || { sleep 1234 >/dev/null 2>&1 3>&- & }'
    fails("governor selftest: the program", "not as it was: new: process sleep 1234", program=liar(leaves))
    run("pkill", "-x", "-f", "sleep 1234")  # in a machine of its own

    name = os.path.basename(os.path.realpath("/dev/ubdb"))
    pathlib.Path("/sys/fs/ext4", name, "trigger_fs_error").write_text("sabotage")
    fails("no mounted ext4", f"/sys/fs/ext4/{name}/errors_count: 1")
    here.all_is_well()
    at("over")
    here.end()


@contextlib.contextmanager
def other_time(here):
    """A market whose clock is wrong."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response_only(404)
            self.send_header("Date", "Mon, 01 Jan 2001 00:00:00 GMT")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = here.space.folder / "other-time.json"
    config.write_text(json.dumps({**here.device.config, "server": f"http://127.0.0.1:{server.server_port}"}))
    yield config
    server.shutdown()


def by_hand(here):
    """The steps by hand; the honest governor cleans up what the lying ones left."""
    here.start()
    here.device.wait_until("building", "offered", seconds=600)
    fails, liar = here.fails, here.liar
    forgets = 'words=(); for word; do [[ $word == --drive || $word == serial:another ]] || words+=("$word"); done; [[ $* != *serial:another* ]] || exec "$real" "${words[@]}"'
    fails("a step that names another", "status 0", program=liar(forgets))
    loose = 'if [[ "$1 $2" == "storage prepare" ]]; then "$real" "$@"; chmod 644 "${config%/*}/state/lease.key"; exit; fi'
    fails("prepare: LUKS2", "600 0 64", program=liar(loose))
    plain = '[[ "$1 $2" != "storage prepare" ]] || sed -i "s/\\"path\\"/\\"encryption\\": \\"none\\", \\"path\\"/; s/\\"encryption\\": \\"luks2\\"/\\"minimumMiB\\": 1024/" "$config"'
    fails("prepare: LUKS2", "header_cipher", program=liar(plain))
    keeps = ('state=${config%/*}/state; case "$1 $2" in "storage close") [[ -e /tmp/kept2 ]] || cp $state/lease.key /tmp/kept2 ;; '
             '"storage open") [[ ! -e /tmp/kept2 ]] || cp /tmp/kept2 $state/lease.key ;; esac')
    fails("(prepare: LUKS2|closed and opened)", "it opened with another key", program=liar(keeps))
    restores = (f'if [[ "$1 $2" == "storage erase" ]]; then dd if={DRIVE} of=/tmp/head bs=1M count=16 status=none; "$real" "$@"; '
                f'dd if=/tmp/head of={DRIVE} bs=1M conv=notrunc,fsync status=none; exit; fi')
    fails("(prepare: LUKS2|erase: no header)", "header", program=liar(restores))
    agrees = '[[ "$1 $2" != "storage verify" ]] || exit 0'
    fails("verify says no", "status 0", program=liar(agrees))
    here.destructive("--filter", "^(a step that|prepare:|closed and|erase:|verify)")
    here.all_is_well()
    at("over")
    here.end()


def lease(here):
    """From the offer to a lease that is left for a reboot."""
    here.start()
    here.event("lease.offered", seconds=600)
    another = here.liar('[[ $* != "status --json" ]] || { "$real" "$@" | sed "s/path:/another:/"; exit; }')
    here.fails("the drive is taken", "waited in vain for the offer", program=another)
    here.fails("rented", "", market="false")
    here.destructive("--filter", "^(the drive is taken|rented|ssh through)")
    in_lease(here)
    here.destructive("--filter", "^a lease with data")
    here.skips("after a reboot", "the device was not rebooted since")
    here.all_is_well()
    run("sync")
    await_power_cut("reboot")


def in_lease(here):
    """What a lease is disturbed by, made worse."""
    fails = here.fails
    here.sshd.end()
    fails("ssh through", "renter")
    here.sshd.start()
    here.destructive("--filter", "^ssh through")

    access = json.loads((here.device.state / "hardware-tests/access.json").read_text())
    wrong = "wrong-" + access["password"]
    set_password(access, access["password"], wrong)
    fails("a wrong password", "it was taken")
    set_password(access, wrong, access["password"])

    pid = here.device.container_pid()
    group = pathlib.Path("/sys/fs/cgroup" + pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().split(":")[2])
    while not (group / "memory.max").exists() or (group / "memory.max").read_text().strip() == "max":
        group = group.parent
    limit = (group / "memory.max").read_text()
    (group / "memory.max").write_text("max")
    fails("the memory limit bites", "its memory has no limit")
    (group / "memory.max").write_text(limit)
    here.destructive("--filter", "^the memory limit")

    ours, tunnel = here.device.status()["pid"], here.device.tunnel_pid()
    # It is our child: once it has ended there is a process of its number, and no program.
    with beside(f"while readlink /proc/{ours}/exe >/dev/null; do sleep 0.2; done; kill -9 {tunnel}"):
        fails("the governor is restarted", "waited in vain for the session to go on", patience=100)
    here.destructive("--filter", "^the governor is restarted")
    with program("iptables", "true"):
        fails("the network drops", "waited in vain for three check-ins to fail", patience=2)
    here.destructive("--filter", "^the network drops")
    here.destructive("--filter", "^the clock falls")
    with here.noted("access.json", another_lease):
        fails("the clock falls", "status_of lease", patience=50)


def set_password(access, now, then):
    ssh(access, f"echo {now} | sudo -S -p '' sh -c 'echo {access['user']}:{then} | chpasswd'", password=now)


def at_the_end(here):
    """An end that is none."""
    deaf = here.script("deaf-market", f'[[ $1 == end ]] || exec {here.market.program} "$@"')
    here.fails("the market ends", "waited in vain for the erase", finish=True, market=deaf)
    # This one ends the lease in earnest.
    here.fails("the market ends", "waited in vain for the renter's machine to end", finish=True, patience=50)
    good = here.script("good-market", f'{here.market.program} "$@" || [[ $1 == receipt ]]')
    here.fails("the market has a wipe receipt", "a changed receipt gets status 0", finish=True, market=good)
    here.destructive("--finish", "--filter", "^the market has")
    with here.noted("access.json", lambda text: another_lease(text, here.device.status()["lease"])):
        here.fails("it is offered again", "status_of lease", finish=True, patience=20)
    here.destructive("--finish", "--filter", "^it is offered again")


def changed(here, test):
    """What was noted before is not what is found."""
    with here.noted("digest", lambda text: "0" + text):
        here.fails(test, "data is not what it was", patience=30)
    with here.noted("host-key", lambda text: "A" + text):
        here.fails(test, "it is another machine", patience=30)
    with here.noted("access.json", another_lease):
        here.fails(test, "it is another lease", patience=30)


def reboot(here):
    here.start()
    changed(here, "after a reboot")
    here.destructive()
    here.all_is_well()
    run("sync")
    await_power_cut("power-cut")


def second_machine(here):
    """Looks like the renter's machine, is there before it, and outlives its lease: none that hangs on the drive can, so this one does not."""
    shim = f"containerd-shim-runc-v2 -namespace moby -id {'0' * 64} -address {here.places['SUBLET_RUN']}/containerd.sock"
    return beside(f"exec -a '{shim}' bash -c 'sleep 86400; true'")


def power_cut(here):
    with second_machine(here):
        here.start()
        # What it looks at is what the one after the reboot does.
        with here.noted("digest", lambda text: "0" + text):
            here.fails("after a power cut", "data is not what it was", patience=30)
        here.destructive("--filter", "^after a power cut")
        run("dmesg", "--clear")
        here.skips("after a power cut", "was unmounted in order: this was no power cut")
        at_the_end(here)
    here.all_is_well()
    at("over")
    here.end()


CHAPTERS = {"safe": safe, "by-hand": by_hand, "lease": lease, "reboot": reboot, "power-cut": power_cut}


if __name__ == "__main__":
    sys.exit(tell_chapter(CHAPTERS, Broken))
