"""The hostile provider itself: its faults happen, its ledger is true, and processes share it."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from outreach_sdk.domain.message import text_hash
from outreach_sdk.errors import (
    MailAuthError,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.port import Fingerprint
from tests.mail.hostile import Faults, HostileProvider, HostileTransport
from tests.mail.worlds import ADDRESS, outgoing

CALM = Faults.none()
NOBODY = Fingerprint(frozenset(), "", text_hash(""))
ROOT = Path(__file__).resolve().parents[2]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[HostileProvider]:
    made = HostileProvider(tmp_path / "provider.sqlite", faults=CALM)
    yield made
    made.close()


@pytest.fixture
def transport(provider: HostileProvider) -> HostileTransport:
    return HostileTransport(provider, ADDRESS)


def draft(transport: HostileTransport, key: str = "key-1", **more: object) -> str:
    return transport.create_draft(outgoing(**more), send_key=key).provider_draft_id  # type: ignore[arg-type]


def test_the_ledger_tells_what_was_accepted(provider: HostileProvider, transport: HostileTransport) -> None:
    before = now()
    sent = transport.send_draft(draft(transport, subject="Hello"))
    (entry,) = provider.ledger()
    assert entry.send_key == "key-1"
    assert entry.recipients == {"bo@candidate.example"}
    assert entry.subject == "Hello"
    assert entry.rfc_message_id == sent.rfc_message_id
    assert str(sent.rfc_message_id).endswith("@mail.hostile>")
    assert entry.provider_message_id == sent.provider_message_id
    assert entry.thread == sent.provider_thread_id
    assert entry.mailbox == ADDRESS
    assert before <= entry.at <= now()


def test_the_ledger_cannot_be_changed(provider: HostileProvider, transport: HostileTransport) -> None:
    transport.send_draft(draft(transport))
    for statement in ("UPDATE ledger SET subject = 'other'", "DELETE FROM ledger"):
        with pytest.raises(sqlite3.IntegrityError, match="append only"), provider.transaction() as db:
            db.execute(statement)
    assert provider.ledger()[0].subject == outgoing().subject


@pytest.mark.parametrize(
    ("faults", "error", "accepted", "draft_left"),
    [
        (replace(CALM, send_answer_lost=1.0), MailOutcomeUnknown, 1, False),
        (replace(CALM, send_5xx=1.0), MailOutcomeUnknown, 0, True),
        (replace(CALM, send_rate_limited=1.0, retry_after=9.0), MailRateLimited, 0, True),
        (replace(CALM, refused=("BO@candidate.example",)), MailRefused, 0, True),
        (replace(CALM, grant_dead=True), MailAuthError, 0, True),
        (replace(CALM, send_stall=1.0, stall_seconds=30.0), MailOutcomeUnknown, 1, False),
    ],
    ids=["answer lost", "5xx", "429", "refused", "grant dead", "stall"],
)
def test_faults_of_a_send(
    provider: HostileProvider, faults: Faults, error: type[MailError], accepted: int, draft_left: bool
) -> None:
    transport = HostileTransport(provider, ADDRESS, timeout=0.05)
    draft_id = draft(transport)
    provider.faults = faults
    with pytest.raises(error) as caught:
        transport.send_draft(draft_id)
    if error is MailRateLimited:
        assert caught.value.retry_after == 9.0
    provider.faults = CALM
    assert len(provider.ledger()) == accepted
    assert transport.draft_exists(draft_id) is draft_left
    if not draft_left:
        with pytest.raises(MailNotFound):
            transport.send_draft(draft_id)
        assert transport.find_sent(send_key="key-1", since=now(), fingerprint=NOBODY) is not None
    assert len(provider.ledger()) == accepted


def test_faults_of_drafting_and_reading(provider: HostileProvider, transport: HostileTransport) -> None:
    provider.faults = replace(CALM, draft_temporary=1.0)
    with pytest.raises(MailTemporary):
        draft(transport, "never-made")
    provider.faults = replace(CALM, draft_answer_lost=1.0)
    with pytest.raises(MailTemporary):
        draft(transport, "made")
    assert provider.draft_keys() == ["made"]
    provider.faults = replace(CALM, read_temporary=1.0)
    with pytest.raises(MailTemporary):
        transport.poll(None, since=now())
    provider.faults = replace(CALM, read_back_lost=1.0)
    assert transport.send_draft(draft(transport)).rfc_message_id is None


def test_search_lags_and_the_listing_does_not_unless_asked(
    provider: HostileProvider, transport: HostileTransport
) -> None:
    since = now()
    sent = transport.send_draft(draft(transport, rfc_message_id="<mine@agency.example>"))
    assert provider.search_rfc822msgid(ADDRESS, "<mine@agency.example>") == []
    assert provider.search_rfc822msgid(ADDRESS, str(sent.rfc_message_id)) == [sent.provider_message_id]
    provider.faults = replace(CALM, search_lag=60.0)
    assert provider.search_rfc822msgid(ADDRESS, str(sent.rfc_message_id)) == []
    assert transport.find_sent(send_key="key-1", since=since, fingerprint=NOBODY) is not None
    provider.faults = replace(CALM, listing_lag=60.0)
    assert transport.find_sent(send_key="key-1", since=since, fingerprint=NOBODY) is None


def test_a_reply_outside_references_or_subject_leaves_the_thread(transport: HostileTransport) -> None:
    first = transport.send_draft(draft(transport))
    reference = {"references": (str(first.rfc_message_id),), "in_reply_to": first.rfc_message_id}
    thread = {"provider_thread_id": first.provider_thread_id}
    inside = transport.send_draft(draft(transport, "2", **reference, **thread))
    astray: list[dict[str, object]] = [
        {**reference, **thread, "subject": "Another subject"},
        {**thread, "references": ("<mine@agency.example>",)},
        {**thread},
        {**reference},
    ]
    for n, wrong in enumerate(astray):
        outside = transport.send_draft(draft(transport, f"wrong-{n}", **wrong))
        assert outside.provider_thread_id != first.provider_thread_id
    assert inside.provider_thread_id == first.provider_thread_id


def test_replies_and_bounces_come_in(provider: HostileProvider, transport: HostileTransport) -> None:
    cursor = transport.poll(None, since=now()).cursor
    transport.send_draft(draft(transport))
    (sent,) = provider.ledger()
    reply = provider.deliver_reply(sent, "Not now.", headers=(("Auto-Submitted", "auto-replied"),))
    hard = provider.deliver_bounce(sent)
    soft = provider.deliver_bounce(sent, hard=False)
    found = {m.provider_message_id: m for m in transport.poll(cursor, since=now()).messages}
    assert set(found) == {reply, hard, soft}
    assert found[reply].in_reply_to == (sent.rfc_message_id,)
    assert found[reply].header("auto-submitted") == "auto-replied"
    assert found[reply].provider_thread_id == sent.thread
    sender = found[reply].sender
    assert sender is not None
    assert sender.email == "bo@candidate.example"
    assert b"Status: 5.1.1" in found[hard].raw
    assert b"Final-Recipient: rfc822; bo@candidate.example" in found[hard].raw
    assert b"Status: 4.2.2" in found[soft].raw


def test_the_same_seed_gives_the_same_day(tmp_path: Path) -> None:
    def day(path: Path, seed: int) -> list[str]:
        provider = HostileProvider(path, seed=seed, faults=replace(Faults(), latency=0.0))
        transport = HostileTransport(provider, ADDRESS)
        told = []
        for n in range(60):
            try:
                transport.send_draft(draft(transport, f"key-{n}"))
                told.append("sent")
            except MailError as exc:
                told.append(type(exc).__name__)
        provider.close()
        return told

    first = day(tmp_path / "1", 7)
    assert first == day(tmp_path / "2", 7)
    assert first != day(tmp_path / "3", 8)
    assert len(Counter(first)) >= 3


def test_latency_is_constant_or_lognormal(
    provider: HostileProvider, transport: HostileTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    provider.faults = replace(CALM, latency=0.5)
    for _ in range(5):
        transport.address()
    assert slept == [0.5] * 5
    slept.clear()
    provider.faults = replace(CALM, latency=0.5, latency_sigma=0.6)
    for _ in range(200):
        transport.address()
    slept.sort()
    assert 0.35 < slept[100] < 0.7
    assert slept[0] < 0.25 < 1.0 < slept[-1]


_CHILD = """
import sys, time
from tests.mail.hostile import HostileProvider, HostileTransport
from tests.mail.worlds import ADDRESS, outgoing
provider = HostileProvider(sys.argv[1])
transport = HostileTransport(provider, ADDRESS)
n = 0
while True:
    draft = transport.create_draft(outgoing(), send_key=f"child-{n}")
    transport.send_draft(draft.provider_draft_id)
    print(n, flush=True)
    n += 1
"""


def test_what_a_killed_process_sent_stays_sent(
    provider: HostileProvider, transport: HostileTransport
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(provider.path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        assert child.stdout is not None
        for _ in range(5):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        told = 5 + len(child.stdout.readlines())
    keys = [entry.send_key for entry in provider.ledger()]
    assert keys == [f"child-{n}" for n in range(len(keys))]
    # The one in flight may have been accepted and not told: that is the window the protocol is about.
    assert told <= len(keys) <= told + 1
    assert len(provider.draft_keys()) <= 1
    transport.send_draft(draft(transport, "parent"))
    assert provider.ledger()[-1].send_key == "parent"
    assert provider.faults == CALM
