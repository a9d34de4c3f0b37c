"""Reading a mailbox batch by batch: much at once, a provider that stops in the middle, messages that can't be read."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.errors import MailAuthError, MailRateLimited, MailTemporary
from outreach_sdk.mail import batch
from outreach_sdk.mail.gmail import client
from outreach_sdk.mail.local import client as local_client
from outreach_sdk.mail.port import MailTransport, PollResult
from tests.mail.fault_proxy import Fault
from tests.mail.graph_proxy import POLL
from tests.mail.worlds import GmailWorld, LocalWorld, OutlookWorld, World, incoming

FETCH = {"gmail": r"/messages/[^/?]+\?", "outlook": r"/messages/[^/?]+/\$value|/messages/[^/?]+\?"}


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture(params=["local", "gmail", "outlook"])
def world(request: pytest.FixtureRequest) -> World:
    found = request.getfixturevalue(f"{request.param}_world")
    assert isinstance(found, World)
    return found


@pytest.fixture(params=["gmail", "outlook"])
def remote(request: pytest.FixtureRequest) -> GmailWorld | OutlookWorld:
    found = request.getfixturevalue(f"{request.param}_world")
    assert isinstance(found, GmailWorld | OutlookWorld)
    return found


def fetch(world: GmailWorld | OutlookWorld) -> str:
    return FETCH["gmail" if isinstance(world, GmailWorld) else "outlook"]


def ids(result: PollResult) -> list[str]:
    return [m.provider_message_id for m in result.messages]


def all_of(transport: MailTransport, cursor: str | None, since: dt.datetime) -> tuple[list[list[str]], str]:
    """Every batch there is from a cursor, and the last cursor."""
    batches: list[list[str]] = []
    while True:
        result = transport.poll(cursor, since=since)
        batches.append(ids(result))
        cursor = result.cursor
        if not result.more:
            return batches, cursor


@pytest.mark.rule(16)
@pytest.mark.parametrize("first", [True, False], ids=["a first poll", "from a cursor"])
@pytest.mark.parametrize("bound", ["count", "bytes"])
def test_much_comes_in_batches_each_message_once(
    world: World, monkeypatch: pytest.MonkeyPatch, bound: str, first: bool
) -> None:
    most = 3 if bound == "count" else 1
    name, value = ("BATCH", 3) if bound == "count" else ("BATCH_BYTES", 1)
    monkeypatch.setattr(batch, name, value)
    transport = world.transport()
    since = now()
    cursor = None if first else transport.poll(None, since=since).cursor
    arrived = [world.deliver(incoming(text=str(n))) for n in range(8)]
    batches, cursor = all_of(transport, cursor, since)
    assert max(map(len, batches)) == most
    told = [i for some in batches for i in some]
    assert sorted(told) == sorted(arrived), "each, and none twice"
    later = world.deliver(incoming(text="later"))
    rest, _ = all_of(transport, cursor, since)
    assert later in rest[-1]


@pytest.mark.rule(16)
@pytest.mark.parametrize("first", [True, False], ids=["a first poll", "from a cursor"])
def test_what_was_read_before_the_provider_asked_to_wait_is_kept(
    remote: GmailWorld | OutlookWorld, first: bool
) -> None:
    transport, since = remote.transport(), now()
    cursor = None if first else transport.poll(None, since=since).cursor
    arrived = [remote.deliver(incoming(text=str(n))) for n in range(5)]
    fetched = remote.proxy.pick

    def three_then_429(method: str, path: str) -> Fault | None:
        if method == "GET" and remote.proxy.count("GET", fetch(remote)) >= before + 3:
            return Fault("answer", status=429, reason="rateLimitExceeded", headers={"Retry-After": "90"})
        return fetched(method, path)

    before = remote.proxy.count("GET", fetch(remote))
    remote.proxy.pick = three_then_429  # type: ignore[method-assign]
    told = transport.poll(cursor, since=since)
    assert told.more
    assert len(told.messages) >= 1
    with pytest.raises(MailRateLimited) as caught:
        transport.poll(told.cursor, since=since)
    assert caught.value.retry_after == 90
    remote.proxy.pick = fetched  # type: ignore[method-assign]
    rest, _ = all_of(transport, told.cursor, since)
    assert sorted([*ids(told), *(i for some in rest for i in some)]) == sorted(arrived)


@pytest.mark.rule(16)
def test_a_message_that_cant_be_had_whole_is_read_by_parts(gmail_world: GmailWorld) -> None:
    transport, since = gmail_world.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    bad = gmail_world.deliver(incoming(text="Yes, gladly. Größe", in_reply_to="<first@mail.gmail.com>"))
    for forms, words in (("raw", "Yes, gladly. Größe"), ("raw|full", "Yes, gladly.")):
        fault = Fault(
            "answer", method="GET", path=rf"/messages/{bad}\?.*format=({forms})\b", status=500, count=None
        )
        gmail_world.proxy.add(fault)
        (read,) = transport.poll(cursor, since=since).messages
        assert fault.struck
        assert (read.sender.email if read.sender else None) == "bo@candidate.example"
        assert read.in_reply_to == ("<first@mail.gmail.com>",)
        assert read.subject == "Re: A role at Acme"
        assert read.text.strip().startswith(words)
        assert read.provider_thread_id
        gmail_world.proxy.clear()


@pytest.mark.rule(16)
@pytest.mark.parametrize("status", [500, 400])
def test_a_message_that_cant_be_read_keeps_back_no_other_and_is_read_once_it_can_be(
    remote: GmailWorld | OutlookWorld, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    transport, since = remote.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    bad = remote.deliver(incoming(text="unreadable"))
    good = remote.deliver(incoming(text="readable"))
    remote.proxy.add(
        Fault(
            "answer", method="GET", path=rf"/messages/{bad}(?![\w-])", status=status, reason="odd", count=None
        )
    )
    told = transport.poll(cursor, since=since)
    assert ids(told) == [good]
    assert not told.more
    assert told.unread == [], "it may pass"
    calls = remote.proxy.count(path=bad)
    quiet = transport.poll(told.cursor, since=since)
    assert ids(quiet) == []
    assert remote.proxy.count(path=bad) == calls, "not asked for at each poll"
    monkeypatch.setattr(batch, "TOLD_AFTER", -1.0)  # a second is the grain
    (unread,) = transport.poll(quiet.cursor, since=since).unread
    assert unread.provider_message_id == bad
    assert str(status) in unread.why
    remote.proxy.clear()
    later = batch.time.time() + 61
    monkeypatch.setattr(batch.time, "time", lambda: later)
    last = transport.poll(quiet.cursor, since=since)
    assert ids(last) == [bad]
    assert last.unread == []
    assert ids(transport.poll(last.cursor, since=since)) == []


@pytest.mark.rule(16)
def test_where_no_message_can_be_read_it_isnt_the_messages(
    remote: GmailWorld | OutlookWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, since = remote.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    arrived = [remote.deliver(incoming(text=str(n))) for n in range(5)]
    remote.proxy.add(Fault("answer", method="GET", path=fetch(remote), status=503, count=None))
    told = transport.poll(cursor, since=since)
    assert isinstance(told.stopped, MailTemporary)
    assert (told.messages, told.more, told.unread) == ([], True, [])
    assert isinstance(transport.poll(told.cursor, since=since).stopped, MailTemporary), "nor the next time"
    remote.proxy.clear()
    assert sorted(ids(transport.poll(cursor, since=since))) == sorted(arrived)
    later = batch.time.time() + 61
    monkeypatch.setattr(batch.time, "time", lambda: later)
    assert sorted(ids(transport.poll(told.cursor, since=since))) == sorted(arrived)


@pytest.mark.rule(16)
def test_several_messages_that_cant_be_read_are_passed_over_after_an_hour(
    remote: GmailWorld | OutlookWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, since = remote.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    bad = [remote.deliver(incoming(text="unreadable")) for _ in range(5)]
    good = remote.deliver(incoming(text="good"))
    for one in bad:
        path = rf"/messages/{re.escape(one)}(?![\w-])"
        remote.proxy.add(Fault("answer", method="GET", path=path, status=500, reason="odd", count=None))
    told = transport.poll(cursor, since=since)
    assert told.stopped is not None
    real = batch.time.time
    monkeypatch.setattr(batch.time, "time", lambda: real() + 3_700)
    last = transport.poll(told.cursor, since=since)
    assert last.stopped is None
    assert ids(last) == [good]
    assert len(last.unread) == batch.FEW


@pytest.mark.rule(16)
def test_a_batch_that_takes_long_ends_with_what_it_has(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH_SECONDS", 0.0)
    transport, since = world.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    arrived = [world.deliver(incoming(text=str(n))) for n in range(3)]
    batches, _ = all_of(transport, cursor, since)
    assert sorted(i for some in batches for i in some) == sorted(arrived)
    assert max(map(len, batches)) == 1


@pytest.mark.rule(16)
def test_odd_files_in_the_inbox_keep_back_no_other(
    local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "TOLD_AFTER", -1.0)
    transport, since = local_world.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    inbox = local_world.root / "new"
    os.symlink("/proc/self/mem", inbox / "1700000000.M1.broken")
    Path(os.fsdecode(os.fsencode(inbox) + b"/1700000001\xff.M2.latin")).write_bytes(incoming(text="latin"))
    good = local_world.deliver(incoming(text="good"))
    told = transport.poll(cursor, since=since)
    latin = "1700000001\\xff.M2.latin"
    assert sorted(ids(told)) == sorted([good, latin])
    assert [u.provider_message_id for u in told.unread] == ["1700000000.M1.broken"]
    (read,) = [m for m in told.messages if m.provider_message_id == latin]
    assert read.provider_message_id.encode().decode() == latin, "a database takes it"
    assert read.provider_thread_id is not None
    assert latin in [m.provider_message_id for m in transport.read_thread(read.provider_thread_id)]


def altered(world: GmailWorld, change: Callable[[str, dict[str, Any]], None]) -> None:
    """From now on what Gmail answers to a GET is changed in place, given the path."""
    usual = world.proxy._ask

    def ask(method: str, path: str, body: bytes, headers: Any) -> Any:
        status, heads, out = usual(method, path, body, headers)
        if method == "GET" and status == 200:
            data = json.loads(out)
            change(path, data)
            out = json.dumps(data).encode()
            heads = [(k, v) for k, v in heads if k.lower() != "content-length"]
        return status, heads, out

    world.proxy._ask = ask  # type: ignore[method-assign]


@pytest.mark.rule(16)
def test_a_resync_doesnt_rest_on_the_search_index_which_lags(
    gmail_world: GmailWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LISTED", 2)
    transport, since = gmail_world.transport(), now() - dt.timedelta(hours=1)
    for hours in (5, 4, 3, 2):
        gmail_world.deliver(incoming(text="old", at=now() - dt.timedelta(hours=hours)))
    cursor = transport.poll(None, since=since).cursor
    arrived = [gmail_world.deliver(incoming(text=str(n))) for n in range(3)]

    def lags(path: str, data: dict[str, Any]) -> None:
        if "q=" in path:
            data["messages"] = []

    altered(gmail_world, lags)
    told = transport.poll(gmail_world.expire(cursor), since=since)
    assert told.resynced
    assert sorted(ids(told)) == sorted(arrived)


@pytest.mark.rule(16)
@pytest.mark.parametrize("value", ["999999999999999", "-99999999999999", "soon", None])
def test_a_moment_that_no_calendar_has_keeps_back_nothing(gmail_world: GmailWorld, value: str | None) -> None:
    transport, since = gmail_world.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    bad = gmail_world.deliver(incoming(text="odd"))
    good = gmail_world.deliver(incoming(text="good"))

    def odd(path: str, data: dict[str, Any]) -> None:
        if f"/messages/{bad}" in path:
            data["internalDate"] = value

    altered(gmail_world, odd)
    told = transport.poll(cursor, since=since)
    assert sorted(ids(told)) == sorted([bad, good])
    assert all(abs((m.received_at - now()).total_seconds()) < 60 for m in told.messages)


@pytest.mark.rule(16)
def test_a_message_without_its_content_is_read_by_parts(gmail_world: GmailWorld) -> None:
    transport, since = gmail_world.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    bad = gmail_world.deliver(incoming(text="odd"))
    good = gmail_world.deliver(incoming(text="good"))
    altered(gmail_world, lambda path, data: data.pop("raw", None) if bad in path else None)
    told = transport.poll(cursor, since=since)
    assert sorted(ids(told)) == sorted([bad, good])


@pytest.mark.rule(16)
def test_one_message_that_outlook_keeps_to_itself_costs_no_grant(
    outlook_world: OutlookWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, since = outlook_world.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    bad = outlook_world.deliver(incoming(text="protected"))
    good = outlook_world.deliver(incoming(text="good"))
    denied = Fault(
        "answer",
        method="GET",
        path=rf"/messages/{re.escape(bad)}(?![\w-])",
        status=403,
        reason="ErrorAccessDenied",
        count=None,
    )
    outlook_world.proxy.add(denied)
    monkeypatch.setattr(batch, "TOLD_AFTER", -1.0)
    told = transport.poll(cursor, since=since)
    assert denied.struck
    assert ids(told) == [good]
    (unread,) = told.unread
    assert "403" in unread.why
    outlook_world.proxy.add(
        Fault("answer", method="GET", path=POLL, status=403, reason="ErrorAccessDenied", count=None)
    )
    with pytest.raises(MailAuthError):
        transport.poll(told.cursor, since=since)


@pytest.mark.rule(16)
def test_a_file_that_cant_be_read_for_a_moment_is_read_once_it_can_be(
    local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, since = local_world.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    bad = local_world.deliver(incoming(text="bad"))
    good = local_world.deliver(incoming(text="good"))
    usual = local_client._read

    def fails(path: Path) -> Any:
        if path.name.startswith(bad):
            raise OSError(errno.EIO, "Input/output error")
        return usual(path)

    monkeypatch.setattr(local_client, "_read", fails)
    told = transport.poll(cursor, since=since)
    assert ids(told) == [good]
    assert told.unread == [], "it may pass"
    monkeypatch.setattr(local_client, "_read", usual)
    later = batch.time.time() + 61
    monkeypatch.setattr(batch.time, "time", lambda: later)
    last = transport.poll(told.cursor, since=since)
    assert bad in ids(last)
    assert last.unread == []


@pytest.mark.rule(16)
@pytest.mark.parametrize("lost", [False, True], ids=["found at once", "found by the next poll"])
def test_a_message_moved_during_a_batch_that_is_cut_is_told(
    local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    monkeypatch.setattr(batch, "BATCH", 4)
    transport, since = local_world.transport(), now()
    cursor = transport.poll(None, since=since).cursor
    arrived = [local_world.deliver(incoming(text=str(n))) for n in range(9)]
    usual, real = local_client._read, batch.time.time
    moved: list[str] = []

    def moves(path: Path) -> Any:
        if path.name == arrived[2]:
            moved.append(path.name)
            os.rename(path, path.parent.parent / "cur" / f"{path.name}:2,S")
        return None if lost and len(moved) == 1 and path.name.startswith(arrived[2]) else usual(path)

    monkeypatch.setattr(local_client, "_read", moves)
    first = transport.poll(cursor, since=since)
    assert moved
    monkeypatch.setattr(local_client, "_read", usual)
    monkeypatch.setattr(batch.time, "time", lambda: real() + 5)  # the batch was stored and acted on
    rest, _ = all_of(transport, first.cursor, since)
    assert sorted({*ids(first), *(i for some in rest for i in some)}) == sorted(arrived)


@pytest.mark.rule(16)
def test_a_clock_that_was_ahead_and_is_set_back_hides_nothing(
    local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, since = local_world.transport(), now()
    real = batch.time.time
    monkeypatch.setattr(batch.time, "time", lambda: real() + 86_400)
    cursor = transport.poll(None, since=since).cursor
    new = local_world.deliver(incoming(text="new"))
    monkeypatch.setattr(batch.time, "time", lambda: real() + 60)
    told = transport.poll(cursor, since=now() + dt.timedelta(days=1))
    assert ids(told) == [new]
    assert ids(transport.poll(told.cursor, since=since)) == []
