"""An OpenAI on loopback that behaves as told, faults included, and keeps what it was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler"], None]


def said(kind: str = "interested", **more: Any) -> str:
    """The model's words for a kind, as the schema wants them."""
    told = {"kind": kind, "confidence": 0.9, "referral_name": None, "referral_email": None}
    return json.dumps({**told, **more})


def completion(content: str | None, *, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": content, "refusal": refusal},
            }
        ],
        "usage": {"prompt_tokens": 500, "completion_tokens": 50, "total_tokens": 550},
    }


def answers(content: str | None, **more: Any) -> Answer:
    return lambda handler: handler.give(200, completion(content, **more))


def status(code: int, body: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.give(code, body or {"error": {"message": "no", "code": None}}, named)


def raw(body: bytes) -> Answer:
    return lambda handler: handler.give(200, body)


def stalls(handler: Handler) -> None:
    handler.owner.released.wait(10)
    handler.close_connection = True


def drips(handler: Handler, code: int = 200) -> None:
    """A byte now and then, each before any time-out of its own."""
    handler.send_response(code)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    with contextlib.suppress(OSError):
        while not handler.owner.released.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()
    handler.close_connection = True


def drips_an_error(handler: Handler) -> None:
    drips(handler, 502)


def resets(handler: Handler) -> None:
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


def breaks_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def owner(self) -> HostileOpenAi:
        return self.server.owner

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.owner.guard:
            self.owner.asked.append(json.loads(body))
            self.owner.keys.append(self.headers["Authorization"] or "")
            script = self.owner.script
            answer = script.pop(0) if len(script) > 1 else script[0]
        with contextlib.suppress(ConnectionError):
            answer(self)

    def give(self, code: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: HostileOpenAi

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


@dataclass
class HostileOpenAi:
    """`script`: what each request is answered with, the last for all that follow."""

    script: list[Answer] = field(default_factory=lambda: [answers(said())])
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    guard: threading.Lock = field(default_factory=threading.Lock)
    base_url: str = ""

    def told(self, number: int = -1) -> dict[str, str]:
        """{"recruiter", "candidate"} of a request."""
        quoted: dict[str, str] = json.loads(self.asked[number]["messages"][1]["content"])
        return quoted


@contextlib.contextmanager
def hostile_openai(*script: Answer) -> Iterator[HostileOpenAi]:
    owner = HostileOpenAi(list(script) or [answers(said())])
    server = _Server(("127.0.0.1", 0), Handler)
    server.owner = owner
    owner.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield owner
    finally:
        owner.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
