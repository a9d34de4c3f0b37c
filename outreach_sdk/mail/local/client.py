"""A mailbox in a folder, after the Maildir++ rules.

    root/{new,cur,tmp}            what came in; a message counts once it is renamed into `new`
    root/.Drafts/{new,cur,tmp}    prepared, not sent
    root/.Sent/{new,cur,tmp}      sent: one plain RFC 5322 file each, in `cur`
    root/.outreach-index/         which files belong to which thread; may be deleted, is then rebuilt

Names are `<unique>,K=<key>,T=<thread>:2,<flags>`: a hash of the send key and the thread id, so that looking
something up costs a directory listing and never a reading of every file. The part before the colon is the
provider_message_id; mail clients that change the flags or move `new` to `cur` don't change it.
"""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import hashlib
import itertools
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from outreach_sdk.domain.message import (
    KEY_HEADER,
    IncomingMessage,
    OutgoingMessage,
    build,
    message_ids,
    new_rfc_message_id,
    parse_incoming,
    text_hash,
)
from outreach_sdk.errors import InvalidInput, MailNotFound, MailOutcomeUnknown, MailRefused, MailTemporary
from outreach_sdk.mail.batch import Batch, Failing, unread
from outreach_sdk.mail.port import (
    Draft,
    Fingerprint,
    PollResult,
    SentMessage,
)

__all__ = ["LocalTransport"]

OVERLAP = 2.0
"""Seconds told again by the next poll: file systems stamp changes with a clock coarser than ours."""

SET_BACK, CLOCK_BACK = 2.0, dt.timedelta(hours=1)
"""By how many seconds the last poll lies ahead where the clock has been set back, and how far back is looked then."""

_HEAD = 65536
_NAME = re.compile(r"^(?P<unique>[^:]+?)(?::2,(?P<flags>[A-Za-z]*))?$")
_DIGEST = re.compile(r"[0-9a-f]{3,}\Z")
_TAG = re.compile(r",([KT])=([0-9a-f]+)")
_counter = itertools.count()


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:20]


def _unique(name: str) -> str:
    """The part of a file's name that stays. Bytes in it that are no UTF-8 are spelled out: it goes into the database."""
    return os.fsencode(name.partition(":")[0]).decode("utf-8", "backslashreplace")


def _short(path: Path) -> str:
    return _digest(_unique(path.name))[:12]


def _tags(name: str) -> dict[str, str]:
    return dict(_TAG.findall(name))


def _root_reference(head: bytes) -> tuple[str | None, tuple[str, ...]]:
    """The message's own id, and every id it refers to, the thread's first message first."""
    parsed = email.message_from_bytes(head, policy=email.policy.compat32)

    def ids(name: str) -> tuple[str, ...]:
        return message_ids(" ".join(str(v) for v in parsed.get_all(name) or []))

    own = ids("Message-ID")
    return (own[0] if own else None), (*ids("References"), *ids("In-Reply-To"))


