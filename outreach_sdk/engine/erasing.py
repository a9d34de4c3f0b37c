"""Removing a person everywhere, and knowing them again by a keyed hash alone, so that they are never contacted again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.contact import canonical
from outreach_sdk.domain.journey import OPEN_OUTBOX, CancelReason, JourneyStatus
from outreach_sdk.engine import calendars, roster
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.erased import any_erased, digest
from outreach_sdk.engine.links import link_key
from outreach_sdk.engine.owners import tell_of_stopped
from outreach_sdk.errors import NotFound, TransitionRefused
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event, move_journeys

if TYPE_CHECKING:
    import polars as pl

__all__ = ["erase", "hold_back", "resume_erasures"]

_BATCH = 200


def hold_back(store: Store, workspace_id: int, chunk: pl.DataFrame) -> pl.DataFrame:
    """The rows of people who were erased, held back by that name, and without anything of theirs."""
    if not any_erased(store, workspace_id):
        return chunk
    import polars as pl

    key = link_key(store)
    gone = {r["digest"] for r in store.rows("SELECT digest FROM erased WHERE workspace_id = ?", workspace_id)}

    def hit(column: str) -> list[bool]:
        return [v is not None and digest(key, workspace_id, v) in gone for v in chunk[column].to_list()]

    theirs = pl.Series([a or b for a, b in zip(hit("email"), hit("linkedin"), strict=True)], dtype=pl.Boolean)
    if not theirs.any():
        return chunk
    blank = [c for c in ("first_name", "last_name", "company", "title") if c in chunk.columns]
    none = [c for c in ("email", "linkedin", "phone", "timezone") if c in chunk.columns]
    return chunk.with_columns(
        pl.when(theirs).then(pl.lit("held_back")).otherwise(pl.col("outcome")).alias("outcome"),
        pl.when(theirs).then(pl.lit("erased")).otherwise(pl.col("reason")).alias("reason"),
        *[pl.when(theirs).then(pl.lit("")).otherwise(pl.col(c)).alias(c) for c in blank],
        *[pl.when(theirs).then(None).otherwise(pl.col(c)).alias(c) for c in none],
        pl.when(theirs).then(pl.lit("{}")).otherwise(pl.col("fields")).alias("fields"),
    )


def erase(engine: Engine, candidate_id: int, *, by: int | None = None) -> None:
    """Cancel, then remove all that tells who they are; counts and times of what happened stay. Owners other than the
    user `by` whom it is done are told that their journeys have stopped. TransitionRefused while an e-mail to them is
    under way: nothing more leaves, and a minute later it can be done."""
    store = engine.store
    moved = _stop(engine, candidate_id)

    def work() -> None:
        _remove(engine, candidate_id)
        # Without a name, and after all that had one has gone.
        why = "Somebody you wrote to was erased, as they may ask for."
        tell_of_stopped(
            store, moved, by=by, kind="erased", why=why, dedupe=f"erased:{candidate_id}", now=engine.now()
        )

    store.run(work)
    _clear_deliveries(store, candidate_id)
    # Answers to notebooks may tell of anybody.
    store.write("DELETE FROM requests WHERE ended_at IS NOT NULL")
    # Only now is it forgotten by which addresses the deliveries were found.
    store.write("DELETE FROM erasing WHERE candidate_id = ?", candidate_id)


def _stop(engine: Engine, candidate_id: int) -> list[dict[str, Any]]:
    store, now = engine.store, engine.now()

    def work() -> list[dict[str, Any]]:
        moved = move_journeys(
            store,
            "candidate_id = ?",
            (candidate_id,),
            JourneyStatus.CANCELLED,
            CancelReason.SUPPRESSED,
            now,
        )
        for journey in moved:
            event(store, journey, "journey_cancelled", now, CancelReason.SUPPRESSED)
        return moved

    return store.run(work)


def _remove(engine: Engine, candidate_id: int) -> None:
    store, now = engine.store, engine.now()
    person = store.one(f"SELECT * FROM candidates WHERE id = ?{store.for_update}", candidate_id)
    if person is None:
        raise NotFound("There is no such candidate.")
    under_way = (*OPEN_OUTBOX,)
    if store.value(
        f"SELECT 1 FROM outbox WHERE candidate_id = ? AND state IN {in_marks(under_way)} LIMIT 1",
        candidate_id,
        *under_way,
    ):
        raise TransitionRefused(
            "An e-mail to them is under way. They are written to no more; erase them again in a few minutes."
        )
    if store.value(
        "SELECT 1 FROM enrichment_items WHERE candidate_id = ? AND state <> 'done' LIMIT 1", candidate_id
    ):
        raise TransitionRefused(
            "An address or number of theirs is being looked for. Erase them again when that run is done."
        )
    journeys = [r["id"] for r in store.rows("SELECT id FROM journeys WHERE candidate_id = ?", candidate_id)]
    addresses = _addresses(store, candidate_id)
    _forget_notices(store, candidate_id)
    _remember(store, person, addresses, now)
    for sql in (
        "UPDATE outbox SET recipient = '', subject = NULL, body_html = NULL, body_text = NULL, content_hash = NULL, "
        "review_hash = NULL, cc = '[]', bcc = '[]', provider_draft_id = NULL, provider_message_id = NULL, "
        "provider_thread_id = NULL, rfc_message_id = NULL, error = NULL, lease_until = NULL WHERE candidate_id = ? OR "
        "journey_id IN (SELECT id FROM journeys WHERE candidate_id = ?)",
        "UPDATE journey_steps SET draft_subject = NULL, draft_body = NULL, note = NULL, approved_hash = NULL "
        "WHERE candidate_id = ?",
        "DELETE FROM passages WHERE candidate_id = ?",
        "DELETE FROM test_sends WHERE candidate_id = ?",
        "UPDATE journeys SET email = NULL, detail = NULL, provider_thread_id = NULL, thread_subject = NULL, "
        "thread_refs = '[]', resume_at = NULL WHERE candidate_id = ?",
        "UPDATE inbound SET sender = NULL, subject = '', body_text = '', visible_text = NULL, verdict = NULL, "
        "kind_answer = NULL, kind_due_at = NULL, referral_name = NULL, referral_email = NULL, rfc_message_id = NULL, "
        "provider_thread_id = NULL, reply_to = NULL WHERE candidate_id = ? OR writer_id = ?",
        "DELETE FROM candidate_emails WHERE candidate_id = ?",
        "DELETE FROM contacted WHERE candidate_id = ?",
        "DELETE FROM known_to WHERE candidate_id = ?",
        "DELETE FROM write_backs WHERE candidate_id = ?",
        "DELETE FROM shortlist_members WHERE candidate_id = ?",
        "DELETE FROM candidate_phones WHERE candidate_id = ?",
        "UPDATE enrichment_items SET value = NULL, source = NULL WHERE candidate_id = ?",
        "UPDATE enrichment_asks SET points = '[]', detail = NULL, request_id = NULL WHERE candidate_id = ?",
        "UPDATE import_rows SET email = NULL WHERE candidate_id = ?",
        "UPDATE bookings SET title = '', link = '' WHERE id IN (SELECT booking_id FROM booking_people WHERE "
        "candidate_id = ?)",
        "DELETE FROM booking_people WHERE candidate_id = ?",
        "UPDATE candidates SET first_name = '', last_name = '', company = '', title = '', linkedin = NULL, phone = NULL, "
        "timezone = NULL, fields = '{}', source = 'erased' WHERE id = ?",
    ):
        store.write(sql, *(candidate_id,) * sql.count("?"))
    spelled = sorted({*addresses, *(canonical(a) for a in addresses)})  # bookings know the canonical form
    _by_address(store, int(person["workspace_id"]), spelled)
    for start in range(0, len(journeys), _BATCH):
        some = journeys[start : start + _BATCH]
        store.write(
            f"UPDATE notifications SET text = 'About somebody who was erased.' WHERE journey_id IN {in_marks(some)}",
            *some,
        )
        store.write(f"UPDATE events SET detail = NULL WHERE journey_id IN {in_marks(some)}", *some)
    event(store, {**person, "journey_id": None}, "candidate_erased", now)


def _forget_notices(store: Store, candidate_id: int) -> None:
    """Of what they wrote in somebody else's thread."""
    for row in store.rows("SELECT id FROM inbound WHERE writer_id = ?", candidate_id):
        store.write(
            "UPDATE notifications SET text = 'About somebody who was erased.' WHERE dedupe IN (?, ?)",
            f"replied:in{row['id']}",
            f"opted_out:in{row['id']}",
        )


