"""kill -9 of the market at any moment leaks no port, makes no second lease and loses no receipt: every message may be sent again.

A proxy between device and market kills the market after it has done what it was asked, so that the answer is lost.
"""

import json
import random
import secrets
import signal
import threading
import time

import pytest
from house import seconds_of, try_login
from proxy import Proxy, ask
from world import Trouble, run, wait_for

PAPER_DEVICES = 5
TRIPLE = 3


class PaperDevice(threading.Thread):
    """Registers one lease after another, each until the market has answered it; a lost answer is asked for again."""

    def __init__(self, house, number):
        super().__init__(daemon=True)
        self.config = house.market.add_device(f"paper{number}")
        path = house.space.folder / f"paper{number}"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path)
        self.key = " ".join(path.with_suffix(".pub").read_text().split()[:2])
        self.port = house.market.port
        self.stopping = threading.Event()
        self.granted = []
        self.lost = 0
        self.last = None

    def register(self, lease):
        hardware = {"architecture": "paper", "processors": 1, "memoryMiB": 1, "storageMiB": 1, "encryption": "none"}
        body = json.dumps({"lease": lease, "tunnelKey": self.key, "governor": "0", "hardware": hardware})
        return ask(self.port, self.config, "register", body, timeout=10)

    def run(self):
        while not self.stopping.is_set():
            lease = secrets.token_hex(16)
            while True:
                try:
                    answer = self.register(lease)
                except OSError:
                    answer = None
                except Exception:  # http.client's ways to say that an answer broke off
                    answer = None
                if answer and answer.status == 200:
                    break
                self.lost += 1
                time.sleep(0.02)
            self.last = json.loads(answer.body)
            self.granted.append(lease)


@pytest.fixture(scope="module")
def paper(house):
    devices = [PaperDevice(house, number) for number in range(PAPER_DEVICES)]
    for device in devices:
        device.start()
    yield devices
    for device in devices:
        device.stopping.set()


def test_no_kill_leaks_a_port(house, paper):
    """Five devices register lease after lease while the market is killed a dozen times at random moments: at the end each has one lease,
    the one that it was answered last, and exactly their ports are taken."""
    random.seed(7)
    for _ in range(12):
        time.sleep(random.uniform(0.05, 0.4))
        house.market.end(signal.SIGKILL)
        house.market.start()
    for device in paper:
        device.stopping.set()
    for device in paper:
        device.join(30)
        assert not device.is_alive()
    assert sum(device.lost for device in paper) >= 12 and all(len(device.granted) > 5 for device in paper)
    rows = {row["id"]: row for row in house.market.devices()}
    ports = []
    for device in paper:
        row = rows[device.config["deviceId"]]
        assert (row["lease"], row["state"]) == (device.granted[-1], "offered")
        again = json.loads(device.register(device.granted[-1]).body)
        assert again == {**device.last, "time": again["time"]}, "the same question has the same answer"
        ports += device.last["tunnel"]["ports"].values()
    assert len(set(ports)) == TRIPLE * PAPER_DEVICES
    assert house.free_ports() == house.sshd.ports[1] - house.sshd.ports[0] + 1 - TRIPLE * PAPER_DEVICES


@pytest.fixture(scope="module")
def proxy(house):
    proxy = Proxy(house.space, house.market.port)
    house.parts.append(proxy)
    return proxy


@pytest.fixture(scope="module")
def device(house, proxy, paper):
    device = house.device("pi", server=proxy.url)
    proxy.config = device.config
    return device


class LoseTheAnswer:
    """The first message of a kind reaches the market, which does it and is killed before the answer leaves."""

    def __init__(self, house, kind):
        self.house, self.kind, self.lost = house, kind, []

    def __call__(self, request):
        if request.kind != self.kind or self.lost:
            return request.relay()
        self.lost.append(request.relay())
        self.house.market.end(signal.SIGKILL)
        return None


