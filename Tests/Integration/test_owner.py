"""What an owner without a keyboard meets: a device that stays with a wrong device-config.json, says why in device-status.txt, and goes on
when it is mended. (How that file comes onto the card: hardware-tests/device-status.bats.)"""

import json
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest
import world
from test_config import GOOD, text
from world import wait_for

MARK = b"\xef\xbb\xbf"


class Card:
    """A folder that stands for the card, and the governor that the unit would start on it."""

    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "device-config.json"
        self.log = folder / "log"
        self.process = None

    def write(self, value, form=lambda content: content):
        """The configuration, its drive in this folder, in an editor's form."""
        content = text(value) if not isinstance(value, bytes) else value
        self.config.write_bytes(form(content.replace(b"@DRIVE@", str(self.folder / "drive.img").encode())))

    def start(self, stays=True):
        words = [world.BIN / "governor", "run", *(["--stay"] if stays else []), "--config", self.config, "--state", self.folder / "state"]
        words += ["--run", self.folder / "run", "--base", self.folder / "no.tar", "--board", self.folder / "no-board"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self):
        return self.log.read_text()

    def status(self):
        """What `governor status --json` would read; nothing until there is one."""
        path = self.folder / "run" / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def text(self):
        return self.folder / "run" / "device-status.txt"

    @property
    def mark(self):
        return self.folder / "run" / "device-status.changed"

    def lines(self):
        """device-status.txt, which must be a text of Windows."""
        content = self.text.read_bytes().decode()
        assert content.endswith("\r\n") and content.count("\n") == content.count("\r\n") == content.count("\r")
        return content.split("\r\n")[:-1]

    def ended(self):
        """The exit status, once it has ended."""
        return wait_for("the end of the governor", lambda: self.process.poll() is not None, 60) and self.process.returncode

    def must_go_on(self):
        """It has read its configuration, and asks for the renter's base image, which is not there."""
        assert self.ended() == 69 and "base image" in self.said(), self.said()


@pytest.fixture
def card():
    with tempfile.TemporaryDirectory(prefix="sublet-owner-") as folder:
        card = Card(pathlib.Path(folder))
        yield card
        if card.process and card.process.poll() is None:
            card.process.kill()
            card.process.wait()


