"""A market that is down, slow, lying or talking nonsense makes no device erase anything: it is a witness, not a weapon.

Between a rented device and the real market stands a proxy that answers in its place, with and without the market's seal. A second device
meets the slow lies meanwhile (a market that takes 30 s, and one that never answers), for they take their time.
"""

import json
import secrets
import threading
import time

import pytest
from house import seconds_of, try_login
from proxy import SEAL, Answer, Proxy, ask, seal
from world import run, ssh, wait_for

YEAR_1970, YEAR_9999 = 0, 253_402_300_799
DAY = 86_400
NO_SEAL = "without the market's seal"
REFUSAL = json.dumps({"error": {"code": "%s", "message": "a proxy says so"}})


class Stage:
    """A rented device behind a proxy."""

    def __init__(self, house, name):
        self.proxy = Proxy(house.space, house.market.port)
        house.parts.append(self.proxy)
        self.device = house.device(name, server=self.proxy.url)
        self.proxy.config = self.device.config
        self.house = house
        self.access = None

    def rent(self, duration="1h"):
        self.access = self.house.rent(self.device, duration)
        self.container = self.device.container_pid()

    def must_go_on(self):
        """The lease lives as if nothing had been said."""
        journal = self.device.journal()
        assert (journal["stage"], journal["lease"], journal["expires"]) == ("live", self.access["lease"], self.access["expires"])
        assert self.device.status()["state"] == "leased" and self.device.container_pid() == self.container
        assert len(self.device.events("lease.erasing")) == 1, "more than the one before the first tenant"

    def troubles(self, since):
        return self.device.events("market.check-in-failed", since) + self.device.events("market.answer-refused", since)


@pytest.fixture(scope="module")
def stages(house):
    """The device for the quick lies and the one for the slow ones."""
    stages = [Stage(house, "quick"), Stage(house, "slow")]
    for stage in stages:
        stage.device.start()
    for stage in stages:
        stage.device.wait_until("offered")
        stage.rent()
    return stages


@pytest.fixture(scope="module")
def paper_device(house):
    """A device of which only the key exists; it holds a lease of its own, and the market's answers to it are real."""
    config = house.market.add_device("paper")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", house.space.folder / "paper")
    config["lease"] = secrets.token_hex(16)
    hardware = {"architecture": "paper", "processors": 1, "memoryMiB": 1, "storageMiB": 1, "encryption": "none"}
    key = " ".join((house.space.folder / "paper.pub").read_text().split()[:2])
    request = {"lease": config["lease"], "tunnelKey": key, "governor": "0", "hardware": hardware}
    assert ask(house.market.port, config, "register", json.dumps(request)).status == 200
    return config


class SlowLies(threading.Thread):
    """The market takes 30 s for one answer, then says nothing at all until the device gives up."""

    def __init__(self, stage):
        super().__init__(daemon=True)
        self.stage = stage
        self.notes = {}
        self.trouble = None
        self.silenced = threading.Event()

    def delay(self, request):
        self.stage.proxy.lie = self.silence
        self.notes["asked"] = time.time()
        time.sleep(30)
        return request.relay()

    def silence(self, request):
        if request.kind == "check-in":
            self.silenced.set()
        time.sleep(100)

    def run(self):
        try:
            device = self.stage.device
            since = len(device.text())
            self.stage.proxy.lie = self.delay
            wait_for("a check-in", lambda: "asked" in self.notes, 20)
            wait_for("the late answer", lambda: [line for line in device.events("market.checked-in", since) if self.is_late(line)], 45)
            self.notes["troubles after the delay"] = self.stage.troubles(since)
            since = len(device.text())
            self.notes["given up"] = wait_for("the device to give up", lambda: self.stage.troubles(since), 90)[0]
        except Exception as trouble:  # told by the test that joins this thread
            self.trouble = trouble
        finally:
            self.stage.proxy.lie = None

    def is_late(self, line):
        return seconds_of(line) - self.notes["asked"] > 29


@pytest.fixture(scope="module")
def slow_lies(stages):
    thread = SlowLies(stages[1])
    thread.start()
    return thread


@pytest.fixture(scope="module")
def quick(stages, slow_lies):
    return stages[0]


def plain(status, body, **headers):
    return lambda request: Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def sealed(status, body):
    return lambda request: Answer(status, body).sealed(request)


def changed(**changes):
    return lambda request: request.changed(**changes)


def changed_and_sealed(**changes):
    return lambda request: request.changed(**changes).sealed(request)


def half(request, length=None, is_sealed=False):
    """The first half of the market's own answer."""
    answer = request.relay()
    part = Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers, length and len(answer.body))
    return part.sealed(request) if is_sealed else part


def replay(request):
    """The market's own answer of a moment ago, seal and all."""
    before = json.loads(request.body)
    return ask(request.proxy.market_port, request.proxy.config, "check-in", json.dumps(before))