def _addresses(store: Store, candidate_id: int) -> list[str]:
    """Every address they were known by or written to at, in lower case."""
    rows = store.rows(
        "SELECT LOWER(address) AS address FROM candidate_emails WHERE candidate_id = ? UNION "
        "SELECT LOWER(recipient) FROM outbox WHERE candidate_id = ? AND recipient <> '' UNION "
        "SELECT LOWER(email) FROM journeys WHERE candidate_id = ? AND email IS NOT NULL UNION "
        "SELECT LOWER(email) FROM import_rows WHERE candidate_id = ? AND email IS NOT NULL",
        *(candidate_id,) * 4,
    )
    return sorted(str(r["address"]) for r in rows)


def _remember(store: Store, person: dict[str, Any], addresses: Sequence[str], now: dt.datetime) -> None:
    """Hashes for ever; the addresses themselves until the webhook deliveries that name them are gone too."""
    key, workspace_id = link_key(store), int(person["workspace_id"])
    for value in (*addresses, *([person["linkedin"]] if person["linkedin"] else [])):
        store.write(
            "INSERT INTO erased (workspace_id, digest, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            workspace_id,
            digest(key, workspace_id, str(value)),
            now,
        )
    for address in addresses:
        store.write(
            "INSERT INTO erasing (workspace_id, candidate_id, address) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            workspace_id,
            person["id"],
            address,
        )


