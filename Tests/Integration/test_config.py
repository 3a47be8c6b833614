"""A bad device-config.json stops the governor before anything is touched: exit 78, one line that names the key and what was expected."""

import copy
import json
import os
import pathlib
import tempfile

import pytest
import world
from world import run

KEY = "0123456789abcdef" * 4
GOOD = {
    "server": "https://market.example",
    "deviceId": "11111111-2222-4333-8444-555555555555",
    "deviceKey": KEY,
    "storage": {"path": "@DRIVE@", "sizeMiB": 1024, "encryption": "none"},
    "network": {"bridge": "slnone0", "subnet": "10.213.251.0/30", "fence": "nftables"},
}
ABSENT = object()


def changed(**changes):
    """The good configuration with other values; `storage__path` is a key within an object."""
    config = copy.deepcopy(GOOD)
    for key, value in changes.items():
        *outer, last = key.split("__")
        place = config
        for name in outer:
            place = place.setdefault(name, {})
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return config


def text(value):
    return json.dumps(value).encode()


# What is in the file (None: there is none), and the words that the one line must have.
BAD = {
    "missing": (None, ["expected a readable file", "No such file"]),
    "empty": (b"", ["JSON", "an empty file"]),
    "not JSON": (b"server = https://market.example\n", ["JSON"]),
    "half of it": (text(GOOD)[:100], ["JSON", "ends too early", "not copied whole"]),
    "UTF-16": (text(GOOD).decode().encode("utf-16"), ["saved as UTF-16; save it as UTF-8"]),
    "two of them": (text(GOOD) * 2, ["JSON"]),
    "a list": (b"[]", ["expected an object", "a list"]),
    "binary": (bytes(range(256)), ["JSON"]),
    "10 MB of spaces": (b" " * 10_000_000, ["at most 65536 bytes"]),
    "10 MB of a key": (text({**GOOD, "x" * 10_000_000: 1}), ["at most 65536 bytes"]),
    "nested deep": (b"[" * 30_000, ["JSON"]),
    "a folder": ("folder", ["expected a readable file", "directory"]),
    "an unknown key": (text(changed(colour="red")), ["colour", "expected no such key"]),
    "an unknown inner key": (text(changed(storage__colour="red")), ["storage.colour", "expected no such key"]),
    "no server": (text(changed(server=ABSENT)), ["server", "expected"]),
    "server is a number": (text(changed(server=1)), ["server", "expected a string", "a whole number"]),
    "http to a foreign host": (text(changed(server="http://market.example")), ["server", "https://", "http to \"market.example\""]),
    "http to a host that looks like this one": (text(changed(server="http://127.0.0.1.market.example")), ["server", "https://"]),
    "another scheme": (text(changed(server="ftp://market.example")), ["server", "https://"]),
    "port 70000": (text(changed(server="https://market.example:70000")), ["server", "70000"]),
    "port 0": (text(changed(server="https://market.example:0")), ["server", "the port \"0\""]),
    "a path behind the server": (text(changed(server="https://market.example/api")), ["server", "https://host"]),
    "no host": (text(changed(server="https://")), ["server", "the host"]),
    "empty GUID": (text(changed(deviceId="")), ["deviceId", "expected"]),
    "GUID of zeros": (text(changed(deviceId="00000000-0000-0000-0000-000000000000")), ["deviceId", "expected"]),
    "GUID with capitals": (text(changed(deviceId=GOOD["deviceId"].replace("5", "A"))), ["deviceId", "expected"]),
    "GUID is null": (text(changed(deviceId=None)), ["deviceId", "expected", "nothing"]),
    "short key": (text(changed(deviceKey=KEY[:40])), ["deviceKey", "64 lower-case hex digits"]),
    "key with capitals": (text(changed(deviceKey=KEY.upper())), ["deviceKey", "64 lower-case hex digits"]),
    "storage is a string": (text(changed(storage="/dev/sda")), ["storage", "expected an object", "a string"]),
    "a least size of half of what is needed": (text(changed(storage__minimumMiB=512)), ["storage.minimumMiB", "a whole number from 1024"]),
    "a least size in words": (text(changed(storage__minimumMiB="1 GiB")), ["storage.minimumMiB", "a whole number from 1024", "a string"]),
    "a file smaller than the least size": (text(changed(storage__minimumMiB=2048)), ["storage.sizeMiB", "at least minimumMiB", "1024"]),
    "a size and no path": (text(changed(storage__path=ABSENT)), ["storage.sizeMiB", "a path beside it"]),
    "a path that no receipt can hold": (text(changed(storage__path="/" + "x" * 250)), ["storage.path", "2 to 250 bytes", "251 bytes"]),
    "a key that would write on a terminal": (text(changed(**{"a\nb\x1b[31m": 1})), ["a?b?[31m", "expected no such key"]),
    "relative path": (text(changed(storage__path="drive.img")), ["storage.path", "expected an absolute path"]),
    "a size of half a MiB": (text(changed(storage__sizeMiB=0.5)), ["storage.sizeMiB", "a whole number from 1024"]),
    "a size of 1 MiB": (text(changed(storage__sizeMiB=1)), ["storage.sizeMiB", "a whole number from 1024", "found 1"]),
    # json-c 0.18 (Debian 13) refuses it by itself.
    "a size beyond 64 bits": (text(GOOD).replace(b"1024", b"99999999999999999999"), [("expected a whole number of at most 63 bits", "number expected")]),
    "another encryption": (text(changed(storage__encryption="rot13")), ["storage.encryption", "\"luks2\" \"none\"", "\"rot13\""]),
    "key erase without encryption": (text(changed(storage__erase="key")), ["storage.erase", "there is no key to destroy", "\"key\""]),
    "another adoption": (text(changed(storage__adopt="all")), ["storage.adopt", "\"blank\" \"any\"", "\"all\""]),
    "memory of 1 MiB": (text(changed(limits__memoryMiB=1)), ["limits.memoryMiB", "a whole number from 64"]),
    "processors in words": (text(changed(limits__processors="two")), ["limits.processors", "a number from 0.05 to 4096", "a string"]),
    "no processes": (text(changed(limits__pids=0)), ["limits.pids", "a whole number from 32"]),
    "a bridge with a slash": (text(changed(network__bridge="../x")), ["network.bridge", "a lower-case letter"]),
    "a network of 256": (text(changed(network__subnet="10.0.0.0/24")), ["network.subnet", "four addresses"]),
    "a network between two": (text(changed(network__subnet="10.0.0.1/30")), ["network.subnet", "four addresses"]),
    "a lamp in words": (text(changed(lamp="ACT")), ["lamp", "expected an object", "a string"]),
    "a lamp of another kind": (text(changed(lamp={"colour": "red"})), ["lamp.colour", "expected no such key"]),
    "an LED with a path": (text(changed(lamp={"led": "../sda"})), ["lamp.led", "a name in /sys/class/leds"]),
    "a line without a number": (text(changed(lamp={"gpio": {"chip": "x"}})), ["lamp.gpio.line", "a whole number from 0", "nothing"]),
    "a line in words": (text(changed(lamp={"gpio": {"chip": "x", "line": "17"}})), ["lamp.gpio.line", "a whole number from 0", "a string"]),
    "a line that no chip has": (text(changed(lamp={"gpio": {"chip": "x", "line": 70000}})), ["lamp.gpio.line", "70000"]),
    "a line of no chip": (text(changed(lamp={"gpio": {"line": 17}})), ["lamp.gpio.chip", "the label of a GPIO chip"]),
    "low in words": (text(changed(lamp={"gpio": {"chip": "x", "line": 1, "activeLow": "yes"}})), ["lamp.gpio.activeLow", "true or false"]),
    "a host name with a dot": (text(changed(system__hostname="attic.lan")), ["system.hostname", "expected a-z, 0-9"]),
    "a private key": (text(changed(system__sshKeys=["-----BEGIN OPENSSH PRIVATE KEY-----"])), ["system.sshKeys", "expected public keys"]),
    "Wi-Fi without a country": (text(changed(system__wifi={"ssid": "x"})), ["system.wifi.country", "nothing"]),
    "one address, not a list": (text(changed(network__allow="192.168.1.20")), ["network.allow", "expected a list", "a string"]),
    "an address beyond its range": (text(changed(network__allow=["192.168.1.5/24"])), ["network.allow", "IPv4 addresses", "192.168.1.5/24"]),
    "an address with 256": (text(changed(network__allow=["192.168.1.256"])), ["network.allow", "192.168.1.256"]),
    "an address in octal": (text(changed(network__allow=["192.168.010.1"])), ["network.allow", "192.168.010.1"]),
    "an IPv6 address": (text(changed(network__allow=["fe80::1"])), ["network.allow", "fe80::1"]),
    "all addresses": (text(changed(network__allow=["0.0.0.0/0"])), ["network.allow", "0.0.0.0/0"]),
    "a number as an address": (text(changed(network__allow=[3232235777])), ["network.allow", "a whole number"]),
    "33 addresses": (text(changed(network__allow=["192.168.1.20"] * 33)), ["network.allow", "at most 32"]),
    "mail is a word": (text(changed(network__smtp="yes")), ["network.smtp", "true or false"]),
    "half a megabit": (text(changed(network__upMbit=0.5)), ["network.upMbit", "a whole number from 1 to 100000"]),
    "no line at all": (text(changed(network__downMbit=0)), ["network.downMbit", "a whole number from 1 to 100000", "found 0"]),
    "a rate with its unit": (text(changed(network__downMbit="10 Mbit/s")), ["network.downMbit", "a whole number", "a string"]),
    "no connections": (text(changed(network__connections=0)), ["network.connections", "a whole number from 16 to 1000000", "found 0"]),
    "another fence": (text(changed(network__fence="barbed wire")), ["network.fence", "\"nftables\" \"none\"", "barbed wire"]),
}


