"""A loopback HTTP proxy in front of a Gmail stand-in, with the faults that Gmail has and stand-ins don't.

It always replaces the Message-ID of what is sent, as Gmail does, and threads a draft by the threadId given
with it alone, whatever its headers say. Everything else is asked for with `Fault`.
The SDK under test only needs its URL, so it may be another process.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import random
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["answer", "answer-after", "lost", "reset", "stall", "stall-after"]

SEND = r"/drafts/send(\?|$)"
CREATE = r"/drafts(\?|$)"
WATCH = r"/users/me/watch(\?|$)"
HISTORY = r"/history(\?|$)"


@dataclass
class Fault:
    """What happens to requests whose method and path match.

    answer        `status`, `reason` and `headers` instead of forwarding
    answer-after  the same, after the server has done what was asked
    lost          forwarded; the connection closes without an answer
    reset         not forwarded; the connection is reset
    stall         held for `seconds`, then forwarded and answered
    stall-after   forwarded, then held for `seconds` before the answer

    `page` is answered as HTML, as by something on the way, instead of the provider's own JSON.
    `count` ends it after that many requests; `rate` lets it strike at random (seeded by the proxy).
    """

    kind: Kind
    method: str = ".*"
    path: str = ".*"
    count: int | None = 1
    rate: float = 1.0
    status: int = 500
    reason: str = "backendError"
    message: str = "Backend Error"
    headers: dict[str, str] = field(default_factory=dict)
    page: str = ""
    seconds: float = 0.0
    struck: int = 0


def rate_limited(path: str = SEND, *, retry_after: int | None = 7, count: int | None = 1) -> Fault:
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return Fault(
        "answer",
        path=path,
        count=count,
        status=429,
        reason="rateLimitExceeded",
        message="User-rate limit exceeded.",
        headers=headers,
    )


def expired_history(count: int | None = 1) -> Fault:
    return Fault(
        "answer",
        method="GET",
        path=HISTORY,
        count=count,
        status=404,
        reason="notFound",
        message="Requested entity was not found.",
    )


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    status: int | None
    """What the server behind answered; None where it wasn't asked."""


