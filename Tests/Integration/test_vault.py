"""The renter's vault, as far as a kernel without device-mapper goes: who may ask, what may be asked, and that the governor goes on whatever
comes. What a vault keeps is shown in the fast rig (hardware-tests/vault.bats)."""

import contextlib
import json
import multiprocessing
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import termios
import threading
import time

import pytest
import world
from house import as_root
from world import ssh, wait_for

PROGRAM = world.ROOT / ".build" / "static" / "release" / "vault"
DONE, FAILED = 2, 3
NOT_PERMITTED, BUSY, BAD_MESSAGE = 2, 3, 10
PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def rented(house):
    """A rented device."""
    device = house.offered()
    device.access = house.rent(device, "1h")
    return device


def door(device):
    return str(device.run_folder / "vault" / "vault.sock")


def root_of(device):
    """The container's root, outside."""
    return int(next(path.name for path in (device.mount / "engine").iterdir() if re.fullmatch(r"\d+\.\d+", path.name)).split(".")[0])


def request(verb, size=0, passphrase=b""):
    return struct.pack(">IBBQ", 10 + len(passphrase), 1, verb, size) + passphrase


def read_answer(connection):
    """Kind, reason, state and text of the last answer; None where there was none."""
    last, data = None, b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            data += part
    while len(data) >= 4:
        length = struct.unpack(">I", data[:4])[0]
        frame, data = data[4 : 4 + length], data[4 + length :]
        assert frame[0] == 1 and len(frame) == length
        last = (frame[1], frame[2], frame[3], frame[20:].decode())
    return last


