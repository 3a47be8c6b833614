"""A market, its tunnel server and a device on loopback: real programs, started and ended by pid, nothing left behind.

The demo, the integration tests and the benchmarks all build their world from these classes.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from ports import free_port, free_port_range
from traces import end_all, forget_containers, left_behind, pids_naming, snapshot  # noqa: F401 (the demo takes some of them from here)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SUBLET_BIN", ROOT / ".build" / "release"))


class Trouble(Exception):
    """Something that was waited for did not come."""


def wait_for(what, check, seconds=60.0, pause=0.1):
    """The first true result of `check`; Trouble that says what was waited for after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise Trouble(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)


def run(*words, check=True, **options):
    """Runs a program and gives what it printed."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **options)
    if check and done.returncode != 0:
        raise Trouble(f"{words[0]} {words[1] if len(words) > 1 else ''}: status {done.returncode}: {done.stderr.strip()[-600:]}")
    return done


def architecture():
    """This machine's, by Debian's name."""
    return run("dpkg", "--print-architecture").stdout.strip()


def base_image():
    """The renter's machine for this processor, a tar; made if it is not in the cache yet, which takes minutes and is told on standard error."""
    made = subprocess.run([ROOT / "board/base-image", architecture()], stdout=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise Trouble(f"board/base-image: status {made.returncode}")
    return made.stdout.strip()


class Workspace:
    """A folder in RAM or on disk that only root can enter, for one world; sshd refuses to run helpers from /tmp, so it lies in /run."""

    def __init__(self, name="test"):
        os.makedirs("/run", exist_ok=True)
        self.before = snapshot()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"sublet-{name}-", dir="/run"))
        os.chmod(self.folder, 0o755)
        self.name = self.folder.name
        # Drives are large and may not lie in RAM.
        self.disk = pathlib.Path("/var/tmp", self.name)
        self.disk.mkdir(mode=0o755)
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        self.ports = set()
        for program in ("market", "governor"):
            if (BIN / program).exists():
                shutil.copy2(BIN / program, self.programs / program)

    def remove(self):
        """Removes both folders."""
        for folder in (self.folder, self.disk):
            shutil.rmtree(folder, ignore_errors=True)

    def port(self):
        """A free port that belongs to this world from now on."""
        port = free_port()
        self.ports.add(port)
        return port

    def left_behind(self):
        """What this world has left, in words."""
        return left_behind(self.before, self.name, Device.prefix, self.ports)