# What is on the card (None: nothing), and what the owner is told.
WRONG = {
    "missing": (None, "expected a readable file of at most 65536 bytes, found No such file or directory"),
    "empty": (b"", "expected JSON, found an empty file; copy it to the card again"),
    "half-copied": (text(GOOD)[:100], "found a text that ends too early, in line 1, column 101: the file was not copied whole"),
    "zeros": (text(GOOD)[:100] + bytes(400), "found zero bytes from line 1, column 101: the file was not copied whole; copy it again"),
    "UTF-16": (text(GOOD).decode().encode("utf-16"), "found a file saved as UTF-16; save it as UTF-8"),
    "ANSI": (text({**GOOD, "name": "@"}).replace(b'"@"', b'"Dachb\xf6den"'), "found a file saved in another encoding"),
    "curly quotes": (text(GOOD).replace(b'"server"', "“server”".encode()), "found a curly quote in line 1, column 2; use straight ones"),
    "a wrong key": (text({**GOOD, "sever": "https://market.example"}), "sever: expected no such key, found a string"),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_stays_says_why_and_goes_on_by_itself(card, name):
    """`--stay`, and no lamp: misconfigured in the status, one line in the log; when the file is mended nobody has to tell it."""
    content, sentence = WRONG[name]
    if content is not None:
        card.write(content)
    card.start()
    status = wait_for("the status", lambda: card.status().get("state") == "misconfigured" and card.status())
    assert sentence in status["fault"] and status["lamp"] == "four" and str(card.config) in status["fault"]
    if name == "missing":
        # Longer than it is between two looks.
        with pytest.raises(subprocess.TimeoutExpired):
            card.process.wait(timeout=7)
    first, empty, *rest, other, advice = card.lines()
    assert first.startswith("Sublet ") and (empty, other) == ("", "") and advice.startswith("Mend device-config.json on this card")
    assert rest == ["state       misconfigured", "lamp        four flashes, pause: configuration error", "fault       " + status["fault"]]
    assert card.text.stat().st_mode & 0o777 == 0o644 and card.mark.exists() and GOOD["deviceKey"] not in card.text.read_text()
    assert card.said().count("event=config.bad") == 1 and GOOD["deviceKey"] not in card.said()
    assert not (card.folder / "state" / "journal.json").exists() and not (card.folder / "drive.img").exists()
    card.write(GOOD)
    card.must_go_on()


@pytest.mark.parametrize("form", ["mark", "line ends", "both"])
def test_windows_editors_do_no_harm(card, form):
    """A byte order mark, \\r\\n, and both: the file is read as it is."""
    pretty = json.dumps(GOOD, indent=2).encode()
    card.write(pretty.replace(b"\n", b"\r\n") if form != "mark" else pretty, lambda content: content if form == "line ends" else MARK + content)
    card.start()
    card.must_go_on()
    assert "config.bad" not in card.said()


def test_a_name_that_windows_made_longer(card):
    """device-config.json.txt beside it: the sentence says so."""
    (card.folder / "device-config.json.txt").write_bytes(text(GOOD))
    card.start()
    wait_for("the sentence", lambda: "there is one that ends with .json.txt: take the .txt away" in card.status().get("fault", ""))
    os.rename(card.folder / "device-config.json.txt", card.config)
    card.config.write_bytes(card.config.read_bytes().replace(b"@DRIVE@", str(card.folder / "drive.img").encode()))
    card.must_go_on()


def test_the_owner_reads_why_it_does_not_start(card):
    """A governor that ends says so in the file; one that ends the same way again writes nothing new."""
    card.write(GOOD)
    (card.folder / "run").mkdir()
    card.start()
    assert card.ended() == 69
    lines = card.lines()
    assert lines[2:4] == ["state       not running", "lamp        dark: not running"] and "base image" in lines[4], lines
    assert lines[-1].startswith("It could not start.")
    before = card.text.stat()
    card.mark.unlink()
    card.start()
    assert card.ended() == 69
    assert not card.mark.exists() and card.text.stat().st_ino == before.st_ino


def test_without_stay_nothing_is_told(card):
    """By hand: one line and status 78 or 69; no file is made."""
    for content, code in ((b"", 78), (GOOD, 69)):
        card.write(content)
        card.start(stays=False)
        assert card.ended() == code and not card.text.parent.exists()


def test_a_key_in_the_wrong_place_is_not_shown(card):
    """Whoever mixes up the two lines of the market's answer does not find the key in the log, nor in a file that all may read."""
    card.write({**GOOD, "deviceId": GOOD["deviceKey"], "deviceKey": GOOD["deviceId"]})
    card.start()
    wait_for("the file", card.text.exists)
    assert "deviceId: expected a string of 1 to 36 bytes, found 64 bytes" in card.text.read_text()
    assert GOOD["deviceKey"] not in card.text.read_text() + card.said() + json.dumps(card.status())


def test_each_new_fault_is_told_and_a_signal_ends_the_wait(card):
    """Another fault in the same file is another line; HUP tells the same one again; TERM ends it, status 0."""
    card.write(b"")
    card.start()
    wait_for("the first", lambda: card.said().count("event=config.bad") == 1)
    card.write(b"[]")
    wait_for("the second", lambda: "found a list" in card.status().get("fault", ""))
    assert card.said().count("event=config.bad") == 2
    card.process.send_signal(signal.SIGHUP)
    wait_for("the third", lambda: card.said().count("event=config.bad") == 3, 3)
    card.process.terminate()
    assert card.ended() == 0


def test_a_mistyped_key_is_told_in_the_markets_words(house):
    """The market can't seal what it says to a device that it does not know. Its owner reads it all the same; with the right key it registers."""
    words = "unauthorized: no device of this id has this key; see deviceId and deviceKey in device-config.json"
    device = house.device()
    right = device.config["deviceKey"]
    device.config["deviceKey"] = right[::-1]
    device.write_config()
    device.start()
    assert words in device.wait_event("lease.registration-failed", seconds=60)
    text = device.run_folder / "device-status.txt"
    wait_for("device-status.txt to say it", lambda: text.exists() and words in text.read_text(), 10)
    assert device.status()["marketFailures"] >= 1 and not house.registrations(device)
    device.end()
    device.config["deviceKey"] = right
    device.write_config()
    device.start()
    device.wait_event("lease.registered", since=device.since, seconds=60)
