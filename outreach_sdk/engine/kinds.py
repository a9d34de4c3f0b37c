"""Of what kind a person's answer is: by the rules as it comes in, by the model later, by a person for good.

Whoever asks the model claims the answer first, for the length of a lease, and `kind_tries` is the claim's number:
what comes back after the lease has gone to somebody else changes nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

from outreach_sdk.ai.port import Judgement
from outreach_sdk.domain.message import html_to_text, is_html
from outreach_sdk.domain.variants import FIRST, Variant, known
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import own_addresses
from outreach_sdk.storage.store import Store

__all__ = [
    "MAX_TRIES",
    "MONTHLY_LIMIT",
    "allowed",
    "ask_later",
    "by_rules",
    "claim",
    "close",
    "known_addresses",
    "record",
    "reserve",
    "settle",
    "step_text",
    "waiting",
]

LEASE = dt.timedelta(minutes=2)
MAX_TRIES = 4
ASK_WITHIN = dt.timedelta(days=3)
"""An older answer isn't asked about: a key set a year later must not pay for that year."""
MONTHLY_LIMIT = 10.0
"""Dollars, where the workspace says nothing else."""

# What is past asking about is outside of the index range that this reads.
_OPEN = (
    "kind_due_at <= ? AND kind_due_at > ? AND kind_tries < ? AND received_at > ? AND NOT EXISTS (SELECT 1 FROM installation "
    "WHERE ai_wait_until > ?)"
)


def by_rules(engine: Engine, row: dict[str, Any], now: dt.datetime, *, stop: bool = False) -> str:
    """Judge by the rules and record it; the kind. `stop`: the rule of rule 19 has spoken, which nobody need be
    asked about. Part of the caller's transaction."""
    store = engine.store
    words = row["visible_text"] or ""
    found = (
        Judgement("unsubscribe", 0.9)
        if stop
        else engine.rules.judge(words, "", known=known_addresses(store, row))
    )
    settings = _settings(store, row["workspace_id"])
    asked = not stop and words.strip() != "" and settings.get("ai_replies", True)
    store.write(
        "UPDATE inbound SET reply_kind = ?, kind_by = 'rules', kind_confidence = ?, referral_name = ?, "
        "referral_email = ?, kind_due_at = ? WHERE id = ? AND kind_by IS NULL",
        found.kind,
        found.confidence,
        found.referral_name or None,
        found.referral_email or None,
        now if asked else None,
        row["id"],
    )
    return found.kind


def known_addresses(store: Store, row: dict[str, Any]) -> set[str]:
    """The team's and the candidate's: whoever has one of these is nobody new."""
    theirs = store.rows("SELECT address FROM candidate_emails WHERE candidate_id = ?", row["candidate_id"])
    return own_addresses(store, row["workspace_id"]) | {str(r["address"]).lower() for r in theirs}


def step_text(store: Store, row: dict[str, Any]) -> str:
    """The step that the answer answers, as it was written, with its merge fields: no name, no address."""
    step = store.one(
        "SELECT s.subject, s.body, s.variants, o.variant FROM outbox o JOIN steps s ON s.id = o.step_id "
        "WHERE o.journey_id = ? AND o.sending_at <= ? ORDER BY o.sending_at DESC, o.id DESC LIMIT 1",
        row["journey_id"],
        row["received_at"],
    )
    if step is None:
        return ""
    variant = next((v for v in known(step["variants"]) if v.letter == step["variant"]), Variant(FIRST))
    body = (step["body"] if variant.body is None else variant.body) or ""
    subject = step["subject"] if variant.subject is None else variant.subject
    return f"{subject or ''}\n\n{html_to_text(body) if is_html(body) else body}".strip()


# -- claims ----------------------------------------------------------------------------------------


def waiting(engine: Engine) -> bool:
    """Whether the model has answers to judge now."""
    now = engine.now()
    return bool(
        engine.store.value(
            f"SELECT 1 FROM inbound WHERE {_OPEN} LIMIT 1",
            now,
            now - ASK_WITHIN,
            MAX_TRIES,
            now - ASK_WITHIN,
            now,
        )
    )


def claim(engine: Engine) -> dict[str, Any] | None:
    """The next answer to ask the model about, leased; None where there is none."""
    store, now = engine.store, engine.now()
    skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""

    def work() -> dict[str, Any] | None:
        return store.one(
            "UPDATE inbound SET kind_due_at = ?, kind_tries = kind_tries + 1 WHERE id = (SELECT id FROM inbound "
            f"WHERE {_OPEN} ORDER BY kind_due_at, id LIMIT 1{skip}) RETURNING *",
            now + LEASE,
            now,
            now - ASK_WITHIN,
            MAX_TRIES,
            now - ASK_WITHIN,
            now,
        )

    return store.run(work)