class Service:
    """A program in the background whose output goes to a file."""

    def __init__(self, log, space):
        self.log = pathlib.Path(log)
        self.space = space
        self.process = None

    def launch(self, words, **options):
        """Starts it in a session of its own, so that a Ctrl-C at the terminal reaches only us; by its environment it is found again."""
        environment = {**os.environ, "SUBLET_TEST_WORLD": self.space.name, **options.pop("env", {})}
        options.setdefault("stdin", subprocess.DEVNULL)
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                [str(w) for w in words], stdout=output, stderr=output, start_new_session=True, env=environment, **options,
            )

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def end(self, number=signal.SIGTERM, seconds=20):
        """Sends a signal and waits for the end."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def text(self):
        """All that it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Market(Service):
    """`market serve` and the operator's commands."""

    address = "127.0.0.1"

    def __init__(self, space, check_in=2, port=None):
        super().__init__(space.folder / "market.log", space)
        self.program = space.programs / "market"
        self.data = space.disk / "market"
        self.port = port or space.port()
        self.check_in = check_in
        self.arguments = []

    @property
    def url(self):
        return f"http://{self.address}:{self.port}"

    def start(self):
        before = self.text().count("event=market.ready")
        self.launch(
            [self.program, "serve", "--data", self.data, "--listen", f"{self.address}:{self.port}", "--check-in", self.check_in]
            + self.arguments
        )
        wait_for("the market to listen", lambda: self.text().count("event=market.ready") > before or not self.is_running, 20)
        if not self.is_running:
            raise Trouble("the market ended: " + self.text()[-600:])

    def command(self, *words, check=True):
        """An operator's command; gives what it printed."""
        return run(self.program, *words, "--data", self.data, check=check)

    def rent(self, device, duration, *more):
        """Rents a device; gives host, port, user and password."""
        return json.loads(self.command("rent", device, "--for", duration, "--json", *more).stdout)

    def try_rent(self, device, duration, *more):
        """The same; None where the device is not ready to be rented."""
        done = self.command("rent", device, "--for", duration, "--json", *more, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def add_device(self, name, server=None):
        """Adds a device, which is olga's; gives its device-config.json."""
        words = ("--owner", "olga", "--name", name, "--server", server or self.url)
        return json.loads(self.command("device", "add", *words).stdout)

    def devices(self):
        """What it lists of each device."""
        return json.loads(self.command("device", "list", "--json").stdout)


class TunnelServer(Service):
    """OpenSSH's sshd, as the market's operator runs it: from the configuration in board/market."""

    address = "127.0.0.1"
    # By which name devices find it, if by another.
    seen_as = None

    def __init__(self, space, market, bind="127.0.0.1"):
        super().__init__(space.folder / "sshd.log", space)
        self.market = market
        self.port = space.port()
        self.bind = bind
        self.host_key = space.folder / "host_ed25519"
        self.config = space.folder / "sshd_config"
        self.ports = free_port_range(30)
        space.ports.update(range(self.ports[0], self.ports[1] + 1))
        self.made_privsep = False

    @staticmethod
    def program():
        return pathlib.Path(shutil.which("sshd") or "/usr/sbin/sshd")

    def prepare(self):
        """Makes the host key if there is none, fills in the configuration, and tells the market of it."""
        if not self.host_key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.host_key)
        text = (ROOT / "board" / "market" / "sshd_config").read_text()
        values = {
            "PORT": self.port,
            "LISTEN": self.address,
            "HOST_KEY": self.host_key,
            "PID_FILE": self.space.folder / "sshd.pid",
            "USER": "nobody",
            "COMMAND_USER": "root",
            "MARKET": self.market.program,
            "DATA": self.market.data,
            "PENALTIES": "PerSourcePenalties no" if b"persourcepenalties" in self.program().read_bytes().lower() else "",
        }
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        left = re.findall(r"^[^#]*(@[A-Z_]+@)", text, re.M)
        if left:
            raise Trouble(f"sshd_config: nothing to put for {left}")
        self.config.write_text(text)
        self.market.command(
            "tunnel", "add", "--host", self.seen_as or self.address, "--port", self.port, "--user", "nobody",
            "--host-key-file", f"{self.host_key}.pub", "--bind", self.bind, "--ports", f"{self.ports[0]}-{self.ports[1]}", "--local",
        )

    def start(self):
        if not os.path.isdir("/run/sshd"):
            os.makedirs("/run/sshd", 0o755)
            self.made_privsep = True
        self.launch([self.program(), "-D", "-e", "-f", self.config])
        wait_for("the tunnel server to listen", self.answers, 20)

    def answers(self):
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.address, self.port)) == 0

    def sessions(self):
        """The pids of sshd's children, one or two a tunnel."""
        if not self.is_running:
            return []
        found, queue = [], [self.process.pid]
        while queue:
            children = run("pgrep", "-P", queue.pop(), check=False).stdout.split()
            found += [int(child) for child in children]
            queue += [int(child) for child in children]
        return found

    def end(self, number=signal.SIGTERM, seconds=20):
        """Ends the listener and the sessions, which would outlive it."""
        sessions = self.sessions()
        super().end(number, seconds)
        for pid in sessions:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # Another world's server needs the folder as long as it runs.
        if self.made_privsep and not pids_naming("/sshd_config"):
            try:
                os.rmdir("/run/sshd")
            except OSError:
                pass
            self.made_privsep = False


