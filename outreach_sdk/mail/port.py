"""The port every mailbox stands behind.

An adapter is given its token (a callable), HTTP session and base URL. It never reads settings or
the database, and raises only errors of the `MailError` family. What each call promises is checked by
one contract suite (`tests/mail/test_contract.py`) on every implementation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from outreach_sdk.domain.message import IncomingMessage, OutgoingMessage
from outreach_sdk.errors import MailError

__all__ = [
    "BATCH",
    "BATCH_BYTES",
    "BATCH_SECONDS",
    "ByDevice",
    "CanWatch",
    "Draft",
    "Fingerprint",
    "HasIdentities",
    "HasPeculiarities",
    "Identity",
    "MailTransport",
    "PollResult",
    "SentMessage",
    "SignIn",
    "Unread",
    "Watch",
]

SEND_TIMEOUT = 30.0
"""Seconds after which a send without an answer counts as unknown (docs/sending.md, step 6)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message prepared at the provider, not sent."""

    provider_draft_id: str
    provider_message_id: str | None = None
    provider_thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What the provider says of a message it accepted. `rfc_message_id` is the header as it left,
    which the provider may have replaced."""

    provider_message_id: str
    provider_thread_id: str | None
    rfc_message_id: str | None
    sent_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The second witness of a send, for providers or relays that drop the marker: same recipients,
    same subject, same visible text (hashed by `domain.message.text_hash`), same thread if there was one."""

    recipients: frozenset[str]
    subject: str
    text_hash: str
    provider_thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A message that came in and can't be read, and why. The adapter goes on trying for a while."""

    provider_message_id: str
    why: str


BATCH = 50
BATCH_BYTES = 8 * 2**20
BATCH_SECONDS = 30.0
"""How many messages, and how much of them, one poll gives at most (a larger message comes alone), and after how long it
ends with those it has."""


@dataclass(frozen=True, slots=True)
class PollResult:
    """Messages that came in since the cursor (possibly some seen before: the reader dedupes by
    `provider_message_id`), the next cursor, and whether the cursor had expired and a bounded resync
    was done instead. `more`: this was a batch, and a poll from the next cursor brings the next one. `unread`: what
    hasn't been read for so long that somebody should know; it may be named again and again. `stopped`: why this is no
    more, where the provider lists messages and gives none of several; from the next cursor it is tried again, and what
    hasn't been given for so long as to be `unread` is passed over."""

    messages: list[IncomingMessage] = field(default_factory=list)
    cursor: str = ""
    resynced: bool = False
    more: bool = False
    unread: list[Unread] = field(default_factory=list)
    stopped: MailError | None = None