def ask_later(store: Store, row: dict[str, Any], at: dt.datetime, *, counts: bool = True) -> None:
    """Give a claimed answer back until `at`; unless it `counts`, the try doesn't."""
    store.write(
        "UPDATE inbound SET kind_due_at = ?, kind_tries = kind_tries - ? WHERE id = ? AND kind_tries = ? AND "
        "kind_due_at IS NOT NULL",
        at,
        0 if counts else 1,
        row["id"],
        row["kind_tries"],
    )


def close(store: Store, row: dict[str, Any], trouble: str, answer: str = "") -> None:
    """The model isn't asked again; what the rules said stands. What it said, and what was wrong, is kept."""
    store.write(
        "UPDATE inbound SET kind_due_at = NULL, kind_answer = ? WHERE id = ? AND kind_tries = ? AND "
        "kind_due_at IS NOT NULL",
        json.dumps({"trouble": trouble, "answer": answer[:4_000]}),
        row["id"],
        row["kind_tries"],
    )


def record(store: Store, row: dict[str, Any], found: Judgement) -> bool:
    """What the model says takes the place of what the rules said; False where a person was first (then it is
    kept beside) or the claim has passed to somebody else."""
    answer = json.dumps(
        {"kind": found.kind, "confidence": found.confidence, "answer": found.answer, "tokens": found.tokens}
    )
    own = (answer, found.model, found.version)
    took = store.write(
        "UPDATE inbound SET reply_kind = ?, kind_by = 'model', kind_confidence = ?, referral_name = ?, "
        "referral_email = ?, kind_due_at = NULL, kind_answer = ?, kind_model = ?, kind_version = ? WHERE id = ? "
        "AND kind_tries = ? AND kind_by = 'rules' AND kind_due_at IS NOT NULL",
        found.kind,
        found.confidence,
        found.referral_name or None,
        found.referral_email or None,
        *own,
        row["id"],
        row["kind_tries"],
    )
    if not took:
        store.write(
            "UPDATE inbound SET kind_answer = ?, kind_model = ?, kind_version = ? WHERE id = ? AND "
            "kind_by = 'person' AND kind_model IS NULL",
            *own,
            row["id"],
        )
    return took == 1


# -- what it costs ---------------------------------------------------------------------------------


def reserve(store: Store, workspace_id: int, most: int, now: dt.datetime) -> bool:
    """Count `most` (millionths of a dollar) as spent today, if the month's limit allows; else False. Whoever
    dies before `settle` has spent it."""
    day = f"{now:%Y-%m-%d}"

    def work() -> bool:
        # One at a time: each sees what the one before has counted.
        store.rows(f"SELECT id FROM workspace WHERE id = ?{store.for_update}", workspace_id)
        limit = _settings(store, workspace_id).get("ai_monthly_limit", MONTHLY_LIMIT)
        spent = store.value(
            "SELECT COALESCE(SUM(cost), 0) FROM ai_spend WHERE workspace_id = ? AND day >= ? AND day <= ?",
            workspace_id,
            f"{day[:7]}-01",
            f"{day[:7]}-31",
        )
        if limit is not None and int(spent) + most > math.floor(limit * 1e6):
            return False
        store.write(
            "INSERT INTO ai_spend (workspace_id, day, calls, tokens, cost) VALUES (?, ?, 1, 0, ?) "
            "ON CONFLICT (workspace_id, day) DO UPDATE SET calls = ai_spend.calls + 1, "
            "cost = ai_spend.cost + excluded.cost",
            workspace_id,
            day,
            most,
        )
        return True

    return store.run(work)


def settle(
    store: Store, workspace_id: int, reserved_at: dt.datetime, most: int, cost: int | None, tokens: int
) -> None:
    """What it did cost in place of what was reserved; None, and the reservation stands."""
    store.write(
        "UPDATE ai_spend SET cost = cost + ?, tokens = tokens + ? WHERE workspace_id = ? AND day = ?",
        0 if cost is None else cost - most,
        tokens,
        workspace_id,
        f"{reserved_at:%Y-%m-%d}",
    )


def _settings(store: Store, workspace_id: int) -> dict[str, Any]:
    stored = store.value("SELECT settings FROM workspace WHERE id = ?", workspace_id)
    return dict(json.loads(stored or "{}"))


def allowed(store: Store, workspace_id: int, setting: str) -> bool:
    """Whether the workspace has the model do this."""
    return bool(_settings(store, workspace_id).get(setting, True))


def wanted(store: Store, workspace_id: int) -> bool:
    """Whether the workspace has its replies judged by the model."""
    return bool(_settings(store, workspace_id).get("ai_replies", True))
