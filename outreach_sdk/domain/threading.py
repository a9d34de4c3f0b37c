"""Which journey an incoming message belongs to. Never guessed by subject."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Literal

from outreach_sdk.domain.contact import canonical, plain_email
from outreach_sdk.domain.message import Address, IncomingMessage, message_ids
from outreach_sdk.domain.mime import address_pairs, read_bounded

__all__ = [
    "REPLY_WINDOW",
    "JourneyRef",
    "LookupKeys",
    "Match",
    "authors",
    "is_own",
    "keys",
    "listed",
    "match",
    "nearest",
    "posted",
    "reply_subject",
]

How = Literal["thread", "references"]

REPLY_WINDOW = dt.timedelta(days=180)
"""How long after a journey's end an answer is still one to it."""


@dataclass(frozen=True, slots=True)
class JourneyRef:
    """A journey as far as matching needs it; `ended_at` is None while it runs. `nearness`: 0 where the mailbox that
    got the message wrote for it, 1 where its owner is that mailbox's, else 2."""

    journey_id: int
    started_at: dt.datetime
    ended_at: dt.datetime | None = None
    owner_id: int = 0
    nearness: int = 2
    wrote_at: dt.datetime | None = None

    def late(self, when: dt.datetime) -> bool:
        """Whether it had ended too long ago by then."""
        return self.ended_at is not None and when > self.ended_at + REPLY_WINDOW


@dataclass(frozen=True, slots=True)
class Match:
    """The journey found, and by which of the ways."""

    journey_id: int
    how: How


@dataclass(frozen=True, slots=True)
class LookupKeys:
    """What storage looks up, one query each. `message_ids`: the nearest ancestor first."""

    thread_id: str | None
    message_ids: tuple[str, ...]
    addresses: tuple[str, ...]


def keys(incoming: IncomingMessage) -> LookupKeys:
    """The keys under which `incoming` may be known; addresses are its senders as they are stored, then in the
    form that all spellings of a mailbox share. A forwarded copy is known by the message it forwards: attached to
    it, or named as Thunderbird does."""
    named = message_ids(" ".join(v for k, v in incoming.headers if k.lower() == "x-forwarded-message-id"))
    ids = (*reversed(incoming.in_reply_to), *reversed(incoming.references), *named, *_attached(incoming.raw))
    senders = _senders(incoming, reply_to=True)
    others = [canonical(address) for address in senders]
    return LookupKeys(
        incoming.provider_thread_id or None,
        tuple(dict.fromkeys(ids))[:_MAX_IDS],
        tuple(dict.fromkeys((*senders, *others)))[:_MAX_ADDRESSES],
    )


_MAX_IDS = 200
_MAX_ADDRESSES = 20


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
        found[plain_email(incoming.sender.email)] = None
    wanted = {"from", "sender"} | ({"reply-to"} if reply_to else set())
    values = [v for k, v in incoming.headers if k.lower() in wanted]
    for _, address in (pair for v in values for pair in address_pairs(v)):
        if "@" in address:
            found[plain_email(address)] = None
    return tuple(found)


def match(
    incoming: IncomingMessage,
    *,
    by_thread: Mapping[str, JourneyRef],
    by_message_id: Mapping[str, JourneyRef],
) -> Match | None:
    """The provider's thread, else the nearest message it answers; where neither is known, see `nearest`."""
    wanted = keys(incoming)
    if wanted.thread_id is not None and (ref := by_thread.get(wanted.thread_id)) is not None:
        return Match(ref.journey_id, "thread")
    for message_id in wanted.message_ids:
        if (ref := by_message_id.get(message_id)) is not None:
            return Match(ref.journey_id, "references")
    return None


def nearest(
    refs: Iterable[JourneyRef], when: dt.datetime, *, however_old: bool = False
) -> tuple[JourneyRef, bool] | None:
    """Of a candidate's journeys the one that a message outside of any thread answers, and whether another owner's
    is as near: those that the mailbox it came to wrote for, then those of its owner; before those that had ended the
    ones that hadn't, and the one that wrote last. None of those that had ended too long ago, unless that is all the
    same."""

    def rank(ref: JourneyRef) -> tuple[int, bool]:
        return (ref.nearness, ref.ended_at is not None and when > ref.ended_at)

    known = [r for r in refs if r.started_at <= when and (however_old or not r.late(when))]
    if not known:
        return None
    first = min(rank(r) for r in known)
    best = [r for r in known if rank(r) == first]
    last = max(best, key=lambda r: (r.wrote_at or r.started_at, r.started_at, r.journey_id))
    return last, len({r.owner_id for r in best}) > 1


def authors(incoming: IncomingMessage) -> tuple[str, ...]:
    """The addresses in From, as they are stored; those in Sender where there is no From (RFC 5322: From is the author,
    Sender who transmits for them)."""
    written = [a for k, v in incoming.headers if k.lower() == "from" for _, a in address_pairs(v)]
    named = [incoming.sender.email, *written] if incoming.sender is not None else written
    found = tuple(dict.fromkeys(plain_email(a) for a in named if "@" in a))
    return found or _senders(incoming, reply_to=False)


def is_own(incoming: IncomingMessage, team_addresses: Iterable[str], *, key_known: bool = False) -> bool:
    """Whether one of ours wrote it: an author is in `team_addresses` (mailboxes and aliases, any case, `+tags`
    aside), or the key it carries is one of ours. Anybody may use this software, so a key alone says nothing."""
    if key_known:
        return True
    team = {canonical(plain_email(a)) for a in team_addresses}
    return any(canonical(a) in team for a in authors(incoming))


def listed(incoming: IncomingMessage) -> bool:
    """Whether it came by a mailing list (RFC 2919) or a group."""
    names = {k.lower() for k, _ in incoming.headers}
    return not names.isdisjoint(("list-id", "mailing-list", "x-google-group-id"))


def posted(incoming: IncomingMessage, team_addresses: Iterable[str]) -> IncomingMessage:
    """A message by a list of ours, under its author's name: in From stands the list's own address, where the author's
    domain allows no other server (DMARC). The author is the one it names as that, else whoever wants the answers."""
    if not is_own(incoming, team_addresses):
        return incoming
    for name in ("x-original-from", "x-original-sender", "reply-to"):
        written = [v for k, v in incoming.headers if k.lower() == name]
        for called, address in (pair for v in written for pair in address_pairs(v)):
            if "@" in address:
                shown = incoming.sender.name if incoming.sender is not None else ""
                author = Address(address, called or _VIA.sub("", shown).strip("'\" "))
                others = tuple((k, v) for k, v in incoming.headers if k.lower() != "from")
                return dataclasses.replace(incoming, sender=author, headers=(("From", str(author)), *others))
    return incoming


_VIA = re.compile(r"\s+via\s.*$", re.S)

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