def knock(device, data, user=None, close=True):
    """Sends bytes as a user of this machine, and gives the last answer."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    try:
        if user is not None:
            os.setegid(root_of(device))
            os.seteuid(user)
        connection.connect(door(device))
    finally:
        os.seteuid(0)
        os.setegid(0)
    with connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
            if close:
                connection.shutdown(socket.SHUT_WR)
        return read_answer(connection)


def goes_on(device):
    """The governor lives, is at its work, and holds no child."""
    assert device.is_running
    before = len(device.events("market.checked-in"))
    device.wait_event("market.checked-in", before + 2, seconds=20)
    assert device.status()["state"] == "leased"


def vault(device, words, text="", **options):
    return ssh(device.access, "vault " + words, input=text, check=False, **options)


def test_the_renter_and_root_may_ask(rented):
    assert vault(rented, "status").stdout == "no vault; make one with: vault create --size 10G\n"
    assert json.loads(vault(rented, "status --json").stdout) == {"state": "none", "sizeBytes": 0, "usedBytes": 0}
    assert as_root(rented.access, "vault status").returncode == 0


def test_every_mistake_has_its_own_exit_status(rented):
    for words, text, status, says in (
        ("", "", 64, "expected a command"),
        ("unlock", "", 64, "unknown command"),
        ("create", "x" * 9, 64, "--size"),
        ("create --size 10", "x" * 9, 64, "--size"),
        ("create --size 63M", "x" * 9, 64, "--size"),
        ("create --size 1G --passphrase hunter22", "", 64, "unknown option --passphrase"),
        ("create --size 64M", "", 65, "too short"),
        ("create --size 64M", "7 bytes\n", 65, "too short"),
        ("create --size 64M", "x" * 513, 74, "more than 512"),
        ("open", "", 65, "no passphrase"),
        ("open", PASSPHRASE, 75, "there is no vault"),
        ("forget", "no\n", 64, "nothing was changed"),
        ("forget", "yes\n", 75, "there is no vault"),
    ):
        done = vault(rented, words, text)
        assert (done.returncode, says in done.stderr) == (status, True), (words, done.returncode, done.stderr)
    assert vault(rented, "close").returncode == 0
    help = vault(rented, "--help").stdout
    assert "create --size 10G" in help and "exit status" in help


@pytest.mark.skipif("device-mapper" in pathlib.Path("/proc/misc").read_text(), reason="this kernel has device-mapper: the fast rig's test shows the rest")
def test_without_device_mapper_a_vault_is_refused_and_nothing_is_left(rented):
    done = vault(rented, "create --size 64M", PASSPHRASE + "\n")
    assert done.returncode == 69
    assert "this device's kernel has no device-mapper" in done.stderr
    assert not list(rented.mount.glob("vault.luks*"))
    wait_for("the log line", lambda: any("verb=create result=unsupported" in line for line in rented.events("vault.asked")))
    assert PASSPHRASE not in rented.text()


def test_another_user_of_the_renters_machine_is_refused_by_the_socket_itself(rented):
    as_root(rented.access, "id other 2>/dev/null || useradd other")
    done = as_root(rented.access, "su other -c 'vault status'", check=False)
    assert done.returncode == 77
    assert "only root and the renter" in done.stderr


def test_whoever_gets_past_the_sockets_mode_is_known_by_the_kernels_word(rented):
    # Root of the device itself is neither root nor the renter in there.
    assert knock(rented, request(4))[:2] == (FAILED, NOT_PERMITTED)
    # By its group another user of the machine may connect, and is told the same.
    assert knock(rented, request(4), user=root_of(rented) + 1001)[:2] == (FAILED, NOT_PERMITTED)
    assert rented.wait_event("vault.refused")
    assert knock(rented, request(4), user=root_of(rented) + 1000)[:2] == (DONE, 0)
    assert knock(rented, request(4), user=root_of(rented))[:2] == (DONE, 0)


def test_a_vault_is_opened_only_for_the_renters_machine(rented):
    for verb, size in ((1, 64 << 20), (2, 0)):
        kind, reason, _, text = knock(rented, request(verb, size, PASSPHRASE.encode()), user=root_of(rented) + 1000)
        assert (kind, reason) == (FAILED, NOT_PERMITTED) and "renter's machine" in text


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\0\0\0\0", b"\0\0\0\x0a", b"\xff" * 64, request(4)[:-1], request(0), request(9), request(2), request(1, 1, b"x" * 8),
     request(4, 0, b"more"), b"GET / HTTP/1.1\r\n\r\n", b"\0\0\x10\x01" + b"\1" * 4097, request(1, 1 << 40, b"x" * 513)],
    ids=range(14),
)  # fmt: skip
def test_nonsense_is_answered_and_forgotten(rented, data):
    kind, reason, _, text = knock(rented, data, user=root_of(rented) + 1000)
    assert (kind, reason) == (FAILED, BAD_MESSAGE) and text


def test_ten_megabytes_are_cut_off(rented):
    began = time.monotonic()
    for data in (struct.pack(">I", 10_000_000) + b"\1" * 10_000_000, b"\0\0\x0f\xff" + b"\1" * 10_000_000):
        answer = knock(rented, data, user=root_of(rented) + 1000)
        assert answer is None or answer[:2] == (FAILED, BAD_MESSAGE)
    assert time.monotonic() - began < 10
    goes_on(rented)


def test_half_a_message_is_waited_for_five_seconds_and_keeps_nobody_but_the_vault_busy(rented):
    user = root_of(rented) + 1000
    answers = []
    waiting = threading.Thread(target=lambda: answers.append((knock(rented, request(2)[:9], user, close=False), time.monotonic())))
    # The user id belongs to the whole process: the second knock only after the first is in.
    began = time.monotonic()
    waiting.start()
    time.sleep(1)
    assert knock(rented, request(4), user)[:2] == (FAILED, BUSY)
    goes_on(rented)
    waiting.join()
    (kind, reason, _, text), ended = answers[0]
    assert (kind, reason) == (FAILED, BAD_MESSAGE) and "did not come" in text
    assert 4 < ended - began < 12
    assert vault(rented, "status").returncode == 0


def hammer(device, user, end, count):
    """Connects as often as it can, sends something, and goes away."""
    os.setegid(root_of(device))
    os.seteuid(user)
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.connect(door(device))
                connection.send(os.urandom(64))
            count.value += 1


def test_a_flood_changes_nothing(rented):
    """From the renter, from root in there, and from somebody who may not."""
    end = time.monotonic() + 8
    before, size = len(rented.events("market.checked-in")), len(rented.text())
    memory = rss(rented.process.pid)
    users = [root_of(rented) + number for number in (1000, 1000, 0, 1001)]
    fork = multiprocessing.get_context("fork")
    counts = [fork.Value("q", 0) for _ in users]
    processes = [fork.Process(target=hammer, args=(rented, user, end, count)) for user, count in zip(users, counts)]
    for process in processes:
        process.start()
    children = 0
    while time.monotonic() < end:
        found = world.run("pgrep", "-c", "-f", "-P", rented.process.pid, "storage vault", check=False).stdout
        children = max(children, int(found))
        time.sleep(0.1)
    for process in processes:
        process.join()
    assert all(count.value > 100 for count in counts), [count.value for count in counts]
    assert children <= 1, "one request after another"
    assert len(rented.events("market.checked-in")) >= before + 4, "the check-ins went on"
    told = rented.text()[size:]
    assert told.count("event=vault.") < 60 and told.count("event=vault.refused") <= 1, "the log is not filled"
    assert rss(rented.process.pid) < memory + 4096
    goes_on(rented)
    wait_for("the door", lambda: vault(rented, "status").returncode == 0, 30)


def rss(pid):
    """KiB that a process has in memory."""
    return int(re.search(r"^VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


def test_a_restarted_governor_answers_the_same_machine(rented):
    container = rented.container_pid()
    rented.kill()
    # The command waits a moment for a governor that starts anew.
    asking = threading.Thread(target=lambda: asking.__setattr__("done", vault(rented, "status")))
    asking.start()
    rented.start()
    asking.join()
    wait_for("the door", lambda: vault(rented, "status").returncode == 0, 30)
    assert rented.container_pid() == container


def test_the_machine_is_not_privileged_and_sees_what_is_mounted_for_it(rented):
    assert rented.container()["HostConfig"]["Privileged"] is False
    place = rented.mount / "vault"
    # What docs/vault.md says about doing it by hand.
    lacking = as_root(rented.access, "ls -d /dev/fuse /dev/loop0 /dev/loop-control /dev/mapper /dev/dm-0 2>/dev/null", check=False)
    assert lacking.stdout == ""
    assert as_root(rented.access, "mount -t tmpfs none /mnt", check=False).returncode != 0
    by_hand = "echo text >notes; echo pass | openssl enc -aes-256-ctr -pbkdf2 -iter 1000000 -salt -in notes -out notes.enc -pass stdin; "
    by_hand += "shred -u notes; echo pass | openssl enc -d -aes-256-ctr -pbkdf2 -iter 1000000 -in notes.enc -pass stdin"
    assert ssh(rented.access, by_hand).stdout == "text\n"
    assert ssh(rented.access, "ls -A /vault; touch /vault/x 2>&1 || id -u").stdout.split()[-1] == "1000"
    assert as_root(rented.access, "touch /vault/x", check=False).returncode != 0, "in the clear nothing may be written there"
    assert as_root(rented.access, "touch /run/sublet/x", check=False).returncode != 0
    world.run("mount", "-t", "tmpfs", "-o", "nosuid,nodev", "none", place)
    try:
        (place / "hello").write_text("from the host")
        assert ssh(rented.access, "cat /vault/hello").stdout == "from the host"
        assert as_root(rented.access, "umount /vault", check=False).returncode != 0
    finally:
        world.run("umount", place)
    assert ssh(rented.access, "ls -A /vault").stdout == ""
    # One mount there, and none of it on the drive's own mount below.
    assert [line.split()[4] for line in open("/proc/self/mountinfo")].count(str(place)) == 1


# At the terminal. The program alone; nobody answers it here.


class AtTerminal:
    """The program on a terminal of its own."""

    def __init__(self, *words):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            # Whoever runs the tests may ignore these (a shell's background job does, and nohup).
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.execv(PROGRAM, ["vault", *words])
        self.text = b""

    def until(self, text, seconds=10):
        end = time.monotonic() + seconds
        while text.encode() not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.master, 4096)
                except OSError:
                    break
        return self

    def type(self, text):
        os.write(self.master, text.encode())
        return self

    def has_echo(self):
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def end(self):
        """Its exit status, or minus the signal's number."""
        while True:
            try:
                part = os.read(self.master, 4096)
            except OSError:
                part = b""
            if not part:
                break
            self.text += part
        _, status = os.waitpid(self.pid, 0)
        os.close(self.master)
        return os.waitstatus_to_exitcode(status)


