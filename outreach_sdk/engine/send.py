"""One e-mail, once: the outbox protocol (docs/sending.md).

Every commit here is chosen so that a kill -9 on the line after it leaves something that recovery can
settle by asking the provider, and nothing that it could only guess.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from contextlib import suppress
from typing import Any

from outreach_sdk.domain.journey import (
    CancelReason,
    JourneyStatus,
    OutboxState,
    PauseReason,
    StepStatus,
)
from outreach_sdk.domain.message import OutgoingMessage
from outreach_sdk.domain.pacing import Priority, spacing_of, wait_for_slot
from outreach_sdk.domain.windows import sending_rules
from outreach_sdk.engine import compose, failpoints, limits, look, review
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.hand import Hand
from outreach_sdk.engine.mailboxes import mailbox_dead
from outreach_sdk.engine.progress import handled, written_to
from outreach_sdk.engine.release import (
    UNBUILT,
    held_up,
    left_unknown,
    pause,
    pause_and_tell,
    refused,
    release,
    retry_later,
)
from outreach_sdk.engine.timing import not_now, too_often
from outreach_sdk.errors import (
    MailAuthError,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MissingField,
    OutreachError,
    StorageError,
)
from outreach_sdk.mail.port import MailTransport, SentMessage
from outreach_sdk.storage.claims import lent_to
from outreach_sdk.storage.store import Store
from outreach_sdk.storage.transitions import event, move_journey, move_outbox, move_step

__all__ = [
    "accepted",
    "deliver",
    "ensure_draft",
    "fence",
    "let_go",
    "prepare_and_send",
    "take_away",
    "with_header_id",
]

MAX_STRAYS = 10
DRAFTS_SINCE = dt.timedelta(days=2)
"""How long before it was last due an e-mail may have been drafted: a person may keep hundreds of older drafts."""
_NEVER = {
    "suppressed": "they don't want to be written to",
    "not_lent": "the mailbox that got their message isn't lent to you any more",
}
"""What keeps a person's answer from leaving for good. A step's e-mail waits with its journey instead."""


def _stale(entry: dict[str, Any]) -> bool:
    return bool(
        entry["journey_status"] != JourneyStatus.ACTIVE
        or entry["current_generation"] != entry["journey_generation"]
        or not entry["sequence_active"]
        or entry["removed_at"] is not None
        or _by_hand(entry, entry["manual"])
    )


def _by_hand(entry: dict[str, Any], manual: bool) -> bool:
    """Whether its step waits for a person by now, and none said Send now. A further attempt isn't asked about again."""
    return bool(manual) and entry["priority"] != Priority.PERSON and entry["attempt"] == 1


def unapproved(entry: dict[str, Any], review: bool, approved_hash: str | None) -> bool:
    """Whether review keeps it: nobody approved this very text. A person's own Send now is their approval."""
    if not review or entry["answers_id"] is not None or entry["priority"] == Priority.PERSON:
        return False
    return approved_hash is None or approved_hash != entry["review_hash"]


def let_go(engine: Engine, entry: dict[str, Any], transport: MailTransport, verdict: str = "") -> str:
    """It may not leave now: take its draft away and give the entry back. Where its step or its sender is another one by
    now, what comes next is planned afresh."""
    _clear_drafts(entry, transport)
    # A person's waits for no plan: not at once, lest it come again and again.
    again = entry["priority"] == Priority.PERSON or not (verdict == "changed" or _stale(entry))
    release(engine, entry, after=dt.timedelta(seconds=5 if again else 0))
    return "released"


