"""An address that is none (rule 18): whose it is, what stops, and what to tell the owner."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.journey import CancelReason, JourneyStatus
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.reopen import other_addresses
from outreach_sdk.engine.speaking import addresses_of, copied
from outreach_sdk.engine.stopping import tell_colleagues
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event, move_journeys

__all__ = ["hard_bounced"]


def hard_bounced(
    engine: Engine, row: dict[str, Any], who: str, verdict: dict[str, Any], now: dt.datetime
) -> tuple[str, str]:
    """Act on a hard bounce, in the caller's transaction, and tell colleagues whose journeys it stops; the kind of notice
    and what to tell the owner."""
    store = engine.store
    reason = verdict.get("reason") or "no such address"
    # A report may name several, and say of one alone that its address is at fault.
    named = {a.lower() for a in verdict.get("dead") or verdict.get("recipients") or ()}
    addresses = _theirs(store, row, named, verdict)
    if not addresses:
        event(store, {**row, "owner_id": row["journey_owner"]}, "copy_bounced", now, reason)
        return "copy_bounced", (
            f"A copy of the e-mail to {who} came back from {', '.join(sorted(named)) or 'somebody'}: {reason}. "
            "Their journey goes on."
        )
    event(store, {**row, "owner_id": row["journey_owner"]}, "bounced", now, reason)
    for address in addresses:
        store.write(
            "UPDATE candidate_emails SET invalid = ? WHERE candidate_id = ? AND address = ?",
            True,
            row["candidate_id"],
            address,
        )
    moved = move_journeys(
        store,
        "candidate_id = ? AND workspace_id = ? AND LOWER(email) IN " + in_marks(addresses),
        (row["candidate_id"], row["workspace_id"], *addresses),
        JourneyStatus.CANCELLED,
        CancelReason.BOUNCED,
        now,
        detail=verdict.get("reason"),
    )
    for journey in moved:
        event(store, journey, "journey_cancelled", now, CancelReason.BOUNCED)
    others = other_addresses(store, row["candidate_id"], but=row["journey_email"])
    offer = (
        ""
        if not others
        else f' {others[0]} is another verified address: journey.use_email("{others[0]}") goes on there.'
    )
    what = f"{addresses[0]} isn't an address of {{who}} any more ({reason})"
    tell_colleagues(engine, row, moved, "bounced", what, now, then=offer)
    return "bounced", f"The e-mail to {who} came back: {reason}.{offer}"


def _theirs(store: Store, row: dict[str, Any], named: set[str], verdict: dict[str, Any]) -> list[str]:
    """The candidate's addresses that a report is about. One that names an address nobody wrote to comes from behind a
    forward (RFC 3464 needn't say for whom): the address that failed is the one our message went to, unless it went to
    others too. Empty: the report is about a copy."""
    journey = {"id": row["journey_id"], "candidate_id": row["candidate_id"]}
    theirs = addresses_of(store, journey)
    if not named and row["journey_email"]:
        return [row["journey_email"].lower()]
    if named & theirs:
        return sorted(named & theirs)
    ids = verdict.get("message_ids") or []
    about = f"AND rfc_message_id IN {in_marks(ids)} " if ids else ""
    entries = store.rows(
        f"SELECT recipient, cc, bcc FROM outbox WHERE journey_id = ? AND sending_at IS NOT NULL {about}ORDER BY id",
        row["journey_id"],
        *ids,
    )
    if not entries or copied(entries):
        return []
    return sorted({str(e["recipient"]).lower() for e in entries})