class FaultProxy:
    """Runs in threads from construction to `close()`."""

    def __init__(self, upstream: str, *, seed: int = 0, replace_message_ids: bool = True) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        assert parts.port is not None
        self.upstream = (parts.hostname, parts.port)
        self.replace_message_ids = replace_message_ids
        self.requests: list[Request] = []
        self.watched: list[str] = []
        """The topic of each watch that was asked for."""
        self.at_once = 0
        self.most_at_once = 0
        self._faults: list[Fault] = []
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._ids = 0
        self.closing = threading.Event()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """No more faults, and an empty log."""
        with self._lock:
            self._faults.clear()
            self.requests.clear()

    def count(self, method: str = ".*", path: str = ".*", *, forwarded: bool = False) -> int:
        """How many requests came (or reached the server) that match."""
        with self._lock:
            return sum(
                1
                for r in self.requests
                if re.fullmatch(method, r.method)
                and re.search(path, r.path)
                and not (forwarded and r.status is None)
            )

    def quiet(self) -> bool:
        """Whether no request is under way, and none comes for a moment: what a killed client left behind arrives."""
        for _ in range(5):
            if self.at_once:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= 1

    def pick(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.count is not None and fault.struck >= fault.count:
                    continue
                if not (re.fullmatch(fault.method, method) and re.search(fault.path, path)):
                    continue
                if fault.rate >= 1.0 or self._random.random() < fault.rate:
                    fault.struck += 1
                    return fault
        return None

    def error_body(self, fault: Fault) -> bytes:
        if "oauth2" in fault.path:
            return json.dumps({"error": fault.reason, "error_description": fault.message}).encode()
        entry = {"message": fault.message, "domain": "global", "reason": fault.reason}
        error = {"code": fault.status, "message": fault.message, "errors": [entry]}
        return json.dumps({"error": error}).encode()

    def log(self, method: str, path: str, status: int | None) -> None:
        with self._lock:
            self.requests.append(Request(method, path, status))

    def forward(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        if self.replace_message_ids and method == "POST" and re.search(SEND, path):
            # One at a time, or two sends of one draft could both rewrite it.
            with self._sending:
                self._replace_message_id(path, body, headers)
                return self._ask(method, path, body, headers)
        if method == "POST" and re.search(WATCH, path):
            # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/watch
            self.watched.append(str(json.loads(body)["topicName"]))
            expires = int((time.time() + 7 * 86_400) * 1000)
            made = json.dumps({"historyId": "1", "expiration": str(expires)}).encode()
            return 200, [("Content-Type", "application/json")], made
        if self.replace_message_ids and method == "POST" and re.search(CREATE, path):
            given = json.loads(body)
            # https://developers.google.com/workspace/gmail/api/guides/threads
            given["message"].setdefault("threadId", f"thr_{secrets.token_hex(8)}")
            body = json.dumps(given).encode()
        return self._ask(method, path, body, headers)

    def _ask(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.upstream, timeout=30)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _replace_message_id(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        draft_id = str(json.loads(body or b"{}").get("id", ""))
        draft = re.sub(r"/send(\?.*)?$", f"/{draft_id}", path)
        status, _, content = self._ask("GET", f"{draft}?format=raw", b"", headers)
        if status != 200:
            return
        value = str(json.loads(content)["message"]["raw"])
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        with self._lock:
            self._ids += 1
            new = f"<CAF{self._ids:06d}+{draft_id}@mail.gmail.com>"
        rewritten = replace_message_id(raw, new)
        update = json.dumps({"message": {"raw": base64.urlsafe_b64encode(rewritten).decode()}}).encode()
        status, _, content = self._ask("PUT", draft, update, headers)
        assert status == 200, content


def replace_message_id(raw: bytes, new: str) -> bytes:
    """`raw` with another Message-ID; the old one stays visible as Gmail leaves it."""
    head, separator, rest = raw.partition(b"\r\n\r\n")
    lines = re.split(rb"\r\n(?![ \t])", head)
    kept = [
        b"X-Google-Original-Message-ID:" + line.partition(b":")[2]
        if line.lower().startswith(b"message-id:")
        else line
        for line in lines
    ]
    return b"\r\n".join([*kept, f"Message-ID: {new}".encode()]) + separator + rest


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        owner, method, path = self.owner, self.command, self.path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {
            k: v
            for k, v in self.headers.items()
            if k.lower() not in {"host", "connection", "content-length", "accept-encoding"}
        }
        # Counted until the answer is known, not until it is written: by then the next request may be here.
        with owner.one_more():
            fault = owner.pick(method, path)
            kind = fault.kind if fault is not None else None
            if fault is not None and kind == "stall":
                owner.closing.wait(fault.seconds)
            answered: tuple[int, list[tuple[str, str]], bytes] | None = None
            if kind not in ("answer", "reset"):
                try:
                    answered = owner.forward(method, path, body, headers)
                except (OSError, http.client.HTTPException):
                    # The server behind is gone, as at the end of a test with a request still stalled.
                    self._drop(reset=True)
                    return
            owner.log(method, path, answered[0] if answered else None)
            if fault is not None and kind == "stall-after":
                owner.closing.wait(fault.seconds)
        if kind in ("lost", "reset"):
            self._drop(reset=kind == "reset")
            return
        if fault is not None and kind in ("answer", "answer-after"):
            kinds = {"Content-Type": "text/html"} if fault.page else {}
            body = fault.page.encode() or owner.error_body(fault)
            self._answer(fault.status, list({**kinds, **fault.headers}.items()), body)
            return
        assert answered is not None
        self._answer(*answered)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        # A client that has given up waiting is expected here.
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            given = {k.lower() for k, _ in headers}
            for name, value in headers:
                if name.lower() not in {"transfer-encoding", "content-length", "connection", "date"}:
                    self.send_header(name, value)
            if "content-type" not in given:
                self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status != 204:
                self.wfile.write(content)

    def _drop(self, *, reset: bool) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve


@contextmanager
def fault_proxy(upstream: str, *, seed: int = 0, replace_message_ids: bool = True) -> Iterator[FaultProxy]:
    proxy = FaultProxy(upstream, seed=seed, replace_message_ids=replace_message_ids)
    try:
        yield proxy
    finally:
        proxy.close()
