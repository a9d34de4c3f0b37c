"""Owners are told outside the product too: by e-mail, by Slack, one by one or once a day; each thing once."""

from __future__ import annotations

import datetime as dt
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk import jobs
from outreach_sdk.config import Settings
from outreach_sdk.engine import telling
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import InvalidInput, MailRefused
from outreach_sdk.mail.slack.client import SlackNotices
from outreach_sdk.mail.smtp.client import SmtpNotices
from outreach_sdk.objects.settings import mine
from outreach_sdk.objects.workspace import Workspace, notifications
from outreach_sdk.wiring import notices
from tests.harness import House

MORNING = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


class Post(socketserver.StreamRequestHandler):
    """As much SMTP as a client needs to hand over a message."""

    def handle(self) -> None:
        def say(text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        say("220 post.example")
        while line := self.rfile.readline().decode().strip():
            word = line.upper()
            if word.startswith("DATA"):
                say("354 go on")
                body = b""
                while (more := self.rfile.readline()) != b".\r\n":
                    body += more
                self.server.received.append(body)  # type: ignore[attr-defined]
                say("250 taken")
            elif word.startswith("RCPT") and "refused@" in line:
                say("550 nobody here")
            elif word.startswith("QUIT"):
                say("221 bye")
                return
            else:
                say("250 ok")


@pytest.fixture
def post() -> Iterator[socketserver.ThreadingTCPServer]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Post)
    server.daemon_threads = True
    server.received = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


class Chat(BaseHTTPRequestHandler):
    """An incoming webhook that answers what it was told to."""

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        answers = self.server.answers  # type: ignore[attr-defined]
        status, headers = answers.pop(0) if answers else (200, {})
        if status == 0:
            self.connection.close()
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def chat() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    server.received, server.answers = [], []
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def told(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url, {"OUTREACH_NOTICE_HOSTS": "127.0.0.1"})
    house.local()
    yield house
    house.close()


def say(house: House, text: str, now: dt.datetime | None = None) -> None:
    user = house.session.user
    notify(
        house.engine.store,
        workspace_id=user["workspace_id"],
        owner_id=user["id"],
        kind="send_failed",
        text=text,
        dedupe=text,
        now=now or house.engine.now(),
    )


def mail(post: socketserver.ThreadingTCPServer) -> SmtpNotices:
    return SmtpNotices(f"smtp://127.0.0.1:{post.server_address[1]}?from=outreach@agency.example")


def slack(house: House) -> telling.Notices:
    return notices(house.settings, telling.SLACK)


@pytest.mark.rule(13)
def test_owners_are_told_by_email_once_where_smtp_is_set(
    told: House, post: socketserver.ThreadingTCPServer
) -> None:
    store, now = told.engine.store, told.engine.now
    for _ in range(2):
        say(told, "The journey of Bo Li is paused.")
    assert telling.waiting(store, telling.MAIL, now())
    assert telling.tell(store, telling.MAIL, mail(post), now) == 1
    assert telling.tell(store, telling.MAIL, mail(post), now) == 0
    (raw,) = post.received  # type: ignore[attr-defined]
    assert b"The journey of Bo Li is paused." in raw
    assert b"To: ada@agency.example" in raw
    assert not telling.waiting(store, telling.MAIL, now() + dt.timedelta(days=1))


@pytest.mark.rule(13)
def test_a_post_office_that_is_away_costs_nothing_but_time(
    told: House, post: socketserver.ThreadingTCPServer
) -> None:
    store, at = told.engine.store, told.engine.now()
    say(told, "Once")
    assert telling.tell(store, telling.MAIL, SmtpNotices("smtp://127.0.0.1:1"), lambda: at) == 0
    assert not telling.waiting(store, telling.MAIL, at)
    later = at + dt.timedelta(minutes=3)
    assert telling.tell(store, telling.MAIL, mail(post), lambda: later) == 1
    assert "secret" not in repr(SmtpNotices("smtp://u:secret@127.0.0.1:1"))


def test_what_is_told_for_the_first_time_days_later_stays_in_the_product(
    told: House, post: socketserver.ThreadingTCPServer
) -> None:
    say(told, "Long ago", told.engine.now() - dt.timedelta(days=3))
    say(told, "Just now")
    assert telling.tell(told.engine.store, telling.MAIL, mail(post), told.engine.now) == 1
    assert b"Just now" in post.received[0]  # type: ignore[attr-defined]
    assert set(notifications()["text"]) == {"Long ago", "Just now"}


@pytest.mark.rule(13)
def test_slack_is_told_beside_the_mail_and_markup_is_only_text(
    told: House, post: socketserver.ThreadingTCPServer, chat: Any
) -> None:
    url = f"http://127.0.0.1:{chat.server_port}/services/T0/B0/secretpath"
    Workspace(told.session).set_mine(slack_url=url)
    say(told, "<!channel> Bo & Li answered")
    store, now = told.engine.store, told.engine.now
    assert telling.tell(store, telling.SLACK, slack(told), now) == 1
    assert telling.tell(store, telling.SLACK, slack(told), now) == 0
    assert telling.tell(store, telling.MAIL, mail(post), now) == 1
    (message,) = chat.received
    assert message == {"text": "*Outreach: send failed*\n&lt;!channel&gt; Bo &amp; Li answered"}