@pytest.fixture
def place():
    """A place where nothing is yet: state, run folder and drive would be made in it. Its path is short, for sockets would lie below it."""
    with tempfile.TemporaryDirectory(prefix="sublet-config-") as folder:
        yield pathlib.Path(folder)


def start(place, content, **environment):
    """`governor run` with a configuration; gives how it ended."""
    path = place / "device-config.json"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content.replace(b"@DRIVE@", str(place / "drive.img").encode()))
    words = [world.BIN / "governor", "run", "--config", path, "--state", place / "state", "--run", place / "run", "--base", "/dev/null"]
    return run(*words, check=False, timeout=20, env={**os.environ, **environment})


def must_be_untouched(place):
    """Neither state nor run folder nor drive was made; no bridge, no rules."""
    assert [path.name for path in place.iterdir() if path.name != "device-config.json"] == []
    assert not pathlib.Path("/sys/class/net/slnone0").exists()
    assert "sublet-slnone0" not in run("nft", "list", "tables").stdout


@pytest.mark.parametrize("name", BAD)
def test_a_bad_configuration_is_refused(place, name):
    """Exit 78, nothing on standard output, one line on standard error that names file, key and expectation; nothing made or changed."""
    content, words = BAD[name]
    done = start(place, content)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 1 and len(done.stderr) < 1_000, done.stderr
    assert done.stderr.startswith(f"governor: {place}/device-config.json: ")
    for word in words:
        choice = (word,) if isinstance(word, str) else word
        assert [one for one in choice if one in done.stderr], done.stderr
    assert KEY not in done.stderr
    must_be_untouched(place)