class Device(Service):
    """A governor with its own state, run folder, bridge and drive."""

    count = 0
    # Bridges of this process's devices; so many at once, and no other process has the number.
    prefix = f"sl{os.getpid() % 100000}x"

    def __init__(self, space, config, base, name="device", encryption="none", drive=None, subnet=None, fence="nftables", size_mib=3072):
        super().__init__(space.folder / f"{name}.log", space)
        Device.count += 1
        self.program = space.programs / "governor"
        self.base = base
        self.state = space.disk / name
        self.run_folder = space.folder / f"r{Device.count:02}"
        self.drive = pathlib.Path(drive or space.disk / f"{name}.img")
        self.config_path = space.folder / f"{name}.json"
        self.config = dict(config)
        self.id = self.config["deviceId"]
        self.bridge = f"{Device.prefix}{Device.count}"
        self.config["storage"] = {"path": str(self.drive), "encryption": encryption}
        if drive is None:
            self.config["storage"]["sizeMiB"] = size_mib
        self.config["limits"] = {"memoryMiB": 512, "pids": 256}
        third = (os.getpid() * 7 + Device.count) % 250
        self.subnet = subnet or f"10.213.{third}.{4 * Device.count}/30"
        self.config["network"] = {"bridge": self.bridge, "subnet": self.subnet, "fence": fence}
        self.write_config()

    def write_config(self):
        self.config_path.write_text(json.dumps(self.config))

    @property
    def places(self):
        return ["--config", self.config_path, "--state", self.state, "--run", self.run_folder, "--base", self.base]

    @property
    def environment(self):
        """The same, as hardware-tests/run is told it."""
        names = {
            "GOVERNOR": self.program, "SUBLET_CONFIG": self.config_path, "SUBLET_STATE": self.state, "SUBLET_RUN": self.run_folder,
            "SUBLET_BASE": self.base,
        }  # fmt: skip
        return {name: str(value) for name, value in names.items()}

    def start(self, **environment):
        """Starts the governor; by its environment whatever it starts is found again."""
        self.since = len(self.text())
        self.launch([self.program, "run", "--debug"] + self.places, env={"SUBLET_TEST_DEVICE": str(self.run_folder), **environment})

    def status(self):
        done = run(self.program, "status", "--json", *self.places, check=False)
        return json.loads(done.stdout or "{}")

    def journal(self):
        return json.loads((self.state / "journal.json").read_text())

    def state_is(self, *states):
        if self.process is not None and self.process.poll() is not None:
            raise Trouble(f"the governor ended with status {self.process.returncode}: " + self.text()[-800:])
        return self.status().get("state") in states

    def wait_until(self, *states, seconds=120):
        """Waits until the device is in one of the states."""
        try:
            wait_for(f"{self.id[:8]} to be {' or '.join(states)}", lambda: self.state_is(*states), seconds)
        except Trouble as trouble:
            raise Trouble(f"{trouble}; it is {self.status().get('state')}") from None

    def events(self, name, since=0):
        """The log lines of an event, from an offset in the log on; `self.since` is that of the last start."""
        return [line for line in self.text()[since:].splitlines() if f" event={name} " in line + " "]

    def wait_event(self, name, count=1, seconds=60, since=0):
        """Waits until an event was logged so often; gives the last line."""
        wait_for(f"event {name} ({count} times)", lambda: len(self.events(name, since)) >= count, seconds, 0.01)
        return self.events(name, since)[-1]

    @property
    def mount(self):
        return self.run_folder / "drive"

    def docker(self, method, path):
        """Asks the private engine."""
        done = run("curl", "-s", "-X", method, "--unix-socket", self.run_folder / "docker.sock", f"http://engine/v1.41{path}", check=False)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def engine_pid(self):
        return int((self.run_folder / "dockerd.pid").read_text())

    @property
    def containerd_number(self):
        return self.run_folder / "engine/containerd/containerd.pid"

    def containerd_pid(self):
        return int(self.containerd_number.read_text())

    def container(self):
        """What the engine says of the renter's container."""
        return self.docker("GET", "/containers/renter/json")

    def container_pid(self):
        return self.container()["State"]["Pid"]

    def tunnel_pid(self):
        """The ssh client that holds the tunnel."""
        done = run("ssh", "-F", "none", "-S", self.run_folder / "tunnel.sock", "-O", "check", "tunnel", check=False)
        found = re.search(r"pid=(\d+)", done.stderr + done.stdout)
        return int(found.group(1)) if found else None

    def kill(self):
        """Kills the governor alone, as a crash would."""
        self.end(signal.SIGKILL)

    def halt(self):
        """Ends the governor and everything of a lease that runs; the data stays."""
        self.end()
        return run(self.program, "halt", *self.places, check=False)

    def pull_the_plug(self):
        """What a reboot does: every process of ours dies at once; mounts, loops and network are gone, and what lay in RAM."""
        self.end(signal.SIGKILL)
        containers = self.containers()
        end_all(str(self.run_folder))
        run("dmsetup", "remove", "--force", f"{self.bridge}-lease", check=False) if shutil.which("dmsetup") else None
        run("ip", "link", "delete", self.bridge, check=False)
        run("nft", "delete", "table", "inet", f"sublet-{self.bridge}", check=False)
        forget_containers(containers)
        shutil.rmtree(self.run_folder, ignore_errors=True)

    def containers(self):
        """The containers of the private engine that were not deleted, by the folders that their shims work in."""
        return [path.parent for path in self.run_folder.glob("engine/containerd/daemon/*/*/*/address")]

    def remove(self):
        """Leaves nothing, whatever state it was in."""
        if self.run_folder.exists():
            done = self.halt()
            if done.returncode != 0:
                self.pull_the_plug()
        self.end(signal.SIGKILL)


def ssh(access, command, password=None, key=None, **options):
    """Runs a command in the renter's machine over ssh through the tunnel."""
    words = [
        "ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
        "-o", "ConnectTimeout=15", "-p", str(access["sshPort"]), "-l", access["user"],
    ]
    environment = dict(os.environ)
    if key:
        words += ["-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "PasswordAuthentication=no"]
    else:
        environment["SSHPASS"] = password or access["password"]
        words = ["sshpass", "-e", *words, "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]
    return run(*words, access["host"], command, **{"timeout": 60, "env": environment, **options})
