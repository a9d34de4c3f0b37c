"""`outreach demo`: a whole sequence on this machine, with a simulated outside and a kill -9 in the middle."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import importlib.util
import os
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from email.message import EmailMessage
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from outreach_sdk.config import Settings
from outreach_sdk.domain.sequence import Instant, Later
from outreach_sdk.errors import OutreachError
from outreach_sdk.objects.engine import down, up
from outreach_sdk.objects.journey import Task
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import current, open_session, use

__all__ = ["look_further", "run", "whole"]

ADDRESS = "ana@agency.example"
NUMBERS = {
    "OUTREACH_POLL_SECONDS": "2",  # a real mailbox is asked every 300 s
    "OUTREACH_LEASE_SECONDS": "4",  # a real send may take its provider 30 s
    "OUTREACH_TICK_SECONDS": "0.25",
    "OUTREACH_DRAIN_SECONDS": "10",
    "OUTREACH_WEB_PORT": "0",
}


def _wait(what: str, condition: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise OutreachError(f"The demo waited {seconds:.0f} s for this: {what}.")
        time.sleep(0.1)
    return value


def _sent(root: Path) -> list[EmailMessage]:
    folder = root / ".Sent" / "cur"
    return [
        email.message_from_bytes(p.read_bytes(), policy=email.policy.default)
        for p in sorted(folder.iterdir())
    ]


def _recipient(message: EmailMessage) -> str:
    return str(message["To"].addresses[0].addr_spec)


def _answer(original: EmailMessage, text: str) -> bytes:
    reply = EmailMessage()
    reply["From"] = str(original["To"])
    reply["To"] = ADDRESS
    reply["Subject"] = f"Re: {original['Subject']}"
    reply["Date"] = dt.datetime.now(dt.UTC)
    reply["Message-ID"] = f"<answer-{time.time_ns()}@candidate.example>"
    reply["In-Reply-To"] = reply["References"] = str(original["Message-ID"])
    reply.set_content(text)
    return reply.as_bytes()


def _bounce(original: EmailMessage) -> bytes:
    recipient = _recipient(original)
    return (
        f"From: Mail Delivery System <MAILER-DAEMON@mx.example>\r\nTo: {ADDRESS}\r\n"
        "Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        f"Message-ID: <bounce-{time.time_ns()}@mx.example>\r\nIn-Reply-To: {original['Message-ID']}\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain\r\n\r\nNo such user here: {recipient}\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 user unknown\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {original['Message-ID']}\r\n"
        f"To: {recipient}\r\n\r\n--b--\r\n"
    ).encode()


def run(home: Path) -> int:
    """Run it in `home` (made anew); the exit status: 1 where the mailbox's own count disagrees."""
    out = Console()
    began = time.monotonic()
    home = home.resolve()
    marker = home / "demo"
    if home.exists() and not marker.exists() and any(home.iterdir()):
        raise OutreachError(f"{home} isn't a demo's folder. Choose another: outreach demo --home FOLDER.")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OUTREACH_", "OPENAI_"))} | NUMBERS
    settings = Settings.from_env(
        {k: v for k, v in env.items() if k not in ("DATABASE_URL", "REDIS_URL")}, home=home
    )
    if marker.exists():
        use(open_session(settings))
        down()
        shutil.rmtree(home)
    home.mkdir(parents=True)
    marker.touch()
    use(open_session(settings))
    try:
        return _story(out, home, began)
    finally:
        down()


def _story(out: Console, home: Path, began: float) -> int:
    def say(text: str) -> None:
        out.print(
            Text(f"{time.monotonic() - began:5.1f} s  ", style="dim"), Text(text), sep="", soft_wrap=True
        )

    box = Mailbox.connect_local(ADDRESS, name="Ana")
    root = home / "mail" / ADDRESS
    seq = Sequence.create("Backend engineers", mailbox=box)
    say(f"An empty sequence is {seq.status}: {' '.join(seq.problems)}")
    seq.add_email(
        'A role for you, {{ first_name | fallback("and a hello") }}',
        'Hi {{ first_name | fallback("there") }},\n\nI have a role for somebody who did what you did at {{ company }}. '
        "May I tell you more?\n\nAna",
        when=Instant(),
    )
    seq.add_email(
        body='Hi {{ first_name | fallback("there") }},\n\none thing I forgot to say …\n\nAna',
        when=Instant(),
        thread="reply",
        manual=True,
        skip_after=8,
    )
    seq.add_email(
        body='Hi {{ first_name | fallback("there") }},\n\nis it a no? Then I shall leave you in peace.\n\nAna',
        when=Later(seconds=3),
        thread="reply",
    )
    with resources.as_file(resources.files("outreach_sdk") / "demo_people.csv") as path:
        report = seq.import_csv(path)
    say(f"A messy CSV went in: {report!r}".replace("\n", " — "))
    for row in report.rows.filter(report.rows["reason"].is_not_null()).iter_rows(named=True):
        say(f"    row {row['row']}: {row['outcome']}, {row['reason']}")
    up(workers=1)
    _wait("the engine to be alive", lambda: seq.notice is not None and "isn't active" in seq.notice, 20)
    going = seq.activate()
    say(f"Activated: {going} journeys go, one e-mail every {box.spacing:g} s.")
    first = _wait("four e-mails", lambda: (s := _sent_safely(root)) and len(s) >= 4 and s, 40)
    say("Four have left. From here on every 0.15 s, by setting.")
    box.spacing = 0.15
    quick, gone = first[0], first[1]
    transport = box.transport
    transport.deliver(_answer(quick, "Yes, gladly! When can we talk?"))
    transport.deliver(_bounce(gone))
    say(f"{_recipient(quick)} answers; {_recipient(gone)} bounces.")
    victim = _wait("a worker to kill", _send_worker, 10)
    os.kill(victim, signal.SIGKILL)
    say(f"kill -9 of the sending worker (process {victim}) in the middle; its supervisor starts another.")
    task = _wait("a manual e-mail to wait for a person", lambda: Task.list() or None, 40)[-1]
    task.edit(body="Hi,\n\nI read your profile again, and had to write to you in person.\n\nAna")
    task.send_now()
    say(
        f"A manual e-mail for {task.candidate} is edited and sent by a person; the others skip themselves in time."
    )
    waiting = ("active", "pending")
    store = current().store
    _wait(
        "all journeys to end",
        lambda: not store.value("SELECT COUNT(*) FROM journeys WHERE status IN (?, ?)", *waiting),
        80,
    )
    return _verdict(out, home, root, seq, began, (quick, gone))