def test_the_good_one_is_taken(place):
    """The counter-proof: the configuration that all the bad ones are made from is read; the governor then asks for its base image."""
    must_be_taken(place, GOOD)


@pytest.mark.parametrize("storage", [{}, {"minimumMiB": 4096}, {"adopt": "any"}, {"path": "/dev/sdz", "minimumMiB": 65536}])
def test_a_drive_need_not_be_named(place, storage):
    """Without `storage.path` a USB drive is looked for; all of `storage` may be missing but for what this kernel can't do."""
    must_be_taken(place, changed(storage={**storage, "encryption": "none"}))


def must_be_taken(place, config):
    """The governor has read its configuration, and asks for its base image."""
    path = place / "device-config.json"
    path.write_bytes(b"\xef\xbb\xbf" + text(config).replace(b"@DRIVE@", str(place / "drive.img").encode()))
    words = ("run", "--config", path, "--state", place / "state", "--run", place / "run", "--base", place / "no.tar")
    done = run(world.BIN / "governor", *words, check=False, timeout=20)
    assert done.returncode == 69 and "base image" in done.stderr
    must_be_untouched(place)


def test_encryption_needs_the_kernel(place):
    """LUKS2 is asked for, or nothing is said, and the kernel has no device-mapper: exit 69 with a way out; nothing touched."""
    if "device-mapper" in pathlib.Path("/proc/misc").read_text():
        pytest.skip("this kernel has device-mapper")
    for config in (changed(storage__encryption="luks2"), changed(storage__encryption=ABSENT), changed(storage=ABSENT)):
        done = start(place, text(config))
        assert done.returncode == 69 and len(done.stderr.splitlines()) == 1
        assert "device-mapper" in done.stderr and "modprobe dm-crypt" in done.stderr and '"encryption": "none"' in done.stderr
        must_be_untouched(place)


def test_the_boards_own_disk_serves_where_none_is_named(place):
    config, board, disk = place / "device-config.json", place / "board", place / "disk.img"
    config.write_bytes(text(changed(storage={"encryption": "none", "erase": "discard"})))
    board.write_text(f"LAMP_LED=x\nDRIVE={disk}\n")
    words = [world.BIN / "governor", "storage", "inspect", "--config", config, "--board", board, "--state", place / "state"]
    assert "name the drive" in run(*words, check=False).stderr
    with open(disk, "wb") as file:
        file.truncate(2 << 30)
    assert str(disk) in run(*words, check=False).stdout
    other = place / "other.img"
    other.touch()
    config.write_bytes(text(changed(storage={"path": str(other)})))
    assert str(disk) not in run(*words, check=False).stdout
