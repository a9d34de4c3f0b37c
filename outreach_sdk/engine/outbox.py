"""One claimed outbox entry, taken as far as it goes now."""

from __future__ import annotations

from typing import Any

from outreach_sdk.engine import answers, failpoints, release, send
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.hand import Hand
from outreach_sdk.engine.mailboxes import mailbox_dead, mailbox_locked
from outreach_sdk.engine.recover import recover, unreachable
from outreach_sdk.errors import ConfigError, InvalidInput, MailAuthError, MailError, MailNotFound, MailRefused
from outreach_sdk.storage.claims import Claim
from outreach_sdk.storage.entries import load_entries

__all__ = ["process"]


def process(engine: Engine, claim: Claim, hand: Hand | None = None) -> str:
    """Take one claimed entry as far as it goes now; the name of how it ended. Its place goes to the next in `hand`
    where it was sent."""
    failpoints.hit("after_claim")
    entry = claim.entry or load(engine, claim)
    if entry is None:
        return "gone"
    entry["hand"] = hand
    try:
        transport = engine.transport(_mailbox(entry))
    except MailAuthError as exc:  # disconnected meanwhile: there is nothing to ask it with
        if claim.recover:
            return unreachable(engine, entry)
        release.release(engine, entry)
        mailbox_dead(engine, entry["mailbox_id"], str(exc))
        return "reauthorise"
    except ConfigError as exc:
        mailbox_locked(engine, entry["mailbox_id"], str(exc))
        if claim.recover:
            return unreachable(engine, entry)
        release.release(engine, entry, due=entry["due_at"])
        return "locked"
    if claim.recover:
        return recover(engine, entry, transport)
    prepare = send.prepare_and_send if entry["answers_id"] is None else answers.prepare_and_send
    try:
        return prepare(engine, entry, transport)
    except MailAuthError as exc:
        release.release(engine, entry)
        mailbox_dead(engine, entry["mailbox_id"], str(exc))
        return "reauthorise"
    except MailRefused as exc:
        if isinstance(exc.__cause__, InvalidInput):  # our own no, before the provider was asked
            return release.refused(engine, entry, str(exc), told=release.UNBUILT)
        return release.refused(engine, entry, str(exc))
    except MailNotFound as exc:  # it lacks what this very e-mail needs: no matter of the others'
        return release.retry_later(engine, entry, exc)
    except MailError as exc:  # nothing was sent: drafts and looks only
        return release.held_up(engine, entry, exc)


def load(engine: Engine, claim: Claim) -> dict[str, Any] | None:
    """The entry with all it takes to send it; None where it isn't in this claim's hands any more."""
    entry = load_entries(engine.store, [claim.outbox_id]).get(claim.outbox_id)
    return entry if entry is not None and entry["generation"] == claim.generation else None


_BOX = ("address", "credentials", "config", "owner_id")


def _mailbox(entry: dict[str, Any]) -> dict[str, Any]:
    """The part of the mailbox's row that its transport is made from."""
    part = {name: entry[f"mailbox_{name}"] for name in _BOX}
    of = {"id": entry["mailbox_id"], "workspace_id": entry["workspace_id"], "provider": entry["provider"]}
    return {**part, **of}