def _sent_safely(root: Path) -> list[EmailMessage]:
    try:
        return _sent(root)
    except FileNotFoundError:
        return []


def _send_worker() -> int | None:
    name = current().store.value(
        "SELECT name FROM heartbeats WHERE role = 'send' ORDER BY seen_at DESC LIMIT 1"
    )
    return int(str(name).rpartition(":")[2]) if name else None


def _verdict(
    out: Console,
    home: Path,
    root: Path,
    seq: Sequence,
    began: float,
    stopped: tuple[EmailMessage, EmailMessage],
) -> int:
    store = current().store
    sent = _sent(root)
    witness = Counter(_recipient(m) for m in sent)
    keys = Counter(str(m["X-Outreach-Key"]) for m in sent)
    bodies = Counter((_recipient(m), str(m.get_body(("plain",)).get_content())) for m in sent)  # type: ignore[union-attr]
    table = Table("candidate", "journey", "reason", "sent, by the database", "sent, by the mailbox")
    wrong: list[str] = []
    for row in seq.candidates().iter_rows(named=True):
        seen = witness.pop(row["email"], 0) if row["email"] else 0
        table.add_row(*[Text(str(v or "")) for v in (row["name"] or row["email"], row["status"], row["reason"])],
                      Text(str(row["steps_sent"])), Text(str(seen)))  # fmt: skip
        if seen != row["steps_sent"]:
            wrong.append(f"{row['email']}: the mailbox has {seen}, the database {row['steps_sent']}")
        if row["status"] == "completed" and seen not in (2, 3):
            wrong.append(f"{row['email']}: completed with {seen} messages")
    out.print(table)
    wrong += [f"{who}: {n} messages nobody enrolled" for who, n in witness.items()]
    wrong += [f"{who}: the same text {n} times" for (who, _), n in bodies.items() if n > 1]
    wrong += [f"key {key}: sent {n} times" for key, n in keys.items() if n > 1]
    expected = {_recipient(stopped[0]): "replied", _recipient(stopped[1]): "bounced"}
    for who, reason in expected.items():
        if seq.journey(who).reason != reason:
            wrong.append(
                f"{who}: expected {reason}, found {seq.journey(who).status} {seq.journey(who).reason}"
            )
    for row in store.rows("SELECT text FROM notifications WHERE kind IN ('replied', 'bounced')"):
        whole(out, f"told: {row['text']}")
    whole(out, f"{len(sent)} e-mails left, in {time.monotonic() - began:.0f} s, each once by the mailbox's own count."
          if not wrong else "The mailbox disagrees:\n  " + "\n  ".join(wrong))  # fmt: skip
    whole(out, f"The .eml files: {root / '.Sent' / 'cur'}\nThe database:   {home / 'outreach.db'}")
    whole(out, "\n  ".join(["Look further:", *look_further(home)]))
    return 1 if wrong else 0


def whole(out: Console, text: str) -> None:
    """Print without breaking lines: what is pasted from there has to work."""
    out.print(Text(text), soft_wrap=True)


def look_further(home: Path) -> list[str]:
    """Commands to paste into a shell, whatever folder it is in."""
    python, package = shlex.quote(sys.executable), Path(__file__).parents[1]
    beside = Path(sys.executable).with_name("outreach")
    outreach = shlex.quote(str(beside)) if beside.exists() else f"{python} -m outreach_sdk.cli"
    there = f"OUTREACH_HOME={shlex.quote(str(home))}"
    commands = [f"{there} {outreach} sequence show 'Backend engineers'", f"{there} {python} -m jupyter lab"]
    if importlib.util.find_spec("jupyterlab") is None:
        source = f"-e {shlex.quote(f'{package}[notebook]')}"
        if not (package / "setup.cfg").exists():
            source = "'outreach-sdk[notebook]'"
        commands.insert(1, f"{python} -m pip install {source}")
    return commands