def falsely_sealed_end(request):
    """The end of this lease, sealed for a nonce that the device did not send."""
    answer = request.changed(state="ended")
    answer.headers[SEAL] = seal(request.key, secrets.token_hex(16), 200, answer.body)
    return answer


def jump(request):
    """The market's clock is a day ahead; by that clock the lease is over."""
    return request.changed(time=int(time.time()) + DAY).sealed(request)


def shorter(request):
    return request.changed(expires=int(time.time()) + 1).sealed(request)


def shorter_end(request):
    return request.changed(state="ended", expires=int(time.time()) + 60).sealed(request)


OTHER_LEASE = "0" * 32
LIES = {
    "connections are refused": (Proxy.refuse, "connect to server"),
    "hangs up": (lambda request: None, "Server returned nothing"),
    "no HTTP": (lambda request: b"SSH-2.0-OpenSSH\r\n", "Unsupported protocol"),
    "500": (plain(500, "oops"), f'status 500 {NO_SEAL}: \\"oops'),
    "an HTML page": (plain(200, "<html>Welcome to our hotel", Content_Type="text/html"), f'status 200 {NO_SEAL}: \\"<html>'),
    "empty": (plain(200, ""), f"{NO_SEAL}: an empty body"),
    "{}": (plain(200, "{}"), f'status 200 {NO_SEAL}: \\"{{}}'),
    "{}, sealed": (sealed(200, "{}"), "lease: expected"),
    "cut short": (lambda request: half(request, length=True), "partial file"),
    "cut short, with the length of that": (half, NO_SEAL),
    "cut short, sealed": (lambda request: half(request, is_sealed=True), "status 200: "),
    "too long": (plain(200, "x" * 100_000), "longer than 65536 bytes"),
    "a key that nobody knows, sealed": (changed_and_sealed(surprise=1), "surprise: expected no such key"),
    "an old answer again": (replay, NO_SEAL),
    "another lease": (changed(lease=OTHER_LEASE), NO_SEAL),
    "another lease, sealed": (changed_and_sealed(lease=OTHER_LEASE), f"about this lease, found {OTHER_LEASE}"),
    "another lease has ended, sealed": (changed_and_sealed(lease=OTHER_LEASE, state="ended"), f"about this lease, found {OTHER_LEASE}"),
    "this lease has ended, no seal": (changed(state="ended"), NO_SEAL),
    "this lease has ended, false seal": (falsely_sealed_end, NO_SEAL),
    "offered again, sealed": (changed_and_sealed(state="offered", expires=None), "found one that was never rented"),
    "ended by a market that forgot the rental, sealed": (changed_and_sealed(state="ended", expires=None), "found one that was never rented"),
    "ended by a market that forgot the extension, sealed": (shorter_end, "expected an expiration not before"),
    "expired in 1970": (changed(expires=YEAR_1970), NO_SEAL),
    "expired in 1970, sealed": (changed_and_sealed(expires=YEAR_1970), "expires: expected"),
    "expires in 9999": (changed(expires=YEAR_9999), NO_SEAL),
    "expires in 9999, sealed": (changed_and_sealed(expires=YEAR_9999), "expires: expected"),
    "expires in a second, sealed": (shorter, "expected an expiration not before"),
    "the clock jumped, sealed": (jump, "expected the market's clock near"),
    "401": (plain(401, REFUSAL % "unauthorized"), f"status 401 {NO_SEAL}: unauthorized: a proxy says so"),
    "401, sealed": (sealed(401, REFUSAL % "unauthorized"), "unauthorized: a proxy says so"),
    "404": (plain(404, "not found"), f"status 404 {NO_SEAL}"),
    "404, sealed": (sealed(404, REFUSAL % "not-found"), "the market knows no such lease"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_changes_nothing(quick, name):
    """The device keeps the lease, and its log says what was wrong."""
    lie, words = LIES[name]
    since = len(quick.device.text())
    with quick.proxy.lying(lie):
        # A question that was under way may fail in another way first.
        wait_for(f"the device to tell {words}", lambda: [line for line in quick.troubles(since) if words in line], 30, 0.02)
    quick.must_go_on()


def test_the_answer_to_another_device_changes_nothing(quick, paper_device):
    """A real answer of the market about another device's lease, sealed with that device's key for this very request."""
    body = {"lease": paper_device["lease"], "phase": "leased", "tunnel": "up", "start": 1, "uptime": 1}

    def swap(request):
        return ask(request.proxy.market_port, paper_device, "check-in", json.dumps(body), request.nonce)

    since = len(quick.device.text())
    with quick.proxy.lying(swap):
        assert NO_SEAL in wait_for("the device to notice", lambda: quick.troubles(since), 30)[0]
    quick.must_go_on()


def test_a_restart_keeps_the_market_clock(quick):
    """A governor that was killed begins again and is told at once that the lease ran out long ago, by a clock that jumped: it has kept the
    count, and does not believe it."""
    device = quick.device
    device.kill()
    with quick.proxy.lying(jump):
        device.start()
        assert "expected the market's clock near" in device.wait_event("market.answer-refused", since=device.since, seconds=30)
    wait_for("the container", lambda: device.status().get("container") == "up", 30)
    quick.must_go_on()


def test_after_a_boot_one_clock_ends_nothing(quick):
    """The same without the kept count, as after a boot: the first answer says that the lease is over. It is asked for again, and goes on."""
    device = quick.device
    for lie in (jump, lambda request: request.changed(time=int(time.time()) + DAY, state="ended").sealed(request)):
        device.kill()
        (device.run_folder / "market-clock.json").unlink()
        with quick.proxy.lying(lie):
            device.start()
            device.wait_event("market.clock-doubted", since=device.since, seconds=30)
        device.wait_event("market.checked-in", since=device.since, seconds=30)
        wait_for("the container", lambda: device.status().get("container") == "up", 30)
        quick.must_go_on()


def test_a_redirect_is_not_followed(quick):
    """A hotel's login page sends everybody elsewhere; a device's key does not go there."""
    since, count = len(quick.device.text()), len(quick.proxy.requests)
    with quick.proxy.lying(plain(302, "", Location=quick.proxy.url + "/elsewhere")):
        assert f"status 302 {NO_SEAL}" in wait_for("the device to notice", lambda: quick.troubles(since), 30)[0]
    assert "elsewhere" not in [request.kind for _, request in quick.proxy.requests[count:]]
    quick.must_go_on()


def test_contact_resumes_with_backoff(quick):
    """While the market fails, the device asks again after 2, 4, 8 s, each a quarter more or less; when it behaves, all is well again."""
    device, proxy = quick.device, quick.proxy
    wait_for("an answer", lambda: device.status()["marketFailures"] == 0, 10)
    since = len(device.text())
    with proxy.lying(changed_and_sealed(checkInSeconds=8)):
        device.wait_event("market.checked-in", 1, since=since)
    count = len(proxy.requests)
    with proxy.lying(plain(500, "oops")):
        wait_for("four tries", lambda: len(proxy.requests) >= count + 4, 45)
    times = [moment for moment, _ in proxy.requests[count:][:4]]
    pauses = [after - before for before, after in zip(times, times[1:])]
    for pause, plan in zip(pauses, (2, 4, 8)):
        assert 0.74 * plan <= pause <= 1.25 * plan + 0.7, pauses
    assert any(abs(pause - plan) > 0.02 for pause, plan in zip(pauses, (2, 4, 8))), f"no jitter: {pauses}"
    assert device.status()["marketFailures"] >= 3
    since = len(device.text())
    device.wait_event("market.checked-in", since=since, seconds=20)
    assert device.status()["marketFailures"] == 0
    quick.must_go_on()
    assert ssh(quick.access, "id -un").stdout.strip() == quick.access["user"]


def test_a_slow_market_changes_nothing(stages, slow_lies):
    """An answer that takes 30 s is taken; where none comes the device gives up, says so, and keeps the lease."""
    slow_lies.join(150)
    assert not slow_lies.is_alive() and slow_lies.trouble is None, slow_lies.trouble
    assert slow_lies.notes["troubles after the delay"] == []
    assert "Timeout was reached" in slow_lies.notes["given up"]
    slow = stages[1]
    slow.must_go_on()
    since = len(slow.device.text())
    slow.device.wait_event("market.checked-in", since=since, seconds=20)
    assert try_login(slow.access)


def test_the_market_can_end_this_lease(quick):
    """The counter-proof: the same words about this very lease, sealed for this very request, do end it. And only the lie was the market's:
    it hears of the erase by the receipt."""
    def lie(request):
        return request.changed(state="ended").sealed(request) if request.kind == "check-in" else request.relay()

    with quick.proxy.lying(lie):
        quick.device.wait_event("lease.ended-by-market", seconds=20)
    quick.device.wait_event("lease.erased", 2, seconds=60)
    wait_for("the receipt", lambda: quick.house.market.command("receipt", "show", quick.access["lease"], check=False).returncode == 0, 20)
    assert not try_login(quick.access)


def test_the_known_end_needs_no_market(quick):
    """A market that goes away before the end can't lengthen a lease: at its known end the device erases by itself, and registers and sends
    the receipt when the market is back."""
    device = quick.device
    device.wait_until("offered")
    quick.rent("7s")
    before = len(device.text())
    with quick.proxy.lying(Proxy.refuse):
        expired = device.wait_event("lease.expired", seconds=20)
        assert -0.5 < seconds_of(expired) - quick.access["expires"] < 3
        device.wait_event("lease.erased", 3, seconds=60)
        device.wait_event("lease.registration-failed", seconds=20, since=before)
        assert device.status()["state"] == "registering"
    device.wait_until("offered")
    wait_for("the receipt", lambda: quick.house.market.command("receipt", "show", quick.access["lease"], check=False).returncode == 0, 20)
    assert quick.house.registrations(device)[-1] == device.status()["lease"]