def _by_address(store: Store, workspace_id: int, addresses: Sequence[str]) -> None:
    """What is known by the address alone."""
    calendars.forget_people(store, workspace_id, addresses)
    roster.forget_people(store, workspace_id, addresses)
    for address in addresses:
        for sql in (
            "UPDATE import_rows SET email = NULL WHERE LOWER(email) = ? AND import_id IN (SELECT id FROM imports "
            "WHERE workspace_id = ?)",
            "DELETE FROM suppressions WHERE value = ? AND workspace_id = ? AND kind = 'address'",
            "UPDATE bookings SET title = '', link = '' WHERE id IN (SELECT booking_id FROM booking_people WHERE "
            "address = ? AND workspace_id = ?)",
            "DELETE FROM booking_people WHERE address = ? AND workspace_id = ?",
            "UPDATE inbound SET sender = NULL, subject = '' WHERE LOWER(sender) = ? AND workspace_id = ?",
            "UPDATE inbound SET reply_to = NULL WHERE reply_to = ? AND workspace_id = ?",
        ):
            store.write(sql, address, workspace_id)


def _clear_deliveries(store: Store, candidate_id: int) -> None:
    """Bodies of webhook deliveries that name one of their addresses. Read a few at a time: this is rare, and an
    index over raw bodies would cost every delivery."""
    names = [
        str(r["address"]).encode()
        for r in store.rows("SELECT address FROM erasing WHERE candidate_id = ?", candidate_id)
    ]
    last = 0
    while names:
        rows = store.rows(
            "SELECT id, body FROM deliveries WHERE id > ? AND body IS NOT NULL ORDER BY id LIMIT ?",
            last,
            _BATCH,
        )
        if not rows:
            return
        last = rows[-1]["id"]
        found = [r["id"] for r in rows if any(n in bytes(r["body"]).lower() for n in names)]
        if found:
            store.write(
                f"UPDATE deliveries SET body = NULL, headers = '{{}}' WHERE id IN {in_marks(found)}", *found
            )


def resume_erasures(engine: Engine) -> int:
    """Finish what a killed process left half erased; how many."""
    rows = engine.store.rows("SELECT DISTINCT candidate_id FROM erasing ORDER BY candidate_id LIMIT 100")
    for row in rows:
        _clear_deliveries(engine.store, row["candidate_id"])
        engine.store.write("DELETE FROM erasing WHERE candidate_id = ?", row["candidate_id"])
    return len(rows)