def _fsync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class LocalTransport:
    """The mailbox of `address` kept under `root`, which is made if missing. Any number of threads and
    processes may use the same folder."""

    provider = "local"

    def __init__(self, root: Path, address: str) -> None:
        self.root = Path(root)
        self._address = address
        self._lock = threading.Lock()
        self._incoming_threads: dict[str, str] = {}
        self._incoming_stamp: tuple[int, int] | None = None
        with _as_mail_error("open"):
            for folder in (self.root, self._drafts, self._sent):
                for part in ("tmp", "new", "cur"):
                    (folder / part).mkdir(parents=True, exist_ok=True)
            for folder in (self._drafts, self._sent):
                (folder / "maildirfolder").touch()
            self._ensure_index()

    @property
    def _drafts(self) -> Path:
        return self.root / ".Drafts"

    @property
    def _sent(self) -> Path:
        return self.root / ".Sent"

    def address(self) -> str:
        return self._address

    def create_draft(self, message: OutgoingMessage, *, send_key: str) -> Draft:
        ready = replace(
            message,
            rfc_message_id=message.rfc_message_id or new_rfc_message_id(send_key, message.sender.email),
            date=message.date or dt.datetime.now(dt.UTC),
        )
        try:
            raw = build(ready, send_key=send_key)
        except InvalidInput as exc:
            raise MailRefused(str(exc)) from exc
        own, references = _root_reference(raw)
        thread = message.provider_thread_id or self._thread_of(own, references)
        if not _DIGEST.match(thread):
            raise MailRefused(f"{thread!r} isn't a thread of this mailbox.")
        unique = f"{_new_unique()},K={_digest(send_key)},T={thread}"
        with _as_mail_error("write a draft"):
            _write(self._drafts / "tmp" / unique, raw)
            # Indexed first: a line that points nowhere is harmless, a message without its line is not.
            self._index(unique, thread, *([_digest(own)] if own else []))
            os.rename(self._drafts / "tmp" / unique, self._drafts / "cur" / f"{unique}:2,D")
            _fsync_directory(self._drafts / "cur")
        return Draft(unique, unique, thread)

    def find_draft(self, send_key: str, *, since: dt.datetime | None = None) -> Draft | None:
        with _as_mail_error("list drafts"):
            for path in _marked(self._drafts, send_key):
                unique = _unique(path.name)
                return Draft(unique, unique, _tags(unique).get("T"))
        return None

    def draft_exists(self, provider_draft_id: str) -> bool:
        with _as_mail_error("look for a draft"):
            return _locate(self._drafts, provider_draft_id, "D") is not None

    def delete_draft(self, provider_draft_id: str) -> None:
        with _as_mail_error("delete a draft"):
            path = _locate(self._drafts, provider_draft_id, "D")
            if path is not None:
                path.unlink(missing_ok=True)

    def send_draft(self, provider_draft_id: str) -> SentMessage:
        target = self._sent / "cur" / f"{provider_draft_id}:2,S"
        try:
            path = _locate(self._drafts, provider_draft_id, "D")
            if path is None:
                raise FileNotFoundError(provider_draft_id)
            # mtime is the time of sending; ctime would move with every flag a mail program sets.
            os.utime(path)
            # The one moment that decides: of two senders, one finds the file gone.
            os.rename(path, target)
            _fsync_directory(self._sent / "cur")
            _fsync_directory(self._drafts / "cur")
        except FileNotFoundError as exc:
            raise MailNotFound(f"There is no draft {provider_draft_id!r}: it was sent or deleted.") from exc
        except OSError as exc:
            raise MailOutcomeUnknown(
                f"The mailbox folder failed during the send: {exc.strerror or exc}."
            ) from exc
        try:
            return _sent_message(target)
        except OSError:
            # It is sent; a failed reading mustn't look like a failed send.
            return SentMessage(provider_draft_id, _tags(provider_draft_id).get("T"), None)

    def find_sent(self, *, send_key: str, since: dt.datetime, fingerprint: Fingerprint) -> SentMessage | None:
        with _as_mail_error("list sent messages"):
            for path in _marked(self._sent, send_key):
                return _sent_message(path)
            # A name with a key belongs to another send, which is proof that it isn't this one.
            for path in _entries(self._sent, lambda name: ",K=" not in name):
                if path.stat().st_mtime >= since.timestamp():
                    found = _read(path)
                    if found is not None and _same(found, fingerprint):
                        return _sent_message(path)
        return None

    def read_sent(self, provider_message_id: str) -> SentMessage:
        with _as_mail_error("read a sent message"):
            path = _locate(self._sent, provider_message_id, "S")
            if path is None:
                raise MailNotFound(f"There is no sent message {provider_message_id!r}.")
            return _sent_message(path)

    def read_thread(self, provider_thread_id: str) -> list[IncomingMessage]:
        with _as_mail_error("read a thread"):
            self._look_at_incoming()
            paths: list[Path] = []
            for unique in self._indexed(provider_thread_id):
                path = self._sent / "cur" / f"{unique}:2,S"
                found = path if path.exists() else self._moved(unique)
                if found is not None:
                    paths.append(found)
            with self._lock:
                mine = [u for u, t in self._incoming_threads.items() if t == provider_thread_id]
            paths += [p for p in (_locate(self.root, unique, "") for unique in mine) if p is not None]
            messages = [m for m in map(_read, paths) if m is not None]
        messages = [replace(m, provider_thread_id=provider_thread_id) for m in messages]
        return sorted(messages, key=lambda m: (m.received_at, m.provider_message_id))

    def poll(self, cursor: str | None, *, since: dt.datetime) -> PollResult:
        with _as_mail_error("list new messages"):
            before = time.time()
            stamps = self._stamps()
            known = _parse_cursor(cursor)
            failing = known.failing if known is not None else {}
            if known is not None and known.at > before + SET_BACK:
                known, since = None, min(since, dt.datetime.fromtimestamp(before, dt.UTC) - CLOCK_BACK)
            if (
                known is not None
                and known.stamps == stamps
                and not any(f.again <= before for f in failing.values())
            ):
                return PollResult([], cursor or "", unread=unread(failing, before))
            floor = since.timestamp() if known is None else known.at - OVERLAP
            told = known.told if known is not None else frozenset[str]()
            waiting: list[tuple[float, Path]] = []
            passed: list[tuple[float, str]] = []
            for path in _entries(self.root):
                try:
                    changed = path.stat().st_ctime
                except FileNotFoundError:
                    # Moved from new to cur under our hands: the next poll's listing shows it.
                    stamps = (0, 0)
                    continue
                if changed >= floor:
                    short = _short(path)
                    if short in told:
                        passed.append((changed, short))
                    else:
                        waiting.append((changed, path))
        waiting.sort(key=lambda w: (w[0], w[1].name))
        batch = Batch(self._arrived, failing)
        done = 0
        for _, path in waiting:
            if not batch.take({_unique(path.name): str(path)}, may_stop=done > 0):
                break
            done += 1
        read = {m.provider_message_id for m in batch.messages}
        # One that was moved away while others were read hasn't been told: its change of place shows it again.
        gone = {
            n for n, (_, p) in enumerate(waiting[:done]) if _unique(p.name) not in read | batch.failing.keys()
        }
        messages = sorted(batch.messages, key=lambda m: (m.received_at, m.provider_message_id))
        resynced = cursor is not None and known is None
        if done < len(waiting):
            at = min(waiting[done - 1][0], before) if done else floor + OVERLAP
            passed += [(c, _short(p)) for n, (c, p) in enumerate(waiting[:done]) if n not in gone]
            again = {short for changed, short in passed if changed >= at - OVERLAP}
            following = _Cursor(at, told=frozenset(again), failing=batch.failing)
        else:
            # A folder changed this recently may change again within the same tick of the file system's clock.
            settled = not gone and max(stamps) / 1e9 < before - OVERLAP
            following = _Cursor(before, stamps if settled else (0, 0), failing=batch.failing)
        more = done < len(waiting)
        return PollResult(messages, following.encode(), resynced, more, batch.unread(), batch.stopped)

    def _arrived(self, unique: str, place: str) -> IncomingMessage | None:
        path = Path(place)
        try:
            message = _read(path)
            if message is None:
                path = _locate(self.root, unique, "") or path
                message = _read(path)
            return message and replace(message, provider_thread_id=self._incoming_thread(path))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise MailTemporary(f"The file {unique!r}: {exc.strerror or exc}.") from exc

    def close(self) -> None:
        """Nothing is held open."""

    def deliver(self, raw: bytes) -> str:
        """Put a message into the inbox the way a delivery agent does; its provider_message_id."""
        own, references = _root_reference(raw)
        unique = f"{_new_unique()},T={self._thread_of(own, references)}"
        _write(self.root / "tmp" / unique, raw)
        os.rename(self.root / "tmp" / unique, self.root / "new" / unique)
        return unique

    def _stamps(self) -> tuple[int, int]:
        return (self.root / "new").stat().st_mtime_ns, (self.root / "cur").stat().st_mtime_ns

    def _thread_of(self, own: str | None, references: tuple[str, ...]) -> str:
        """The thread of a message we sent that is referred to, else a hash of the first reference."""
        for reference in references:
            for unique in self._indexed(_digest(reference)):
                if thread := _tags(unique).get("T"):
                    return thread
        return _digest((*references, own or f"<{_new_unique()}>")[0])

    def _incoming_thread(self, path: Path) -> str:
        unique = _unique(path.name)
        with self._lock:
            known = self._incoming_threads.get(unique)
        if known is None:
            known = _tags(unique).get("T")
        if known is None:
            with path.open("rb") as file:
                known = self._thread_of(*_root_reference(file.read(_HEAD)))
        with self._lock:
            self._incoming_threads[unique] = known
        return known

    def _look_at_incoming(self) -> None:
        """Learn the threads of messages not seen yet; reads the head of each foreign file once."""
        stamps, before = self._stamps(), time.time()
        if stamps == self._incoming_stamp:
            return
        for path in _entries(self.root):
            try:
                self._incoming_thread(path)
            except OSError:  # moved just now, or one that can't be read
                continue
        self._incoming_stamp = stamps if max(stamps) / 1e9 < before - OVERLAP else None

    @property
    def _index_folder(self) -> Path:
        return self.root / ".outreach-index"

    def _index(self, unique: str, *digests: str) -> None:
        for digest in dict.fromkeys(digests):
            # One short write with O_APPEND: lines of several processes don't mix.
            with (self._index_folder / digest[:3]).open("ab", buffering=0) as file:
                file.write(f"{digest} {unique}\n".encode())

    def _indexed(self, digest: str) -> list[str]:
        if not _DIGEST.match(digest):
            return []
        try:
            lines = (self._index_folder / digest[:3]).read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = (line.partition(" ") for line in lines)
        return list(dict.fromkeys(unique for first, _, unique in found if first == digest))

    def _ensure_index(self) -> None:
        if (self._index_folder / "complete").exists():
            return
        self._index_folder.mkdir(exist_ok=True)
        for path in (*_entries(self._sent), *_entries(self._drafts)):
            with path.open("rb") as file:
                own, references = _root_reference(file.read(_HEAD))
            unique = _unique(path.name)
            thread = _tags(unique).get("T") or _digest((*references, own or unique)[0])
            self._index(unique, thread, *([_digest(own)] if own else []))
        (self._index_folder / "complete").touch()

    def _moved(self, unique: str) -> Path | None:
        """Where a sent message went whose flags a mail client changed; None for a draft."""
        if (self._drafts / "cur" / f"{unique}:2,D").exists():
            return None
        return _locate(self._sent, unique, "S")


