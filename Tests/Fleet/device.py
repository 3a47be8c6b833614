"""A device of the fleet: what it says to the market, and its judgement of the answers."""

import asyncio
import contextlib
import json
import random
import secrets
import socket
import subprocess
import time

from proxy import SEAL, seal

HARDWARE = {"architecture": "paper", "processors": 1, "memoryMiB": 1, "storageMiB": 1, "encryption": "none"}


class Fleet:
    """What the devices share: where the market is, who has which ports, and what was seen."""

    def __init__(self, folder, port, period):
        self.folder, self.port, self.period = folder, port, period
        self.devices = []
        self.holders = {}
        # Twice as many as there were; odd until it listens again.
        self.kills = 0
        self.faults = []
        self.latencies = []
        self.answered = self.lost = self.registered = self.receipts = 0
        self.rented = self.extended = self.ended = self.refused = 0

    def connects(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wrong(self, text):
        self.faults.append(text)

    def raise_trouble(self):
        if len(self.faults) > 100:
            raise SystemExit("WRONG, over and over: " + "\n".join(self.faults[:10]))

    def hold(self, place, device, lease):
        """These ports are this lease's; nobody else may have one of them."""
        for kind, port in place["ports"].items():
            holder = self.holders.setdefault((place["host"], port), lease)
            if holder != lease:
                self.wrong(f"{device.name} got {place['host']}:{port} ({kind}) for lease {lease}, which lease {holder} has")

    def let_go(self, place, lease):
        for port in place["ports"].values():
            if self.holders.get((place["host"], port)) == lease:
                del self.holders[place["host"], port]


class Sale:
    """What the operators have done with a lease, and may just be doing."""

    def __init__(self):
        # It may be rented; it is, and its renter was told when it ends; somebody may have ended it.
        self.is_tried = self.is_known = self.is_ending = False
        self.may_end = set()

    def now(self):
        """What was known when a question was sent."""
        return self.is_known, set(self.may_end)

    def doubt(self, answer, before):
        """Why an answer can't be true; None where it can. It may be of any moment since the question was sent."""
        (was_known, may_end), state, expires = before, answer["state"], answer.get("expires")
        may_end |= self.may_end
        if state == "offered":
            return "it was rented" if was_known else None
        if state == "ended" and self.is_ending:
            return None
        if not self.is_tried:
            return "nobody has rented it"
        if self.is_known and expires not in may_end:
            return f"it ends at one of {sorted(may_end)}"
        if state == "rented":
            return "its time is up" if answer["time"] >= expires else None
        return None if answer["time"] >= expires else "nobody has ended it, and its time is not up"


class Device:
    """Registers, checks in, gives back; over a connection that it keeps."""

    def __init__(self, fleet, number, ident, key, is_rentable):
        self.fleet, self.name, self.id, self.key = fleet, f"d{number}", ident, key
        self.is_rentable = is_rentable
        self.tunnel_key = self.make_key() if is_rentable else "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + secrets.token_hex(21) + "A"
        self.reader = self.writer = None
        self.lease = self.place = self.sale = None
        self.is_busy = self.is_ending = False
        self.kills = self.time = 0
        self.phase = "registering"
        self.history = []

    def make_key(self):
        path = self.fleet.folder / self.name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
        return " ".join(path.with_suffix(".pub").read_text().split()[:2])

    async def live(self):
        # As devices do that have not all booted at once.
        await asyncio.sleep(random.uniform(0, self.fleet.period))
        while True:
            await self.register()
            while await self.check_in():
                await asyncio.sleep(self.fleet.period * random.uniform(0.9, 1.1))
            await self.give_back()

    async def register(self):
        self.lease, self.sale, self.phase = secrets.token_hex(16), Sale(), "offered"
        # An operator names the device, not the lease: who ends the one before may find this one.
        self.sale.is_ending = self.is_ending
        body = {"lease": self.lease, "tunnelKey": self.tunnel_key, "governor": "0.1.0", "hardware": HARDWARE}
        answer = await self.ask("register", body)
        if answer is None:
            return
        self.place = answer["tunnel"]
        self.fleet.hold(self.place, self, self.lease)
        self.history.append((self.lease, self.sale))
        self.fleet.registered += 1

    async def check_in(self):
        """Whether its lease goes on."""
        before = self.sale.now()
        body = {"lease": self.lease, "phase": self.phase, "tunnel": "up", "start": 1, "uptime": int(time.monotonic())}
        answer = await self.ask("check-in", body)
        if answer is None:
            return True
        self.fleet.answered += 1
        doubt = self.sale.doubt(answer, before)
        if doubt:
            self.fleet.wrong(f"{self.name} is told that lease {self.lease} is {answer['state']} until {answer.get('expires')}: {doubt}")
        if answer["tunnel"]["ports"] != self.place["ports"] or answer["tunnel"]["host"] != self.place["host"]:
            self.fleet.wrong(f"{self.name} is told other ports for lease {self.lease}")
        if answer["state"] == "rented":
            self.phase = "leased"
        elif answer["state"] == "offered" and self.phase == "leased":
            self.fleet.wrong(f"{self.name}: lease {self.lease} was rented and is offered again")
        return answer["state"] != "ended"

    async def give_back(self):
        """What it held may be somebody else's from now on; a receipt says that the data is gone."""
        self.fleet.let_go(self.place, self.lease)
        report = {"method": "key", "encryption": "none", "drive": "paper", "bytes": 1, "eraseMilliseconds": 1, "checkMilliseconds": 1, "checks": []}
        statement = json.dumps({"lease": self.lease, "device": self.id, "finished": self.time, "erase": report})
        words = ["ssh-keygen", "-q", "-Y", "sign", "-n", "sublet-wipe-receipt", "-f", self.fleet.folder / self.name]
        child = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        signature, _ = await child.communicate(statement.encode())
        answer = await self.ask("receipts", {"lease": self.lease, "statement": statement, "signature": signature.decode()})
        self.fleet.receipts += answer is not None

    async def ask(self, kind, body):
        """Asks until there is an answer; None for one that can't be true."""
        is_first = True
        while True:
            nonce = secrets.token_hex(16)
            began = time.monotonic()
            try:
                async with asyncio.timeout(60):
                    status, head, text = await self.exchange(kind, json.dumps(body).encode(), nonce)
            except (OSError, EOFError, TimeoutError) as error:
                self.hang_up(kind, error)
                is_first = False
                await asyncio.sleep(random.uniform(0.1, 1))
                continue
            if is_first:
                self.fleet.latencies.append((time.monotonic() - began) * 1000)
            return self.judge(kind, body, nonce, status, head, text)

    def judge(self, kind, body, nonce, status, head, text):
        if head.get(SEAL.lower()) != seal(self.key, nonce, status, text):
            self.fleet.wrong(f"{self.name}: the answer to {kind} has no good seal")
            return None
        if status != 200:
            self.fleet.wrong(f"{self.name}: status {status} for {kind}: {text.decode(errors='replace')}")
            return None
        answer = json.loads(text)
        if answer["lease"] != body["lease"]:
            self.fleet.wrong(f"{self.name} asked about lease {body['lease']} and was told about {answer['lease']}")
        if answer["time"] < self.time:
            self.fleet.wrong(f"{self.name}: the market's time went back from {self.time} to {answer['time']}")
        self.time = answer["time"]
        return answer

    async def exchange(self, kind, body, nonce):
        if self.writer is None:
            self.kills = self.fleet.kills
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.fleet.port)
        head = (
            f"POST /api/v1/devices/{self.id}/{kind} HTTP/1.1\r\nHost: market\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.key}\r\nSublet-Nonce: {nonce}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        kills = self.fleet.kills
        self.writer.write(head.encode() + body)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        text = await self.reader.readexactly(int(fields["content-length"]))
        self.kills = kills
        return int(lines[0].split()[1]), fields, text

    def hang_up(self, kind, error):
        """Only a market that was killed since it last answered may break it off."""
        self.fleet.lost += 1
        if self.kills == self.fleet.kills and self.kills % 2 == 0:
            self.fleet.wrong(f"{self.name}: no answer to {kind}, and nobody has killed the market: {error}")
        if self.writer is not None:
            with contextlib.suppress(OSError):
                self.writer.close()
        self.reader = self.writer = None