@pytest.mark.parametrize(
    ("answer", "again_after", "at_last"),
    [
        ((429, {"Retry-After": "7"}), dt.timedelta(seconds=8), 2),
        ((503, {}), dt.timedelta(minutes=3), 2),
        ((404, {}), dt.timedelta(days=1), 1),
        ((302, {"Location": "http://169.254.169.254/"}), dt.timedelta(days=1), 1),
        ((0, {}), dt.timedelta(days=1), 1),
    ],
    ids=["not now", "out of order", "gone", "redirect", "answer lost"],
)
def test_what_each_answer_of_slack_leads_to(
    told: House, chat: Any, answer: tuple[int, dict[str, str]], again_after: dt.timedelta, at_last: int
) -> None:
    url = f"http://127.0.0.1:{chat.server_port}/services/secretpath"
    Workspace(told.session).set_mine(slack_url=url)
    say(told, "Bo Li answered")
    chat.answers.append(answer)
    store, at = told.engine.store, told.engine.now()
    telling.tell(store, telling.SLACK, slack(told), lambda: at)
    telling.tell(store, telling.SLACK, slack(told), lambda: at + again_after)
    assert len(chat.received) == at_last
    assert not telling.waiting(store, telling.SLACK, at + dt.timedelta(days=2))


@pytest.mark.rule(13)
def test_a_digest_says_it_all_once_a_day(
    told: House, post: socketserver.ThreadingTCPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = told.engine.store
    Workspace(told.session).set_mine(tell="digest", tell_at="08:00", tell_zone="Europe/Madrid")
    for n in range(3):
        say(told, f"Fact {n}", MORNING + dt.timedelta(hours=n))
    next_morning = dt.datetime(2026, 3, 3, 7, 0, tzinfo=dt.UTC)
    assert not telling.waiting(store, telling.MAIL, next_morning - dt.timedelta(minutes=1))
    assert telling.tell(store, telling.MAIL, mail(post), lambda: next_morning) == 1
    assert telling.tell(store, telling.MAIL, mail(post), lambda: next_morning) == 0
    (raw,) = post.received  # type: ignore[attr-defined]
    assert b"Outreach: 3 notices" in raw
    assert all(f"Fact {n}".encode() in raw for n in range(3))
    Workspace(told.session).set_mine(tell="off")
    say(told, "Fact 4", MORNING)
    assert not telling.waiting(store, telling.MAIL, MORNING + dt.timedelta(days=1))
    assert "Fact 4" in notifications()["text"].to_list()


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/secretpath",
        "https://10.0.0.8/secretpath",
        "https://[::1]/x",
        "https://localhost/x",
        "https://redis.internal/x",
        "https://user:pw@hooks.slack.com/x",
        "ftp://hooks.slack.com",
        "hooks.slack.com",
    ],
)
def test_addresses_that_lead_inside_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(InvalidInput, match="slack_url") as caught:
        mine(())["slack_url"]("slack_url", url)
    assert "secretpath" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_a_name_that_resolves_inside_is_refused_when_it_is_called(
    chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    real = socket.getaddrinfo

    def rebound(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1", chat.server_port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with pytest.raises(MailRefused, match="private network"):
        SlackNotices().send("https://hooks.evil.example/services/secretpath", "s", "t", key="k")
    assert chat.received == []


def test_the_clocks_job_tells_by_every_channel_that_is_set_up(
    told: House, post: socketserver.ThreadingTCPServer, chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {
        **told.env,
        "OUTREACH_SMTP_URL": f"smtp://127.0.0.1:{post.server_address[1]}?from=o@agency.example",
    }
    monkeypatch.setattr(Settings, "from_env", classmethod(lambda cls, *a, **k: _from(env)))
    monkeypatch.setattr(jobs, "shared_engine", lambda: told.engine)
    Workspace(told.session).set_mine(slack_url=f"http://127.0.0.1:{chat.server_port}/x")
    say(told, "Bo Li answered")
    assert jobs.drain_notices() == 2
    assert (len(post.received), len(chat.received)) == (1, 1)  # type: ignore[attr-defined]


def test_a_server_of_notices_that_doesnt_answer_is_told_of_by_the_doctor(
    told: House, post: socketserver.ThreadingTCPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(port: int) -> list[tuple[bool, str]]:
        settings = _from({**told.env, "OUTREACH_SMTP_URL": f"smtp://127.0.0.1:{port}"})
        monkeypatch.setattr(told.session, "settings", settings)
        checks = Workspace(told.session).check_systems()
        return [(c["ok"], c["say"]) for c in checks if c["check"] == "OUTREACH_SMTP_URL"]

    assert says(post.server_address[1]) == [(True, "It answers.")]
    [(ok, why)] = says(1)
    assert not ok
    assert "doesn't answer: ConnectionRefusedError. Notices wait until it does." in why


_real = Settings.from_env.__func__  # type: ignore[attr-defined]


def _from(env: dict[str, str]) -> Settings:
    return _real(Settings, env)  # type: ignore[no-any-return]