@contextmanager
def _as_mail_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise MailTemporary(f"The mailbox folder couldn't {what}: {exc.strerror or exc}.") from exc


def _new_unique() -> str:
    now = time.time_ns()
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "localhost"
    seconds, micro = now // 10**9, now % 10**9 // 1000
    return f"{seconds}.M{micro:06d}P{os.getpid()}Q{next(_counter)}R{os.urandom(4).hex()}.{host}"


def _write(path: Path, raw: bytes) -> None:
    with path.open("xb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def _entries(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Path]:
    """Files whose name is wanted. With 100,000 of them a Path for each would cost more than the listing."""
    for part in ("new", "cur"):
        with os.scandir(folder / part) as found:
            for entry in found:  # a folder that somebody put there is no message
                if wanted(entry.name) and not entry.name.startswith(".") and entry.is_file():
                    yield folder / part / entry.name


def _marked(folder: Path, send_key: str) -> Iterator[Path]:
    """Files whose name says they carry the key, confirmed by their header."""
    mark = f",K={_digest(send_key)}"
    for path in _entries(folder, lambda name: mark in name):
        message = _read(path)
        if message is not None and message.header(KEY_HEADER) == send_key:
            yield path


def _locate(folder: Path, unique: str, flags: str) -> Path | None:
    if not _NAME.match(unique) or "/" in unique or unique.startswith("."):
        return None
    path = folder / "cur" / f"{unique}:2,{flags}"
    if path.exists():
        return path
    return next(_entries(folder, lambda name: _unique(name) == unique), None)


def _read(path: Path) -> IncomingMessage | None:
    """The message in a file, or None if it has just been moved or removed."""
    try:
        raw, stat = path.read_bytes(), path.stat()
    except FileNotFoundError:
        return None
    unique = _unique(path.name)
    return parse_incoming(
        raw,
        provider_message_id=unique,
        provider_thread_id=_tags(unique).get("T"),
        received_at=dt.datetime.fromtimestamp(stat.st_mtime, dt.UTC),
    )


def _sent_message(path: Path) -> SentMessage:
    unique = _unique(path.name)
    with path.open("rb") as file:
        own, _ = _root_reference(file.read(_HEAD))
        sent_at = dt.datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, dt.UTC)
    return SentMessage(unique, _tags(unique).get("T"), own, sent_at)