def prepare_and_send(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str:
    if _stale(entry) or entry["broken"]:
        return let_go(engine, entry, transport)
    if not entry["current_email"]:
        return pause(engine, entry, PauseReason.NO_EMAIL, "there is no e-mail address to write to")
    held = not_now(engine, entry)
    if held is not None:
        return held
    try:
        # Graph refuses headers that aren't X- when a draft is made.
        list_headers = transport.provider != "outlook"
        message = compose.message(
            engine.store, entry, public_url=engine.public_url, list_headers=list_headers
        )
    except MissingField as exc:
        return pause(engine, entry, PauseReason.MISSING_FIELD, f"{', '.join(exc.fields)} is missing")
    except OutreachError as exc:
        return pause(engine, entry, PauseReason.SEND_FAILED, f"{UNBUILT}: {exc}")
    if unapproved(entry, entry["review"], entry["approved_hash"]):
        return review.hold_back(engine, entry)
    if message is None:  # the sequence broke after activation: it waits, its problems shown
        release(engine, entry, after=dt.timedelta(minutes=1))
        return "incomplete"
    wanted = look.needed(entry)
    # Looked for before there is a draft too, lest each look that fails leave one to be taken away.
    if wanted and (held := look.hold(engine, entry, transport, threads=entry["tries"] > 0)):
        return held if held != look.ANSWERED else let_go(engine, entry, transport)
    ensure_draft(engine, entry, transport, message)
    if wanted:  # it may take long: whoever comes after a crash finds the draft by its id
        if not _keep_draft(engine.store, entry):
            return _not_ours(engine, entry, transport)
        if held := look.hold(engine, entry, transport):
            return held if held != look.ANSWERED else let_go(engine, entry, transport)
    failpoints.hit("after_look")
    return deliver(engine, entry, transport)


def ensure_draft(
    engine: Engine, entry: dict[str, Any], transport: MailTransport, message: OutgoingMessage
) -> None:
    """One draft at the provider bearing the send key; what to record of it stands in `entry["unsaved"]` until
    that is committed. A draft that an earlier claim left is removed first, since what it says may be out of date; it was
    never sent, for `sending` was never committed."""
    _clear_drafts(entry, transport)
    failpoints.hit("before_draft")
    engine.store.idle()
    draft = transport.create_draft(message, send_key=entry["send_key"])
    failpoints.hit("after_draft")
    columns = {
        "provider_draft_id": draft.provider_draft_id,
        "provider_thread_id": message.provider_thread_id,
        "recipient": message.to[0].email,
        "variant": entry.get("drawn"),
        "subject": message.subject,
        "body_html": message.html,
        "body_text": message.text,
        "content_hash": compose.content_hash(message),
        "review_hash": entry.get("review_hash"),
        "cc": json.dumps([str(a) for a in message.cc]),
        "bcc": json.dumps([str(a) for a in message.bcc]),
        "recipients": len(message.recipients() | {a.email.lower() for a in message.bcc}),
        "drafted_at": engine.now(),
    }
    entry.update(columns, unsaved=columns)


def _keep_draft(store: Store, entry: dict[str, Any]) -> bool:
    """Commit the draft that `ensure_draft` made, where that isn't done yet; False: the entry is in other hands."""
    unsaved = entry.get("unsaved")
    if unsaved is not None:
        if not move_outbox(store, entry["id"], entry["generation"], OutboxState.DRAFTED, **unsaved):
            return False
        _on_record(entry)
        failpoints.hit("after_drafted")
    return True


def _on_record(entry: dict[str, Any]) -> None:
    entry.update(state=OutboxState.DRAFTED, unsaved=None)


def _not_ours(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str:
    """The entry isn't in this claim's hands any more. Its draft goes, unless another claim has it on record: it may be
    about to send that very draft."""
    ours = entry.get("unsaved") is not None or entry["generation"] == engine.store.value(
        "SELECT generation FROM outbox WHERE id = ?", entry["id"]
    )
    if ours:
        transport.delete_draft(entry["provider_draft_id"])
    return "gone"


def _clear_drafts(entry: dict[str, Any], transport: MailTransport) -> None:
    """Take away what this or an earlier claim drafted, also where it died before committing the id."""
    recorded = entry["provider_draft_id"]
    if recorded and (entry["generation"] <= 1 or transport.draft_exists(recorded)):
        transport.delete_draft(recorded)
        return  # whoever makes another takes it away first: so none came after it
    if entry["generation"] > 1:
        # One for each claim that died between making its draft and committing the id; listings may lag.
        for _ in range(MAX_STRAYS):
            stray = transport.find_draft(entry["send_key"], since=entry["due_at"] - DRAFTS_SINCE)
            if stray is None:
                return
            transport.delete_draft(stray.provider_draft_id)


def take_away(entry: dict[str, Any], transport: MailTransport) -> None:
    """The draft of what certainly wasn't sent, as is on record by now, goes from the owner's drafts, where the provider
    lets it; a next attempt looks for it again."""
    with suppress(MailError):
        transport.delete_draft(entry["provider_draft_id"])
    failpoints.hit("draft_taken_away")


def deliver(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str:
    """Fence, send the draft, record what came of it."""
    deadline = time.monotonic() + max(10.0, engine.spacing.total_seconds() * 4)
    while True:
        verdict, free_at = fence(engine, entry)
        if verdict == "ok":
            break
        if verdict == "claim" or (verdict == "wait" and not _keep_draft(engine.store, entry)):
            return _not_ours(engine, entry, transport)
        if verdict == "wait" and free_at is not None and time.monotonic() < deadline:
            time.sleep(min(wait_for_slot(free_at, engine.now()) + 0.001, 1.0))
            continue
        if verdict == "wait":
            return retry_later(engine, entry, None)
        if verdict == "unapproved":
            _clear_drafts(entry, transport)
            return review.hold_back(engine, entry)
        if verdict == "full":
            _clear_drafts(entry, transport)
            return too_often(engine, entry) or let_go(engine, entry, transport)
        if entry["answers_id"] is not None and verdict in _NEVER:
            _clear_drafts(entry, transport)
            return refused(engine, entry, _NEVER[verdict])
        if verdict == "not_lent":
            _clear_drafts(entry, transport)
            why = f"{entry['mailbox_address']} isn't lent to its owner any more"
            return pause(engine, entry, PauseReason.MAILBOX_DISCONNECTED, why)
        return let_go(engine, entry, transport, verdict)
    _on_record(entry)
    failpoints.hit("after_sending")
    engine.store.idle()
    began = engine.now()
    try:
        sent = transport.send_draft(entry["provider_draft_id"])
    except MailRateLimited as exc:
        limits.slot_after(engine, entry, began)
        ended = held_up(engine, entry, exc)
        take_away(entry, transport)
        return ended
    except MailAuthError as exc:
        release(engine, entry)
        mailbox_dead(engine, entry["mailbox_id"], str(exc))
        return "reauthorise"
    except MailRefused as exc:
        ended = refused(engine, entry, str(exc))
        take_away(entry, transport)
        return ended
    except (MailOutcomeUnknown, MailNotFound) as exc:
        return left_unknown(engine, entry, str(exc))
    failpoints.hit("after_accept")
    return accepted(engine, entry, with_header_id(transport, sent), began=began)


def with_header_id(transport: MailTransport, sent: SentMessage) -> SentMessage:
    """`sent` with the Message-ID it left with, read back where the answer didn't say; without it the
    message counts as sent all the same, and follow-ups thread by the provider's own id."""
    if sent.rfc_message_id is not None:
        return sent
    try:
        return transport.read_sent(sent.provider_message_id)
    except MailError:
        return sent


def fence(engine: Engine, entry: dict[str, Any]) -> tuple[str, dt.datetime | None]:
    """The last decision before the call, in one transaction that locks the journey: ("ok", None) has committed
    `sending`, and the draft where that wasn't on record yet; ("wait", t) the mailbox's slot is free at t; ("full",
    None) a limit was reached since it was claimed; ("claim", None) it is in other hands; (reason, None) it may not
    leave."""
    store, lowered = engine.store, str(entry["recipient"]).lower()

    def work() -> tuple[str, dt.datetime | None]:
        limits.lock_account(store, entry)
        now = engine.now()  # once nobody else is at it: the wait for them is no part of the spacing
        gate = store.one(
            "SELECT j.status AS journey_status, j.generation, i.armed, i.halted_at, s.active, s.broken, m.status, "
            "m.last_call_at, m.next_slot_at, m.spacing_us, m.provider, m.per_day, m.per_hour, m.ramp_from, m.ramp_by, "
            f"m.created_at AS connected_at, m.wait_until, {lent_to('m', 'j.owner_id')} AS lent, "
            "t.removed_at, t.manual, COALESCE(t.mailbox_id, s.mailbox_id) AS sender, "
            "w.settings, s.sending_window, s.review, (SELECT x.approved_hash FROM journey_steps x WHERE x.journey_id = j.id "
            "AND x.step_id = ?) AS approved_hash, EXISTS (SELECT 1 FROM suppressions x WHERE x.workspace_id = j.workspace_id "
            "AND ((x.kind = 'address' AND x.value = ?) OR (x.kind = 'domain' AND x.value = ?))) AS suppressed "
            "FROM journeys j JOIN sequences s ON s.id = j.sequence_id JOIN mailboxes m ON m.id = ? "
            "LEFT JOIN steps t ON t.id = ? "
            "JOIN candidates c ON c.id = j.candidate_id JOIN workspace w ON w.id = j.workspace_id "
            f"CROSS JOIN installation i WHERE j.id = ?{' FOR UPDATE OF j, m, c' if store.for_update else ''}",
            entry["step_id"],
            lowered,
            lowered.rpartition("@")[2],
            entry["mailbox_id"],
            entry["step_id"],
            entry["journey_id"],
        )
        answers = entry["answers_id"] is not None  # a person's own words: whatever became of the journey
        if gate is None or (not answers and gate["journey_status"] != JourneyStatus.ACTIVE):
            return "journey", None
        if not answers and gate["generation"] != entry["journey_generation"]:
            return "generation", None
        if not gate["armed"] or gate["halted_at"] is not None:
            return "halted", None
        going = gate["active"] and not gate["broken"]
        if not (going or answers) or gate["status"] != "connected":
            return "inactive", None
        if not answers and _changed(entry, gate):
            return "changed", None
        if not gate["lent"]:
            return "not_lent", None
        if gate["suppressed"]:
            return "suppressed", None
        if unapproved(entry, gate["review"], gate["approved_hash"]):
            return "unapproved", None
        spacing = spacing_of(gate["spacing_us"])
        free_at = gate["last_call_at"] + spacing
        if spacing and free_at > now:
            return "wait", free_at
        rules = sending_rules(gate["settings"], gate["sending_window"])
        if limits.mailbox_full(store, gate, entry["mailbox_id"], now, people=entry["recipients"]) or (
            not answers and limits.candidate_full(store, rules, entry["candidate_id"], now)
        ):
            return "full", None
        if spacing:
            store.write(
                "UPDATE mailboxes SET last_call_at = ?, next_slot_at = CASE WHEN next_slot_at < ? THEN ? "
                f"ELSE next_slot_at END WHERE {limits.SAME_ACCOUNT}",
                now,
                now + spacing,
                now + spacing,
                *limits.account_of(entry),
            )
        unsaved = entry.get("unsaved")
        if not move_outbox(
            store,
            entry["id"],
            entry["generation"],
            OutboxState.SENDING,
            through=None if unsaved is None else OutboxState.DRAFTED,
            sending_at=now,
            lease_until=now + engine.lease,
            **(unsaved or {}),
        ):
            return "claim", None
        move_step(store, entry["journey_id"], entry["step_id"], StepStatus.SENDING, now)
        entry["lease_until"] = now + engine.lease
        return "ok", None

    result = store.run(work)
    if result[0] == "suppressed":
        with store.tx():
            move_journey(
                store, entry["journey_id"], JourneyStatus.CANCELLED, CancelReason.SUPPRESSED, engine.now()
            )
    return result


def _changed(entry: dict[str, Any], gate: dict[str, Any]) -> bool:
    """Whether its step was taken out, waits for a person, or has another sender since it was claimed."""
    if gate["removed_at"] is not None or _by_hand(entry, gate["manual"]):
        return True
    # Of what was `sending` before, the draft that stands is the only one there will be.
    return entry["sending_at"] is None and gate["sender"] not in (None, entry["mailbox_id"])


def accepted(
    engine: Engine, entry: dict[str, Any], sent: SentMessage, *, began: dt.datetime | None = None
) -> str:
    """The provider has it: record that, and plan what follows, in one transaction."""
    store, now = engine.store, engine.now()
    at = now if began is not None or sent.sent_at is None else min(sent.sent_at, now)

    def work(trouble: Exception | None = None) -> bool:
        if store.for_update:
            store.one("SELECT id FROM journeys WHERE id = ? FOR UPDATE", entry["journey_id"])
        if began is not None:
            limits.slot_after(engine, entry, began)
        moved = move_outbox(
            store,
            entry["id"],
            entry["generation"],
            OutboxState.SENT,
            sent_at=at,
            lease_until=None,
            claimed_at=None,
            error=None,
            provider_message_id=sent.provider_message_id,
            provider_thread_id=sent.provider_thread_id,
            rfc_message_id=sent.rfc_message_id,
        )
        if not moved:
            return False
        written_to(store, entry, at)
        move_step(store, entry["journey_id"], entry["step_id"], StepStatus.SENT, at)
        if entry["troubles"]:
            limits.fine_again(store, entry["mailbox_id"])
        if entry["answers_id"] is None:
            known = _thread(entry, sent)
            handled(
                store,
                entry["journey_id"],
                entry["came_rank"],
                at,
                now,
                plan=trouble is None,
                detail=None,
                **known,
            )
            if trouble is not None:
                why = f"its e-mail left, but what follows can't be planned: {str(trouble).rstrip('.')}"
                pause_and_tell(engine, entry, PauseReason.SEND_FAILED, why)
        else:
            _remember(store, entry, sent)
        _pass_on(engine, entry)
        return True

    # Undone by a power cut, it is found out again: the message is among those sent, under the key.
    trouble: Exception
    try:
        recorded = store.run(work, durable=False)
    except StorageError:
        raise
    except (
        OutreachError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
    ) as exc:  # that it left is on record whatever comes next
        trouble = exc
        recorded = store.run(lambda: work(trouble), durable=False)
    if not recorded:
        return "gone"
    failpoints.hit("after_sent")
    return "sent"


def _pass_on(engine: Engine, entry: dict[str, Any]) -> None:
    """Its place in flight is the next one's, unless its lease ran out and the place is somebody else's already."""
    hand: Hand | None = entry.get("hand")
    if hand is not None and entry["lease_until"] > engine.now():
        hand.pass_on(entry["id"])


def _remember(store: Store, entry: dict[str, Any], sent: SentMessage) -> None:
    """What a journey's next e-mail answers to, where a person wrote in its thread meanwhile."""
    event(
        store,
        {**entry, "id": entry["journey_id"]},
        "answered",
        sent.sent_at or entry["due_at"],
        entry["subject"],
    )
    if sent.rfc_message_id and entry["provider_thread_id"] == entry["journey_thread"]:
        refs = [*json.loads(entry["thread_refs"] or "[]"), sent.rfc_message_id]
        store.write(
            "UPDATE journeys SET thread_refs = ? WHERE id = ?", json.dumps(refs[-20:]), entry["journey_id"]
        )


def _thread(entry: dict[str, Any], sent: SentMessage) -> dict[str, Any]:
    """What the journey knows of its thread from now on."""
    opened = entry["provider_thread_id"] is None
    refs = [] if opened else json.loads(entry["thread_refs"] or "[]")
    if sent.rfc_message_id:
        refs.append(sent.rfc_message_id)
    return {
        "thread_mailbox_id": entry["mailbox_id"],
        "provider_thread_id": sent.provider_thread_id,
        "thread_subject": entry["subject"] if opened else entry["thread_subject"],
        "thread_refs": json.dumps(refs[-20:]),
    }
