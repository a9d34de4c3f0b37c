"""The mailbox in a folder: durability, look-ups that stay cheap, and what other mail programs do to it."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from outreach_sdk.domain.message import text_hash
from outreach_sdk.errors import MailNotFound, MailOutcomeUnknown, MailRefused, MailTemporary
from outreach_sdk.mail.local import client
from outreach_sdk.mail.local.client import LocalTransport
from outreach_sdk.mail.port import Fingerprint, SentMessage
from tests.mail.worlds import ADDRESS, incoming, outgoing

NOBODY = Fingerprint(frozenset(), "", text_hash(""))


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "box"


@pytest.fixture
def local(root: Path) -> LocalTransport:
    return LocalTransport(root, ADDRESS)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many message files have been opened so far."""
    opened = 0
    really_open = Path.open

    def counting(self: Path, *args: object, **kwargs: object) -> object:
        nonlocal opened
        opened += self.parent.name in ("new", "cur")
        return really_open(self, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", counting)
    return lambda: opened


def send(local: LocalTransport, key: str, **more: object) -> SentMessage:
    return local.send_draft(local.create_draft(outgoing(**more), send_key=key).provider_draft_id)  # type: ignore[arg-type]


def fill_sent(root: Path, count: int, *, marked: bool = True) -> None:
    for n in range(count):
        tags = f",K={n:020x},T={n:020x}" if marked else ""
        name = f"1700000000.M{n:06d}P1Q{n}R00.old{tags}:2,S"
        (root / ".Sent" / "cur" / name).write_bytes(b"Subject: old\r\n\r\nold")


def test_the_folder_follows_maildir(root: Path, local: LocalTransport) -> None:
    for folder in (root, root / ".Drafts", root / ".Sent"):
        assert {p.name for p in folder.iterdir()} >= {"new", "cur", "tmp"}
    assert (root / ".Sent" / "maildirfolder").exists()
    send(local, "key-1")
    (path,) = (root / ".Sent" / "cur").iterdir()
    assert path.name.endswith(":2,S")
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert message["Date"] is not None
    assert message["Message-ID"] is not None
    assert message["X-Outreach-Key"] == "key-1"
    assert list((root / ".Drafts" / "cur").iterdir()) == []
    assert list((root / ".Drafts" / "tmp").iterdir()) == []


def test_a_draft_is_on_disk_before_it_is_announced(
    local: LocalTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    really_fsync, really_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        order.append("fsync")
        really_fsync(fd)

    def rename(source: Path, target: Path) -> None:
        order.append("rename")
        really_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    draft = local.create_draft(outgoing(), send_key="key-1")
    assert order == ["fsync", "rename", "fsync"]
    order.clear()
    local.send_draft(draft.provider_draft_id)
    assert order == ["rename", "fsync", "fsync"]


def test_look_ups_read_only_what_they_return(
    root: Path, local: LocalTransport, reads: Callable[[], int]
) -> None:
    fill_sent(root, 300)
    since = now()
    sent = send(local, "key-1")
    local.create_draft(outgoing(), send_key="key-2")
    for n in range(30):
        local.deliver(incoming(text=str(n)))
    assert sent.provider_thread_id is not None
    for look, most in (
        (lambda: local.find_sent(send_key="key-1", since=since, fingerprint=NOBODY), 2),
        (lambda: local.read_sent(sent.provider_message_id), 1),
        (lambda: local.find_draft("key-2"), 1),
        (lambda: local.find_draft("key-none"), 0),
        (lambda: local.draft_exists(sent.provider_message_id), 0),
        (lambda: local.read_thread(str(sent.provider_thread_id)), 1),
    ):
        before = reads()
        look()
        assert reads() - before <= most


def test_a_look_for_an_unmarked_message_reads_only_recent_ones(
    root: Path, local: LocalTransport, reads: Callable[[], int]
) -> None:
    fill_sent(root, 50, marked=False)
    for path in (root / ".Sent" / "cur").iterdir():
        os.utime(path, (1700000000, 1700000000))
    since = now()
    before = reads()
    assert local.find_sent(send_key="none", since=since, fingerprint=NOBODY) is None
    assert reads() - before == 0


def test_an_idle_poll_lists_nothing(local: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    # The overlap guards against coarse file clocks; at 0 a folder counts as settled at once.
    monkeypatch.setattr(client, "OVERLAP", -1.0)
    local.deliver(incoming())
    cursor = local.poll(None, since=now() - dt.timedelta(hours=1)).cursor
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail(f"listed {path}"))
    polled = local.poll(cursor, since=now())
    assert polled.messages == []
    assert polled.cursor == cursor


def test_what_comes_in_within_the_overlap_is_never_missed(local: LocalTransport) -> None:
    since = now()
    cursor: str | None = None
    told: set[str] = set()
    delivered = set()
    for n in range(40):
        delivered.add(local.deliver(incoming(text=str(n))))
        polled = local.poll(cursor, since=since)
        cursor = polled.cursor
        told |= {m.provider_message_id for m in polled.messages}
    assert told == delivered


def test_a_delivery_within_one_tick_of_the_file_clock_is_told(root: Path, local: LocalTransport) -> None:
    local.deliver(incoming())
    stamp = (root / "new").stat().st_mtime_ns
    cursor = local.poll(None, since=now() - dt.timedelta(minutes=1)).cursor
    second = local.deliver(incoming())
    os.utime(root / "new", ns=(stamp, stamp))
    assert second in [m.provider_message_id for m in local.poll(cursor, since=now()).messages]


def test_a_message_read_by_a_mail_program_keeps_its_id(root: Path, local: LocalTransport) -> None:
    since = now() - dt.timedelta(seconds=5)
    sent = send(local, "key-1")
    arrived = local.deliver(incoming(in_reply_to=sent.rfc_message_id))
    os.rename(root / "new" / arrived, root / "cur" / f"{arrived}:2,RS")
    name = sent.provider_message_id
    # As a mail program does hours later; waiting for a later tick of the file clock makes it visible here.
    moved = root / ".Sent" / "cur" / f"{name}:2,S"
    while moved.stat().st_ctime_ns <= (root / "cur" / f"{arrived}:2,RS").stat().st_ctime_ns:
        moved.chmod(0o600)
    os.rename(root / ".Sent" / "cur" / f"{name}:2,S", root / ".Sent" / "cur" / f"{name}:2,FS")
    assert [m.provider_message_id for m in local.poll(None, since=since).messages] == [arrived]
    assert local.read_sent(name) == sent
    thread = local.read_thread(str(sent.provider_thread_id))
    assert [m.provider_message_id for m in thread] == [name, arrived]


def test_mail_delivered_by_another_program_is_threaded(root: Path, local: LocalTransport) -> None:
    first = send(local, "key-1")
    assert first.rfc_message_id is not None
    second = send(
        local,
        "key-2",
        in_reply_to=first.rfc_message_id,
        references=(first.rfc_message_id,),
        provider_thread_id=first.provider_thread_id,
    )
    # Only In-Reply-To, and it names the second message: the thread is still the first one's.
    raw = (
        b"From: bo@candidate.example\r\nIn-Reply-To: " + str(second.rfc_message_id).encode() + b"\r\n\r\nYes"
    )
    (root / "new" / "1700000000.M1P9.elsewhere").write_bytes(raw)
    for transport in (local, LocalTransport(root, ADDRESS)):
        thread = transport.read_thread(str(first.provider_thread_id))
        assert len(thread) == 3
        (polled,) = transport.poll(None, since=now() - dt.timedelta(minutes=1)).messages
        assert polled.provider_thread_id == first.provider_thread_id


def test_a_folder_among_the_messages_keeps_nothing_from_being_read(root: Path, local: LocalTransport) -> None:
    sent = send(local, "key-1")
    for place in (root / "new", root / "cur", root / ".Sent" / "cur"):
        (place / "Old mail").mkdir()
    (root / "new" / "1700000000.M1P9.elsewhere").write_bytes(b"From: bo@candidate.example\r\n\r\nYes")
    for transport in (local, LocalTransport(root, ADDRESS)):
        (polled,) = transport.poll(None, since=now() - dt.timedelta(minutes=1)).messages
        assert polled.text.strip() == "Yes"
        assert transport.find_sent(send_key="key-1", since=now(), fingerprint=NOBODY) is not None
    assert local.read_thread(str(sent.provider_thread_id))


def test_the_index_may_be_deleted(root: Path, local: LocalTransport) -> None:
    sent = send(local, "key-1")
    shutil.rmtree(root / ".outreach-index")
    again = LocalTransport(root, ADDRESS)
    assert len(again.read_thread(str(sent.provider_thread_id))) == 1
    arrived = again.deliver(incoming(in_reply_to=sent.rfc_message_id))
    assert [m.provider_message_id for m in again.read_thread(str(sent.provider_thread_id))][-1] == arrived


def test_a_full_or_broken_disk(root: Path, local: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = local.create_draft(outgoing(), send_key="key-1")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(MailTemporary, match="No space left"):
            local.create_draft(outgoing(), send_key="key-2")
        assert local.find_draft("key-2") is None
        with pytest.raises(MailOutcomeUnknown):
            local.send_draft(draft.provider_draft_id)
    # It was renamed before the disk failed, and that is what looking it up must say.
    assert local.find_sent(send_key="key-1", since=now(), fingerprint=NOBODY) is not None
    with pytest.raises(MailNotFound):
        local.send_draft(draft.provider_draft_id)


def test_a_thread_id_from_elsewhere_is_refused(local: LocalTransport) -> None:
    with pytest.raises(MailRefused):
        local.create_draft(outgoing(provider_thread_id="../../etc"), send_key="key-1")


def test_keys_that_are_no_file_names(local: LocalTransport) -> None:
    key = "a/b:c,T=00 ../é"[:12]
    draft = local.create_draft(outgoing(), send_key=key)
    found = local.find_draft(key)
    assert found is not None
    assert found.provider_draft_id == draft.provider_draft_id


def test_importing_it_is_light() -> None:
    heavy = ["googleapiclient", "google.auth", "msal", "requests", "peewee", "redis", "rq", "polars"]
    code = f"import sys, outreach_sdk.mail.local.client\nprint([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.strip() == "[]"
