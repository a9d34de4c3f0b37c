"""Secrets that must be seen nowhere: not in what a notebook shows, an error says, a job carries, a log or a command
prints, nor in the database's file. Whoever signs mailboxes in here repeats all it was told in its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from redis import Redis

from outreach_sdk import runtime
from outreach_sdk.config import Settings
from outreach_sdk.mail.outlook.tokens import LOGIN
from tests.harness import ROOT

CANARIES = {
    "refresh": "canary-refresh-91ab",
    "client": "canary-secret-77cd",
    "openai": "sk-canary-55ef",
    "hunter": "canary-hunter-33aa",
    "calendly": "canary-calendly-11bb",
}

CELLS = (
    "import outreach_sdk as outreach, os\n"
    "from outreach_sdk import Mailbox, Sequence, Enrichment\n"
    "ws = outreach.connect()\nws",
    "boxes = [Mailbox.from_refresh_token(p, f'{p}@agency.example', refresh_token=os.environ['CANARY_REFRESH'],\n"
    "         client_id='app', client_secret=os.environ['CANARY_CLIENT']) for p in ('gmail', 'outlook')]\n"
    "boxes",
    "vars(boxes[0]), vars(boxes[1])",
    "seqs = []\n"
    "for box in boxes:\n"
    "    seq = Sequence.create(box.provider, mailbox=box, timezone='UTC')\n"
    "    seq.add_email('Hello {{ first_name }}', 'Hi')\n"
    "    seq.enroll([{'First Name': 'Bo', 'Email': f'bo@{box.provider}.example'}])\n"
    "    seq.activate()\n"
    "    seqs.append(seq)\n"
    "outreach.up()",
    "import time\n"
    "end = time.time() + 60\n"
    "while {Mailbox.get(b.id).status for b in boxes} != {'reauthorise'} and time.time() < end: time.sleep(0.2)\n"
    "print([Mailbox.get(b.id).status for b in boxes])",
    "boxes[0].check()",
    "boxes[1].check()",
    "boxes[0].transport",
    "boxes[1].transport.address()",
    "boxes[0].transport.address()",
    "[print(m, repr(m), m.status) for m in (Mailbox.get(b.id) for b in boxes)]",
    "seqs[0]",
    "seqs[1]",
    "outreach.notifications().to_dicts()",
    "outreach.events().to_dicts()",
    "Enrichment.providers().to_dicts()",
    "ws._session.settings",
    "from outreach_sdk import Candidate\n"
    "Candidate.create(first_name='Bo', last_name='Li', linkedin_url='linkedin.com/in/boli')",
    "Enrichment.run([{'First Name': 'Bo', 'Last Name': 'Li', 'Company': 'Acme', 'LinkedIn': 'linkedin.com/in/boli'}])",
    "raise RuntimeError(repr(ws._session.engine))",
)


class Echo(BaseHTTPRequestHandler):
    """Refuses everything, with all that it was asked in the answer."""

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.path.endswith("/openid-configuration"):
            self._answer(200, {f"{n}_endpoint": f"{LOGIN}/common/{n}" for n in ("authorization", "token")})
            return
        said = f"{self.path} {dict(self.headers)} {self.rfile.read(length).decode(errors='replace')}"
        self._answer(400, {"error": "invalid_grant", "error_description": said, "message": said})

    def _answer(self, status: int, said: dict[str, str]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PATCH = do_DELETE = do_PUT = do_POST

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def everything_in(redis: Redis) -> str:
    found = []
    for key in redis.scan_iter():
        kind = redis.type(key).decode()
        value = {
            "hash": lambda k: redis.hgetall(k),
            "string": lambda k: redis.get(k),
            "list": lambda k: redis.lrange(k, 0, -1),
            "set": lambda k: redis.smembers(k),
            "zset": lambda k: redis.zrange(k, 0, -1),
            "stream": lambda k: redis.xrange(k),
            "none": lambda k: "gone meanwhile",
        }[kind](key)
        found.append(f"{key!r} {value!r}")
    return "\n".join(found)


@pytest.mark.rule(12)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_secret_is_shown_logged_queued_or_kept_in_the_clear(
    tmp_path: Path, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    env = {
        "OUTREACH_HOME": str(home),
        "OUTREACH_WEB_PORT": "0",
        "OUTREACH_STAGGER_SECONDS": "0",
        "OUTREACH_TICK_SECONDS": "0.2",
        "OUTREACH_SEND_TIMEOUT": "5",
        "OUTREACH_GMAIL_ENDPOINT": echo,
        "OUTREACH_GOOGLE_TOKEN_URI": f"{echo}/token",
        "OUTREACH_GRAPH_ENDPOINT": echo,
        "OUTREACH_MICROSOFT_AUTHORITY": echo,
        "OPENAI_API_KEY": CANARIES["openai"],
        "OPENAI_BASE_URL": f"{echo}/v1",
        "OUTREACH_HUNTER_API_KEY": CANARIES["hunter"],
        "OUTREACH_HUNTER_ENDPOINT": echo,
        "OUTREACH_CALENDLY_WEBHOOK_SECRETS": CANARIES["calendly"],
        "PYTHONPATH": str(ROOT),
    }
    secret = {"CANARY_REFRESH": CANARIES["refresh"], "CANARY_CLIENT": CANARIES["client"]}
    for name, value in {**env, **secret, "IPYTHONDIR": str(tmp_path / "ipython")}.items():
        monkeypatch.setenv(name, value)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    client = NotebookClient(
        book, timeout=100, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    settings = Settings.from_env({**env, "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]})
    commands = {}
    with client.setup_kernel():
        for n, cell in enumerate(book.cells):
            client.execute_cell(cell, n)
        queued = everything_in(Redis.from_url(runtime.redis_url(settings)))
        plain = {k: v for k, v in os.environ.items() if k not in secret}
        for words in ("mailbox list", "status", "doctor", "sequence list", "webhooks list"):
            ran = subprocess.run(
                [sys.executable, "-m", "outreach_sdk.cli", *words.split(), "--json"],
                env=plain,
                capture_output=True,
                text=True,
                timeout=300,
            )
            commands[words] = ran.stdout + ran.stderr
    runtime.down(settings)

    shown = json.dumps(book.cells)
    assert "['reauthorise', 'reauthorise']" in shown, "the workers did ask, and were refused"
    assert "RuntimeError" in shown
    assert "rq:" in queued
    assert all(commands.values())
    places = {"the notebook": shown.replace(json.dumps(CELLS), ""), "Redis": queued, **commands}
    for path in home.rglob("*"):
        if path.is_file():
            places[path.name] = path.read_bytes().decode("latin-1")
    assert {"send-1.log", "clock.log"} <= set(places)
    leaks = [(where, name) for where, text in places.items() for name, c in CANARIES.items() if c in text]
    assert leaks == []
