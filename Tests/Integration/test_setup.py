"""`governor setup`, judged by those who read what it writes: wpa_supplicant and sshd; and what lies on a fresh card for the owner to read."""

import json
import os
import pathlib
import re
import stat
import subprocess
import tempfile

import pytest
import world
from ports import free_port
from test_config import GOOD, text
from world import run, wait_for

OVERLAY = world.ROOT / "rootfs-overlay"
CARD = world.ROOT / "board" / "card"


@pytest.fixture
def root():
    """A root that only root can enter; sshd looks at every folder above a key file, so it is not in /tmp."""
    with tempfile.TemporaryDirectory(prefix="sublet-setup-", dir="/run") as folder:
        yield pathlib.Path(folder)


def set_up(root, system, check=True, **others):
    """Runs it for a configuration."""
    (root / "device-config.json").write_bytes(text({**GOOD, "storage": {"encryption": "none"}, "system": system, **others}))
    return run(world.BIN / "governor", "setup", "--root", root, "--config", root / "device-config.json", check=check)


def files(root):
    """What is below /etc: path and mode."""
    return {str(path.relative_to(root)): oct(stat.S_IMODE(path.stat().st_mode)) for path in root.glob("etc/**/*") if path.is_file()}


def test_what_is_said_is_there_and_what_is_not_said_goes(root):
    """Twice the same, then without: ours go, the image's name stays as it was last called. The hosts' own name is not touched."""
    key = "ssh-ed25519 " + "A" * 68
    host = os.uname().nodename
    for _ in range(2):
        done = set_up(root, {"hostname": "attic", "sshKeys": [key], "wifi": {"ssid": "x", "passphrase": "12345678", "country": "DE"}})
        assert done.stdout + done.stderr == ""
        assert files(root) == {
            "etc/hostname": "0o644", "etc/hosts": "0o644", "etc/sublet/authorized_keys": "0o600", "etc/sublet/wpa_supplicant.conf": "0o600",
        }
    set_up(root, {})
    assert set(files(root)) == {"etc/hostname", "etc/hosts"} and os.uname().nodename == host


def test_a_mistake_elsewhere_takes_neither_network_nor_way_in(root):
    """`limits` is wrong: `governor run` refuses it, setup does its work."""
    set_up(root, {"wifi": {"ssid": "x", "country": "DE"}}, limits={"memory": 1})
    assert "etc/sublet/wpa_supplicant.conf" in files(root)


def test_a_mistake_in_system_changes_nothing_and_shows_no_secret(root):
    """Status 78, one line; what was there stays; `governor run` says the same."""
    set_up(root, {"wifi": {"ssid": "x", "country": "DE"}})
    before = (root / "etc/sublet/wpa_supplicant.conf").read_bytes()
    done = set_up(root, {"wifi": {"ssid": "y", "country": "DE", "passphrase": "geheimes Paßwort"}}, check=False)
    assert done.returncode == 78 and len(done.stderr.splitlines()) == 1 and "geheim" not in done.stderr
    assert "system.wifi.passphrase: expected 8 to 63 characters of ASCII" in done.stderr
    assert (root / "etc/sublet/wpa_supplicant.conf").read_bytes() == before
    again = run(world.BIN / "governor", "fence", "--config", root / "device-config.json", check=False)
    assert (again.returncode, again.stderr) == (78, done.stderr)


# Names and passphrases that mean something to a careless writer of the file.
NETWORKS = [
    ("attic", "correct horse battery"), ("Müllers Netz 😀", 'a "quoted" # word'), ('";}#\\', "\"'\"'\"'\"'"), (" two  blanks ", "  8 blanks at ends  "),
    ("x" * 32, "p" * 63), ("P\"a\\x41\"", "\\x41\\n\\\\${HOME}%"), ("raw", "0123456789abcdefABCDEF" + "0" * 42), ("open", None),
]


@pytest.mark.parametrize("ssid,passphrase", NETWORKS)
def test_wpa_supplicant_reads_what_the_owner_meant(root, ssid, passphrase):
    """Name, passphrase and country arrive to the byte, by wpa_supplicant's own word."""
    wifi = {"ssid": ssid, "country": "NL", **({"passphrase": passphrase} if passphrase else {})}
    set_up(root, {"wifi": wifi})
    # There is no such interface: it reads its file, and ends.
    words = ("wpa_supplicant", "-dd", "-K", "-D", "wired", "-i", "sublet-no-such", "-c", root / "etc/sublet/wpa_supplicant.conf")
    said = run(*words, check=False, timeout=60).stdout
    assert "Failed to read" not in said and "Line " not in said.replace("Line: ", ""), said
    assert told(said, "ssid") == ssid.encode()
    assert "country='NL'" in said and "pmf=1" in said
    if passphrase is None:
        assert "key_mgmt: 0x4" in said
    elif len(passphrase) == 64:
        assert told(said, "PSK") == bytes.fromhex(passphrase)
    else:
        assert told(said, "PSK (ASCII passphrase)") == passphrase.encode()