def _same(message: IncomingMessage, wanted: Fingerprint) -> bool:
    return (
        # Another send's marker is proof that it isn't this one.
        message.header(KEY_HEADER) is None
        and frozenset(a.email.lower() for a in (*message.to, *message.cc)) == wanted.recipients
        and message.subject == " ".join(wanted.subject.split())
        and text_hash(message.text) == wanted.text_hash
        and wanted.provider_thread_id in (None, message.provider_thread_id)
    )


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Files changed since shortly before `at` are told, but for those `told` already (digests of their names) and those
    `failing`. With the folders' `stamps` as they were nothing has changed."""

    at: float
    stamps: tuple[int, int] = (0, 0)
    told: frozenset[str] = frozenset()
    failing: Mapping[str, Failing] = field(default_factory=dict)

    def encode(self) -> str:
        failing = {name: f.encode() for name, f in self.failing.items()}
        rest = f"/{','.join(sorted(self.told))}" if self.told or failing else ""
        return f"{self.at:.6f}/{self.stamps[0]}/{self.stamps[1]}{rest}" + (
            f"/{json.dumps(failing)}" if failing else ""
        )


def _parse_cursor(cursor: str | None) -> _Cursor | None:
    match = re.fullmatch(r"(\d+\.\d+)/(\d+)/(\d+)(?:/([0-9a-f,]*))?(?:/(\{.*\}))?", cursor or "")
    if match is None:
        return None
    told = frozenset(match[4].split(",")) if match[4] else frozenset[str]()
    try:
        failing = {str(k): Failing.decode(v) for k, v in json.loads(match[5] or "{}").items()}
    except (ValueError, TypeError):
        return None
    return _Cursor(float(match[1]), (int(match[2]), int(match[3])), told, failing)
