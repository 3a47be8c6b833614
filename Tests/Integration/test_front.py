"""The market behind its TLS front, a real nginx with board/market/nginx.conf; and the keys of devices, replaced and revoked."""

import http.client
import json
import secrets
import time

import pytest
from front import WAITING, Front
from proxy import SEAL, ask, seal
from world import wait_for


@pytest.fixture
def front(house):
    # Each test has a front that has not counted anything yet.
    front = Front(house.space, house.market)
    front.start()
    yield front
    front.end()


@pytest.fixture(scope="module")
def add(house):
    """Adds a device, and gives its configuration."""
    return house.market.add_device


def test_a_device_is_answered_and_the_answer_is_the_market_s(front, add):
    config, nonce = add("honest"), secrets.token_hex(16)
    answer = front.ask(config, nonce=nonce)
    assert answer.status == 200 and answer.headers[SEAL] == seal(config["deviceKey"], nonce, 200, answer.body)
    assert front.ask({**config, "deviceKey": "0" * 64}).status == 401


def test_nothing_else_is_behind_it(front):
    for path, status in (("/", 404), ("/api/v2/status", 404), ("/api/v1/status", 200), ("/api/v1/../../etc/passwd", 404)):
        connection = http.client.HTTPSConnection("localhost", front.port, timeout=30, context=front.tls)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (answer.status, "nginx/" in answer.getheader("Server")) == (status, False), path
        connection.close()


def test_device_keys_do_not_cross_in_the_clear(front, add):
    assert ask(front.port, add("clear"), "waiting", WAITING).status == 400


def test_sizes_are_limited(front, add):
    config = add("large")
    assert front.ask(config, body=json.dumps({"reason": "x" * 65_536})).status == 413
    with front.link() as link:
        link.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
        assert link.recv(4096).split()[1] == b"400"


def test_who_sends_slowly_is_sent_away(front, add):
    """A head that never ends, and a body that never comes. The market does not hear of either."""
    config = add("slow")
    began = time.monotonic()
    heads = [b"GET /api/v1/status HTTP/1.1\r\nHost: loc", (
        f"POST /api/v1/devices/{config['deviceId']}/waiting HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{").encode()]
    links = [front.link() for _ in heads]
    for link, head in zip(links, heads):
        link.sendall(head)
    for link in links:
        # At once would be no time limit; and 45 seconds is how long this side waits.
        answer = link.recv(4096)
        assert not answer or answer.split()[1] == b"408"
        link.close()
    assert time.monotonic() - began > 5


def test_a_device_that_floods_is_slowed_down_and_the_others_are_not(front, add):
    flood, quiet = add("flood"), add("quiet")
    statuses = front.statuses([flood] * 60)
    assert set(statuses) == {200, 429} and statuses.count(200) >= 20
    assert front.ask(quiet).status == 200
    wait_for("its turn to come again", lambda: front.ask(flood).status == 200, 20, 1)


def test_an_address_that_floods_is_slowed_down(front):
    """With another device's name in each message; none of them is one."""
    strangers = [{"deviceId": f"00000000-0000-4000-8000-{number:012x}", "deviceKey": "0" * 64} for number in range(600)]
    statuses = front.statuses(strangers)
    assert set(statuses) == {401, 429} and statuses.count(401) >= 200


def test_another_key_takes_the_place_of_the_old(front, add, house):
    config = add("changed")
    fresh = json.loads(house.market.command("device", "rekey", "changed", "--server", "https://market.example").stdout)
    assert (fresh["deviceId"], fresh["name"], fresh["server"]) == (config["deviceId"], "changed", "https://market.example")
    assert front.ask(config).status == 401
    assert front.ask(fresh).status == 200


def test_a_revoked_device_is_let_in_no_more(front, add, house):
    config = add("revoked")
    assert front.ask(config).status == 200
    house.market.command("device", "revoke", "revoked")
    assert front.ask(config).status == 401
    assert next(row for row in house.market.devices() if row["name"] == "revoked")["state"] == "revoked"
    done = house.market.command("device", "revoke", "revoked", check=False)
    assert done.returncode == 75 and "revoked already" in done.stderr
    fresh = json.loads(house.market.command("device", "rekey", "revoked").stdout)
    assert front.ask(fresh).status == 200