@runtime_checkable
class MailTransport(Protocol):
    """Sends from and reads one mailbox. Safe to use from several threads."""

    provider: str

    def address(self) -> str:
        """The mailbox's own address as the provider knows it. Raises MailAuthError, MailTemporary."""
        ...

    def create_draft(self, message: OutgoingMessage, *, send_key: str) -> Draft:
        """Prepare `message` at the provider, marked with `send_key` so that `find_draft` and
        `find_sent` see it. Raises MailRefused (the message can't be accepted), MailRateLimited,
        MailTemporary (it may or may not exist now: look by key before making another), MailAuthError."""
        ...

    def find_draft(self, send_key: str, *, since: dt.datetime | None = None) -> Draft | None:
        """The draft marked with `send_key`, or None. Never a sent message. `since`: one made before needn't be
        found."""
        ...

    def draft_exists(self, provider_draft_id: str) -> bool:
        """Whether the draft is still there, unsent."""
        ...

    def delete_draft(self, provider_draft_id: str) -> None:
        """Remove the draft. One that isn't there is fine; a sent message is never removed."""
        ...

    def send_draft(self, provider_draft_id: str) -> SentMessage:
        """Send it, once, with no retry of any kind and a time-out of `SEND_TIMEOUT`. Raises
        MailRefused / MailRateLimited (definitely not sent, the draft still stands), MailAuthError
        (definitely not sent), MailNotFound (gone: sent earlier or deleted) and MailOutcomeUnknown
        (time-out, 5xx, reset: look it up)."""
        ...

    def find_sent(self, *, send_key: str, since: dt.datetime, fingerprint: Fingerprint) -> SentMessage | None:
        """The message in Sent bearing `send_key`, else one sent at or after `since` with the same
        fingerprint, else None. Lists Sent itself, not the search index, which lags."""
        ...

    def read_sent(self, provider_message_id: str) -> SentMessage:
        """Ids of a sent message as the provider has them now. Raises MailNotFound."""
        ...

    def read_thread(self, provider_thread_id: str) -> list[IncomingMessage]:
        """Every message of the thread in this mailbox, oldest first, drafts left out, one's own
        included. An unknown thread is an empty list."""
        ...

    def poll(self, cursor: str | None, *, since: dt.datetime) -> PollResult:
        """What arrived after `cursor`, oldest first; with None, or where the cursor has expired, what
        arrived at or after `since`. One provider call where nothing arrived, at most two more per
        message. Sent messages and drafts are left out; everything else is told, spam included. No more than a batch
        at once; where the provider stops answering in the middle, what was read until then. One message that
        can't be read doesn't keep back the others."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """An address a mailbox may send as. `signature` is HTML, as the provider keeps it."""

    address: str
    name: str = ""
    verified: bool = True
    default: bool = False
    signature: str = ""


@runtime_checkable
class HasIdentities(Protocol):
    """A transport whose provider knows other addresses it may send as."""

    def identities(self) -> list[Identity]:
        """All of them, one's own included. Raises MailAuthError, MailTemporary."""
        ...


@runtime_checkable
class HasPeculiarities(Protocol):
    """A transport that rests on something about drafts that only its own provider shows."""

    def peculiarities(self, provider_draft_id: str) -> Mapping[str, str]:
        """Each such fact by name: "ok", or a sentence on what is otherwise, for a draft that stands."""
        ...


@dataclass(frozen=True, slots=True)
class Watch:
    """What tells of a mailbox's news until `expires_at`."""

    external_id: str
    expires_at: dt.datetime


@runtime_checkable
class CanWatch(Protocol):
    """A transport whose provider can tell of news, instead of only being asked."""

    def watch(self, target: str, secret: str) -> Watch:
        """Have `target` (a topic, an address) told of news, with `secret` in each notification where the provider
        has a place for it. Raises MailRefused, MailTemporary, MailAuthError."""
        ...

    def renew_watch(self, external_id: str, target: str, *, reauthorise: bool = False) -> Watch:
        """Let it stand for longer. MailNotFound where it stands no more."""
        ...


class SignIn(Protocol):
    """A provider's consent page, and what it gives. What `begin` and `finish` return holds secrets: it is kept
    encrypted or not at all."""

    provider: str
    permissions: tuple[tuple[str, str], ...]
    optional: tuple[tuple[str, str], ...]
    """(scope, what it is for, in a sentence); what is optional is asked for too, and done without if refused."""

    def begin(self, redirect_uri: str, *, address: str | None) -> tuple[str, dict[str, Any]]:
        """Where to send the person, and what `finish` needs; its "state" comes back with the answer.
        `address` is suggested to the page."""
        ...

    def finish(self, memo: Mapping[str, Any], answer: Mapping[str, str]) -> dict[str, Any]:
        """The tokens to keep, from what came back to the redirect address. Raises SignInRefused,
        MailTemporary."""
        ...

    def address(self, tokens: Mapping[str, Any]) -> str:
        """Whose mailbox they open."""
        ...

    def revoke(self, tokens: Mapping[str, Any]) -> bool:
        """Tell the provider to forget the grant; False where it has no call for that. Fine if it is dead
        already. Raises MailTemporary."""
        ...


@runtime_checkable
class ByDevice(Protocol):
    """A sign-in that can also be done by typing a short code elsewhere."""

    def by_device(self, show: Callable[[str], None], *, patience: float = ...) -> dict[str, Any]:
        """The tokens, once somebody has; what to do is given to `show`. Raises SignInRefused,
        MailTemporary."""
        ...
