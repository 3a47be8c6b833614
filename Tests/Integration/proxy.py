"""A liar between a device and its market: passes messages on, or answers something else in the market's place.

It has the device's key, so it can also seal a lie as the market would: then it is the message itself that must be refused.
"""

import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import secrets
import threading
import time

SEAL = "Sublet-Seal"


def seal(key, nonce, status, body):
    """The market's seal of an answer (Sources/Protocol/Door.swift)."""
    return hmac.new(hashlib.sha256(key.encode()).digest(), f"{nonce}\n{status}\n".encode() + body, hashlib.sha256).hexdigest()


def ask(port, config, kind, body, nonce=None, timeout=30, tls=None):
    """Sends a device's message to a market as its governor does, by https with `tls`, an SSL context; gives status, seal and body."""
    if tls:
        connection = http.client.HTTPSConnection("localhost", port, timeout=timeout, context=tls)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {
        "Content-Type": "application/json", "Authorization": "Bearer " + config["deviceKey"],
        "Sublet-Nonce": nonce or secrets.token_hex(16),
    }
    with contextlib.closing(connection):
        connection.request("POST", f"/api/v1/devices/{config['deviceId']}/{kind}", body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), {SEAL: answer.getheader(SEAL, "")})


class Answer:
    """An HTTP answer; `length` other than the body's is a lie of its own."""

    def __init__(self, status, body=b"", headers=(), length=None):
        self.status = status
        self.body = body if isinstance(body, bytes) else body.encode()
        self.headers = dict(headers)
        self.length = len(self.body) if length is None else length

    def sealed(self, request):
        """The same with the market's seal."""
        self.headers[SEAL] = seal(request.key, request.nonce, self.status, self.body)
        return self


class Request:
    """What a device sent."""

    def __init__(self, proxy, path, headers, body):
        self.proxy, self.path, self.body = proxy, path, body
        self.kind = path.rsplit("/", 1)[-1]
        self.key = proxy.config["deviceKey"]
        self.nonce = headers.get("Sublet-Nonce", "")

    def relay(self):
        """The market's own answer."""
        return ask(self.proxy.market_port, self.proxy.config, self.kind, self.body, self.nonce, timeout=90)

    def changed(self, **changes):
        """The market's own answer with other values, without a seal; None takes a key out."""
        answer = self.relay()
        terms = {**json.loads(answer.body), **changes}
        return Answer(answer.status, json.dumps({key: value for key, value in terms.items() if value is not None}))


class Proxy:
    """Listens on loopback; `lie` takes a request and gives an Answer, bytes as they are, or None to hang up."""

    def __init__(self, space, market_port):
        self.market_port = market_port
        self.port = space.port()
        self.config = None
        self.lie = None
        self.requests = []
        self.server = None
        self.listen()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def listen(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.answer(self, Request(proxy, self.path, self.headers, body))

            do_GET = do_POST

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def refuse(self):
        """Closes the port: connections are refused."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    remove = refuse

    def answer(self, handler, request):
        self.requests.append((time.monotonic(), request))
        lie = self.lie or (lambda request: request.relay())
        handler.close_connection = True
        try:
            answer = lie(request)
            if isinstance(answer, bytes):
                handler.wfile.write(answer)
            elif answer:
                handler.send_response_only(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers, "Content-Length": answer.length}.items():
                    handler.send_header(name, str(value))
                handler.end_headers()
                handler.wfile.write(answer.body)
        except OSError:
            # The device has hung up, or the market is away: the device hears nothing, as with any proxy whose back is gone.
            pass

    @contextlib.contextmanager
    def lying(self, lie):
        """Lies for a while; `Proxy.refuse` is a lie too."""
        if lie is Proxy.refuse:
            self.refuse()
        else:
            self.lie = lie
        try:
            yield
        finally:
            self.lie = None
            if not self.server:
                self.listen()
