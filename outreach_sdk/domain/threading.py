"""Which journey an incoming message belongs to. Never guessed by subject."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Literal

from outreach_sdk.domain.message import KEY_HEADER, IncomingMessage, message_ids
from outreach_sdk.domain.mime import address_pairs, read_bounded

__all__ = ["JourneyRef", "LookupKeys", "Match", "is_own", "keys", "match", "reply_subject"]

How = Literal["thread", "references", "address"]


@dataclass(frozen=True, slots=True)
class JourneyRef:
    """A journey as far as matching needs it; `ended_at` is None while it runs."""

    journey_id: int
    started_at: dt.datetime
    ended_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """The journey found, and by which of the three ways."""

    journey_id: int
    how: How


@dataclass(frozen=True, slots=True)
class LookupKeys:
    """What storage looks up, one query each. `message_ids`: the nearest ancestor first."""

    thread_id: str | None
    message_ids: tuple[str, ...]
    addresses: tuple[str, ...]


def keys(incoming: IncomingMessage) -> LookupKeys:
    """The keys under which `incoming` may be known; addresses are lower-cased senders, as written, then
    without their `+tag` and under the other of Google's two domains. A forwarded copy is known by the
    message it forwards: attached to it, or named as Thunderbird does."""
    named = message_ids(" ".join(v for k, v in incoming.headers if k.lower() == "x-forwarded-message-id"))
    ids = (*reversed(incoming.in_reply_to), *reversed(incoming.references), *named, *_attached(incoming.raw))
    senders = _senders(incoming, reply_to=True)
    others = [other for address in senders for other in _same_person(address)]
    return LookupKeys(
        incoming.provider_thread_id or None,
        tuple(dict.fromkeys(ids))[:_MAX_IDS],
        tuple(dict.fromkeys((*senders, *others)))[:_MAX_ADDRESSES],
    )


_MAX_IDS = 200
_MAX_ADDRESSES = 20
_GOOGLE = {"gmail.com": "googlemail.com", "googlemail.com": "gmail.com"}


def _same_person(address: str) -> list[str]:
    plain = _untagged(address)
    local, _, domain = plain.rpartition("@")
    return [plain, f"{local}@{_GOOGLE[domain]}"] if domain in _GOOGLE else [plain]


def _attached(raw: bytes) -> list[str]:
    """Message-IDs of the messages attached to this one, the outermost first."""
    if b"message/rfc822" not in raw[:200_000].lower():
        return []
    found: list[str] = []
    for part in read_bounded(raw[:200_000]).walk():
        payload = part.get_payload() if part.get_content_type() == "message/rfc822" else None
        if isinstance(payload, list) and payload and isinstance(payload[0], Message):
            found += message_ids(str(payload[0].get("Message-ID") or "")[:2_000])
        if len(found) >= 20:
            break
    return found


def _senders(incoming: IncomingMessage, *, reply_to: bool) -> tuple[str, ...]:
    found: dict[str, None] = {}
    if incoming.sender is not None:
        found[incoming.sender.email.strip().lower()] = None
    wanted = {"from", "sender"} | ({"reply-to"} if reply_to else set())
    values = [v for k, v in incoming.headers if k.lower() in wanted]
    for _, address in (pair for v in values for pair in address_pairs(v)):
        if "@" in address:
            found[address.strip().lower()] = None
    return tuple(found)


def match(
    incoming: IncomingMessage,
    *,
    by_thread: Mapping[str, JourneyRef],
    by_message_id: Mapping[str, JourneyRef],
    by_address: Mapping[str, list[JourneyRef]],
) -> Match | None:
    """The provider's thread, else the nearest message it answers, else its sender among the journeys alive
    when it arrived; of several such, the one that started last. Address keys are lower-case."""
    wanted = keys(incoming)
    if wanted.thread_id is not None and (ref := by_thread.get(wanted.thread_id)) is not None:
        return Match(ref.journey_id, "thread")
    for message_id in wanted.message_ids:
        if (ref := by_message_id.get(message_id)) is not None:
            return Match(ref.journey_id, "references")
    when = incoming.received_at
    for address in wanted.addresses:
        alive = [
            ref
            for ref in by_address.get(address, ())
            if ref.started_at <= when and (ref.ended_at is None or when <= ref.ended_at)
        ]
        if alive:
            newest = max(alive, key=lambda ref: (ref.started_at, ref.journey_id))
            return Match(newest.journey_id, "address")
    return None


def is_own(incoming: IncomingMessage, team_addresses: Iterable[str]) -> bool:
    """Whether one of ours wrote it: From is in `team_addresses` (mailboxes and aliases, any case, `+tags` aside),
    Sender where there is no From (RFC 5322: From is the author, Sender who transmits for them), or the message
    itself carries our key."""
    if incoming.header(KEY_HEADER) is not None:
        return True
    team = {_untagged(a.strip().lower()) for a in team_addresses}
    written = [a for k, v in incoming.headers if k.lower() == "from" for _, a in address_pairs(v)]
    authors = [incoming.sender.email, *written] if incoming.sender is not None else written
    authors = [a.strip().lower() for a in authors if "@" in a]
    return any(_untagged(a) in team for a in authors or _senders(incoming, reply_to=False))


def _untagged(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return local.split("+")[0] + at + domain if local else address


_REPLY = re.compile(
    r"\s*(?:re|aw|antw|antwort|rép|sv|vs|odp|r|rif|res|resp|ref|ynt|yn|отв|ответ|回复|回覆|答复|返信|답장|תגובה)"
    r"\s*(?:\[\d+\]|\(\d+\))?\s*[:：]",
    re.I,
)


def reply_subject(subject: str) -> str:
    """The thread's subject behind exactly one `Re: `, however many the thread has gathered."""
    rest = subject.strip()
    while (found := _REPLY.match(rest)) is not None:
        rest = rest[found.end() :].strip()
    return f"Re: {rest}" if rest else "Re:"