def test_the_passphrase_is_not_shown_and_asked_for_twice():
    terminal = AtTerminal("create", "--size", "1G").until("Passphrase")
    assert not terminal.has_echo()
    terminal.type(PASSPHRASE + "\n").until("Once more")
    assert not terminal.has_echo()
    terminal.type(PASSPHRASE + "!\n").until("not the same")
    assert terminal.has_echo()
    assert terminal.end() == 65
    assert b"horse" not in terminal.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_with_the_echo_on_again(number):
    terminal = AtTerminal("open").until("Passphrase")
    assert not terminal.has_echo()
    terminal.type("half a pass")
    os.kill(terminal.pid, number)
    wait_for("the echo", terminal.has_echo, 5)
    assert terminal.end() == -number
    assert b"half" not in terminal.text


def test_control_c_and_control_z_at_the_terminal():
    terminal = AtTerminal("open").until("Passphrase").type("\x03")
    assert terminal.end() == -signal.SIGINT
    terminal = AtTerminal("open").until("Passphrase").type("half\x1a")
    assert os.WIFSTOPPED(os.waitpid(terminal.pid, os.WUNTRACED)[1])
    assert terminal.has_echo()
    terminal.text = b""
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.until("Passphrase")
    assert not terminal.has_echo()
    terminal.type("\n").until("no passphrase")
    assert terminal.has_echo()
    assert terminal.end() == 65


def test_no_other_process_of_the_user_reads_its_memory():
    terminal = AtTerminal("open").until("Passphrase").type(PASSPHRASE)
    assert re.search(r"^Max core file size\s+0\s+0\s", pathlib.Path(f"/proc/{terminal.pid}/limits").read_text(), re.M)
    wait_for("locked memory", lambda: re.search(r"^VmLck:\s+[1-9]", pathlib.Path(f"/proc/{terminal.pid}/status").read_text(), re.M), 5)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == -signal.SIGTERM
