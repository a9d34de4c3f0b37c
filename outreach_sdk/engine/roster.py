"""Who is in process, was rejected or hired at the applicant tracking systems: kept here as digests, asked for in the
background, so that an enrolment of any size waits for nobody."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterable
from typing import Any

from outreach_sdk.ats.port import Person, system_name
from outreach_sdk.engine import polls
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.digests import Digester, base_of
from outreach_sdk.storage.store import Store, in_marks

__all__ = [
    "FRESH_FOR",
    "REASONS",
    "connected",
    "forget_gone",
    "forget_people",
    "go_on",
    "keep",
    "refresh",
    "standing",
    "unchecked",
]

FRESH_FOR = dt.timedelta(hours=24)
"""How long what a system told counts after it stopped answering."""
REASONS = ("ats_hired", "ats_in_process", "ats_rejected")
WHOLE_EVERY = dt.timedelta(days=7)
RECENT = dt.timedelta(seconds=60)
"""How fresh what is known must be for an enrolment not to ask once more."""
_BATCH = 400


def keep(engine: Engine, poll: dict[str, Any], people: Iterable[Person]) -> None:
    """Note where people stand: what is told last of an application replaces what was."""
    store = engine.store
    digest = Digester(store, poll["workspace_id"])
    listed = list({p.external_id: p for p in people if p.external_id}.values())
    rows = [
        (poll["workspace_id"], poll["source"], p.external_id, digest(base), p.state, p.at, engine.now())
        for p in listed
        if p.state != "none"
        for base in sorted(_bases(p))
    ]

    def work() -> None:
        for start in range(0, len(listed), _BATCH):
            some = [p.external_id for p in listed[start : start + _BATCH]]
            store.write(
                f"DELETE FROM ats_people WHERE source = ? AND external_id IN {in_marks(some)}",
                poll["source"],
                *some,
            )
        if rows:
            store.write_many(
                "INSERT INTO ats_people (workspace_id, source, external_id, digest, state, changed_at, seen_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, external_id, digest) DO NOTHING",
                rows,
            )

    store.run(work)


def _bases(person: Person) -> set[str]:
    return {base for address in person.addresses if (base := base_of(address))}


def go_on(engine: Engine, row: dict[str, Any]) -> int:
    """One page of one system's people, which this process has claimed; how many. AtsError."""
    now = engine.now()
    if row["began_at"] is None and (row["whole_at"] is None or now - row["whole_at"] > WHOLE_EVERY):
        row["cursor"] = None  # everything again: of who was deleted there nothing else tells
    if row["cursor"] is None:
        row["whole_began_at"] = now
    found = engine.asker(row["source"]).people(row["cursor"], now=now)
    keep(engine, row, found.items)
    whole = {"whole_began_at": row["whole_began_at"]}
    if not found.more and row["whole_began_at"] is not None:
        engine.store.write(
            "DELETE FROM ats_people WHERE source = ? AND seen_at < ?", row["source"], row["whole_began_at"]
        )
        whole = {"whole_began_at": None, "whole_at": now}
    polls.went_on(engine, row, found.cursor, more=found.more, began=now, **whole)
    return len(found.items)


def refresh(engine: Engine, *, seconds: float = 15.0) -> None:
    """Ask every system once more before an enrolment, where this process has the keys: what changed in the last
    minutes is known then. One that fails, or is asked by another process, is left alone."""
    deadline, now = time.monotonic() + seconds, engine.now()
    if engine.store.depth or not engine.connected:
        return
    polls.ensure(engine, sweep=False)
    due = "what = 'people' AND tries = 0 AND error IS NULL AND (next_at <= ? OR complete_at < ?)"
    while time.monotonic() < deadline:
        row = polls.claim(engine, due, engine.now(), now - RECENT)
        if row is None:
            return
        try:
            go_on(engine, row)
        except Exception as exc:
            # An enrolment goes by what is known.
            polls.failed(engine, row, exc)


def connected(store: Store, workspace_id: int) -> bool:
    """Whether a system says who is in process there, and the workspace wants to know (`ats_check`)."""
    settings = store.value("SELECT settings FROM workspace WHERE id = ?", workspace_id)
    return bool(json.loads(settings or "{}").get("ats_check", True)) and bool(
        store.value(
            "SELECT 1 FROM ats_polls WHERE workspace_id = ? AND what = 'people' LIMIT 1", workspace_id
        )
    )


def unchecked(store: Store, workspace_id: int, now: dt.datetime) -> dict[str, str]:
    """Systems whose answers are missing or too old to go by, each with what is wrong, in a sentence."""
    if not connected(store, workspace_id):
        return {}
    rows = store.rows(
        "SELECT source, complete_at, error FROM ats_polls WHERE workspace_id = ? AND what = 'people' "
        "AND (complete_at IS NULL OR complete_at < ?)",
        workspace_id,
        now - FRESH_FOR,
    )
    return {r["source"]: _trouble(r) for r in rows}


def _trouble(row: dict[str, Any]) -> str:
    name = system_name(str(row["source"]))
    why = f" {row['error']}" if row["error"] else ""
    if row["complete_at"] is None:
        return f"{name} hasn't been asked to the end yet who is in process there.{why}"
    return f"{name} hasn't said since {row['complete_at']:%d %b, %H:%M} UTC who is in process there.{why}"


def standing(
    store: Store, workspace_id: int, digests: Iterable[str], *, rejected_since: dt.datetime
) -> dict[str, set[str]]:
    """Digests by the reason for which their people are held back."""
    found: dict[str, set[str]] = {reason: set() for reason in REASONS}
    if not store.value("SELECT 1 FROM ats_people WHERE workspace_id = ? LIMIT 1", workspace_id):
        return found
    sources = {r["source"] for r in store.rows("SELECT source FROM ats_polls WHERE what = 'people'")}
    asked = sorted(set(digests))
    for start in range(0, len(asked), _BATCH):
        some = asked[start : start + _BATCH]
        # Nothing else is asked for: with the source, PostgreSQL goes by its index and reads all of it.
        for row in store.rows(
            "SELECT digest, source, state, changed_at FROM ats_people WHERE workspace_id = ? AND digest IN "
            + in_marks(some),
            workspace_id,
            *some,
        ):
            old = row["state"] == "rejected" and (row["changed_at"] or rejected_since) < rejected_since
            if row["source"] in sources and not old:
                found[f"ats_{row['state']}"].add(str(row["digest"]))
    return found


def forget_gone(engine: Engine) -> int:
    """Take away what was kept of systems that aren't asked any more; how many rows."""
    return engine.store.write(
        "DELETE FROM ats_people WHERE id IN (SELECT p.id FROM ats_people p WHERE p.source NOT IN "
        "(SELECT source FROM ats_polls WHERE what = 'people') LIMIT 5000)"
    )


def forget_people(store: Store, workspace_id: int, addresses: Iterable[str]) -> None:
    """Nothing is known any more of whoever has one of these addresses, until their system tells again."""
    digest = Digester(store, workspace_id)
    for address in addresses:
        if base := base_of(address):
            store.write(
                "DELETE FROM ats_people WHERE workspace_id = ? AND digest = ?", workspace_id, digest(base)
            )