def told(said, what):
    """The bytes of a hexdump (with -dd: sixteen a line, in hex and in letters; a short one on the line itself)."""
    lines = said.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{what} - hexdump"))
    bytes_of = []
    if "):" in lines[start] and re.search(r"\): ([0-9a-f]{2}( |$))", lines[start]):
        bytes_of = lines[start].split("): ")[1].split()
    for line in lines[start + 1 :]:
        found = re.match(r"^     ((?:[0-9a-f]{2} )+)", line)
        if not found:
            break
        bytes_of += found[1].split()
    return bytes(int(byte, 16) for byte in bytes_of)


@pytest.fixture
def sshd(root):
    """The card's own sshd on loopback, its files below the root; and two pairs of keys, of which the owner's is in the configuration."""
    for name in ("owner", "stranger"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / name)
    set_up(root, {"sshKeys": [(root / "owner.pub").read_text().strip()]})
    key = root / "ssh_host_ed25519_key"
    run(OVERLAY / "usr/lib/sublet/ssh-key", key)
    config = (OVERLAY / "usr/lib/sublet/sshd_config").read_text()
    config = config.replace("/etc/sublet/", f"{root}/etc/sublet/").replace("/var/lib/sublet/", f"{root}/")
    port = free_port()
    (root / "sshd_config").write_text(f"{config}\nListenAddress 127.0.0.1:{port}\n")
    os.makedirs("/run/sshd", exist_ok=True)
    with (root / "sshd.log").open("wb") as log:
        process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", root / "sshd_config"], stdin=subprocess.DEVNULL, stderr=log)

    def login(name, user="root", *options):
        known = f"UserKnownHostsFile={root}/known"
        words = ["ssh", "-F", "/dev/null", "-p", port, "-i", root / name, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", known]
        words += ["-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=30", "-o", "BatchMode=yes", *options, f"{user}@127.0.0.1", "id -un"]
        return run(*words, check=False, timeout=60)

    wait_for("sshd", lambda: "listening" in (root / "sshd.log").read_text() and process.poll() is None, 20)
    yield login
    process.terminate()
    process.wait()


def test_the_owners_key_opens_and_nothing_else_does(root, sshd):
    """Root by the owner's key; a stranger's key, another user and a password are refused, and a password is not even asked for."""
    done = sshd("owner")
    assert (done.returncode, done.stdout) == (0, "root\n"), done.stderr + (root / "sshd.log").read_text()
    for refused in (sshd("stranger"), sshd("owner", "nobody"), sshd("stranger", "root", "-o", "PreferredAuthentications=password,keyboard-interactive")):
        assert refused.returncode == 255 and "Permission denied (publickey)" in refused.stderr


def test_the_host_key_is_made_once(root):
    """A second start keeps it; half a key, as a power cut of another program leaves it, is made anew."""
    script, key = OVERLAY / "usr/lib/sublet/ssh-key", root / "key"
    run(script, key)
    first = key.read_bytes()
    run(script, key)
    assert key.read_bytes() == first and stat.S_IMODE(key.stat().st_mode) == 0o600 and sorted(os.listdir(root)) == ["key", "key.pub"]
    key.write_bytes(b"")
    (root / "key.new").write_bytes(b"half")
    run(script, key)
    assert key.read_bytes() not in (b"", first) and sorted(os.listdir(root)) == ["key", "key.pub"]


def test_the_example_on_the_card_is_right(root):
    """As it is, with Windows' line ends and with a byte order mark too; and each key in it has a row in the documents."""
    example = (CARD / "device-config.json.example").read_bytes()
    for content in (example, example.replace(b"\r\n", b"\n"), b"\xef\xbb\xbf" + example):
        (root / "device-config.json").write_bytes(content)
        run(world.BIN / "governor", "fence", "--config", root / "device-config.json")
        run(world.BIN / "governor", "setup", "--root", root, "--config", root / "device-config.json")
    assert files(root)["etc/sublet/wpa_supplicant.conf"] == "0o600"
    documented = set(re.findall(r"^\| `([a-zA-Z.]+)`", (world.ROOT / "docs" / "device-config.md").read_text(), re.MULTILINE))

    def keys(value, path=""):
        for key, inner in value.items():
            yield from keys(inner, path + key + ".") if isinstance(inner, dict) else [path + key]

    assert set(keys(json.loads(example))) <= documented


def test_what_the_owner_reads_first_is_right():
    """A text of Windows with the lamp's table word for word, and every key of the outermost object and of `system`."""
    said = (CARD / "READ-ME-FIRST.txt").read_bytes().decode("ascii")
    assert said.count("\n") == said.count("\r\n") and max(map(len, said.split("\r\n"))) <= 90
    for line in run(world.BIN / "governor", "lamp", check=False).stdout.splitlines()[:8]:
        look, meaning = line[8:28].strip(), line[28:]
        assert re.search(rf"^ +{re.escape(look)} +{re.escape(meaning)}\r$", said, re.MULTILINE), line
    documents = (world.ROOT / "docs" / "device-config.md").read_text()
    outer = set(re.findall(r"^\| `([a-zA-Z]+)", documents, re.MULTILINE)) | set(re.findall(r"^\| `system\.([a-zA-Z]+)", documents, re.MULTILINE))
    assert outer and not [key for key in outer if not re.search(rf"\b{key}\b", said)]