def test_a_lost_registration_is_asked_for_again(house, proxy, device):
    """The market grants a lease and dies before it can say so. The device asks again under the same name and gets the same grant: no second
    lease, no port more. Before that, a grant without the market's seal and one of another lease were not taken."""
    free = house.free_ports()
    with proxy.lying(lambda request: request.changed()):
        device.start()
        assert "without the market's seal" in device.wait_event("lease.registration-failed", seconds=30)
    with proxy.lying(lambda request: request.changed(lease="0" * 32).sealed(request)):
        assert "about this lease" in device.wait_event("market.answer-refused", seconds=30)
    loser = LoseTheAnswer(house, "register")
    with proxy.lying(loser):
        wait_for("the grant to be lost", lambda: loser.lost, 30)
        # Not before the device has noticed: it is then that it must not take another name.
        device.wait_event("lease.registration-failed", 2, seconds=30)
        assert not device.events("storage.ready")
        house.market.start()
        device.wait_until("offered")
    leases = {json.loads(request.body)["lease"] for _, request in proxy.requests if request.kind == "register"}
    granted = json.loads(loser.lost[0].body)
    assert leases == {granted["lease"]} == {device.status()["lease"]} == {house.row(device)["lease"]}
    assert device.status()["sshPort"] == granted["tunnel"]["ports"]["ssh"]
    assert house.free_ports() == free - TRIPLE


@pytest.fixture(scope="module")
def access(house, device):
    return house.rent(device, "1h")


def test_a_killed_market_disturbs_no_lease(house, device, access):
    """kill -9 between two answers: the renter's session goes on, the device notices, and finds the market again by itself."""
    session, since = house.session(access), len(device.text())
    house.market.end(signal.SIGKILL)
    device.wait_event("market.check-in-failed", since=since, seconds=20)
    session.must_go_on()
    since = len(device.text())
    house.market.start()
    device.wait_event("market.checked-in", since=since, seconds=20)
    row = house.row(device)
    assert (row["lease"], row["state"], row["phase"]) == (access["lease"], "rented", "leased")
    assert len(device.events("lease.erasing")) == 1


def test_what_an_operator_does_while_the_market_is_down_counts(house, device, access):
    """`market extend` works on the records; the device hears of it when the market is back."""
    house.market.end(signal.SIGKILL)
    house.market.command("extend", device.label, "--for", "1h")
    house.market.start()
    wait_for("the device to hear of it", lambda: device.status().get("expires") == access["expires"] + 3600, 20)


def test_a_lost_answer_to_a_receipt_is_sent_again(house, proxy, device, access):
    """The lease ends; the market keeps the receipt and dies before it can say so. The device sends it again, and the market has it once;
    the ports of the old lease are free again."""
    free = house.free_ports()
    loser = LoseTheAnswer(house, "receipts")
    with proxy.lying(loser):
        house.market.command("end", device.label)
        wait_for("the receipt to be lost", lambda: loser.lost, 60)
        device.wait_event("receipt.failed", seconds=20)
        house.market.start()
        kept = device.wait_event("receipt.kept", seconds=40)
    assert access["lease"] in kept and seconds_of(kept) > seconds_of(device.events("receipt.failed")[0])
    receipt = house.space.folder / "receipt.json"
    receipt.write_text(house.market.command("receipt", "show", access["lease"]).stdout)
    assert f"good: lease {access['lease']}" in house.market.command("receipt", "verify", receipt).stdout
    assert not list((device.state / "receipts").iterdir())
    device.wait_until("offered")
    assert not try_login(access)
    assert house.free_ports() == free and house.row(device)["lease"] != access["lease"]
    with pytest.raises(Trouble):
        house.market.command("receipt", "show", device.status()["lease"])


def test_a_card_that_keeps_a_receipt_floods_no_market(house, proxy, device, access):
    """A receipt that the market has and that does not go off the card (read-only, say) is sent once with a check-in, not over and over."""
    kept = device.state / "receipts" / f"{access['lease']}.json"
    kept.write_text(house.market.command("receipt", "show", access["lease"]).stdout)
    # Nobody deletes a mount point.
    run("mount", "--bind", kept, kept)
    try:
        before = len(proxy.requests)

        def sent(kind):
            return [request.kind for _, request in proxy.requests[before:]].count(kind)

        wait_for("the receipt to be sent ten times", lambda: sent("receipts") >= 10, 60)
        assert sent("receipts") <= sent("check-in") + 1
    finally:
        run("umount", kept)
    wait_for("the receipt to go", lambda: not kept.exists(), 30)
