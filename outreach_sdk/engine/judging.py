"""Asking the model of what kind answers are, and a person's correction. Nothing waits for it: what an answer
stops has stopped before (engine/sync.py)."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from typing import TYPE_CHECKING, Any

from outreach_sdk.ai.port import Judgement, ReplyJudge
from outreach_sdk.engine import kinds, pooled, stopping, sync
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import AiDenied, AiUnavailable, AiUnusable
from outreach_sdk.storage.transitions import event

if TYPE_CHECKING:
    from outreach_sdk.domain.reply_kind import Kind

__all__ = ["correct", "drain_kinds", "hold_model", "tell_admins"]

logger = logging.getLogger(__name__)

DENIED_FOR = dt.timedelta(minutes=10)
"""A refused key is tried again by one answer after this long: it may have been changed at the provider's."""

LIMITED_FOR = dt.timedelta(hours=1)


def drain_kinds(engine: Engine, *, threads: int = 4, stop: threading.Event | None = None) -> dict[str, int]:
    """Have the model judge the answers that wait for it, until none is left, the time budget is spent or `stop`
    is set; how many ended how."""
    model = engine.model()
    if model is None:
        return {}
    return pooled.drain(
        engine, kinds.claim, lambda row: _one(engine, model, row), threads=threads, stop=stop, name="kinds"
    )


def _one(engine: Engine, model: ReplyJudge, row: dict[str, Any]) -> str:
    store, reserved_at = engine.store, engine.now()
    workspace, text = row["workspace_id"], row["visible_text"] or ""
    if not kinds.wanted(store, workspace):
        kinds.close(store, row, "switched off")
        return "off"
    step = kinds.step_text(store, row)
    known = kinds.known_addresses(store, row)
    most = model.most(text, step)
    if not kinds.reserve(store, workspace, most, reserved_at):
        # What is under way counts at its most: there may be room again, and there is in a new month.
        kinds.ask_later(store, row, reserved_at + LIMITED_FOR, counts=False)
        tell_admins(
            engine,
            workspace,
            "ai_limit",
            f"{reserved_at:%Y-%m}",
            "The month's limit for judging replies by the model is reached: until it is over, rules judge them. "
            "ws.set(ai_monthly_limit=…) changes it.",
        )
        return "limit"
    store.idle()  # the call may take long

    def settle(cost: int | None, tokens: int = 0) -> None:
        kinds.settle(store, workspace, reserved_at, most, cost, tokens)

    try:
        found = model.judge(text, step, known=known)
    except AiUnusable as exc:
        settle(exc.cost, exc.tokens)
        kinds.close(store, row, str(exc), exc.answer)
        return "unusable"
    except AiUnavailable as exc:
        settle(exc.cost, exc.tokens)
        return _unavailable(engine, row, exc)
    except AiDenied as exc:
        settle(exc.cost)
        kinds.ask_later(store, row, engine.now(), counts=False)
        hold_model(engine, DENIED_FOR)
        tell_admins(
            engine,
            workspace,
            "ai_denied",
            model.identity,
            f"Replies are judged by rules until this is repaired: {exc}",
        )
        return "denied"
    except Exception as exc:  # the lease heals it; its words may hold what people wrote
        logger.error("answer %d couldn't be judged: %s", row["id"], type(exc).__name__)
        return "failed"

    def work() -> None:
        settle(found.cost, found.tokens)
        if kinds.record(store, row, found):
            _acted_on(engine, row, found)

    store.run(work)
    return "judged"


def _unavailable(engine: Engine, row: dict[str, Any], exc: AiUnavailable) -> str:
    wait = dt.timedelta(seconds=exc.retry_after or 30.0)
    if exc.busy:  # said to everybody: nobody asks before, and it is no answer's fault
        kinds.ask_later(engine.store, row, engine.now(), counts=False)
        hold_model(engine, wait)
        return "busy"
    if row["kind_tries"] >= kinds.MAX_TRIES:
        kinds.close(engine.store, row, str(exc))
        return "given up"
    kinds.ask_later(engine.store, row, engine.now() + wait * 2 ** (row["kind_tries"] - 1))
    return "unavailable"


def hold_model(engine: Engine, wait: dt.timedelta) -> None:
    """Nobody asks the model before."""
    until = engine.now() + wait
    engine.store.write(
        "UPDATE installation SET ai_wait_until = ? WHERE ai_wait_until IS NULL OR ai_wait_until < ?",
        until,
        until,
    )


def _acted_on(engine: Engine, row: dict[str, Any], found: Judgement) -> None:
    """Rule 19 holds for what the model reads too, but not in words that may be one's own, quoted without marks."""
    from outreach_sdk.domain.visible import typed_text  # whoever only sends judges nothing

    stopping.kind_changed(engine, row, found.kind)
    if found.kind != "unsubscribe" or typed_text(row["body_text"]) != row["visible_text"]:
        return
    whole = sync.with_journey(engine.store, row["id"])
    if whole is not None:
        stopping.opted_out(engine, whole, engine.now())


def tell_admins(engine: Engine, workspace_id: int, kind: str, fact: str, text: str) -> None:
    """Tell each admin, once for each `fact`."""
    for user in engine.store.rows(
        "SELECT id FROM users WHERE workspace_id = ? AND role = 'admin'", workspace_id
    ):
        notify(
            engine.store,
            workspace_id=workspace_id,
            owner_id=user["id"],
            kind=kind,
            text=text,
            dedupe=f"{kind}:{workspace_id}:{user['id']}:{fact}",
            now=engine.now(),
        )


def correct(engine: Engine, inbound_id: int, kind: Kind, *, user_id: int) -> bool:
    """A person says of what kind an answer is: for good, whatever the model says afterwards. "unsubscribe" stops
    and suppresses as if the candidate's words had. False if it is no person's answer."""
    store = engine.store

    def work() -> bool:
        now = engine.now()
        done = store.write(
            "UPDATE inbound SET corrected_from = COALESCE(corrected_from, reply_kind), reply_kind = ?, "
            "kind_by = 'person', kind_confidence = 1, kind_due_at = NULL, corrected_at = ?, corrected_by = ? "
            "WHERE id = ? AND kind = 'human' AND reply_kind IS NOT NULL",
            kind,
            now,
            user_id,
            inbound_id,
        )
        row = sync.with_journey(store, inbound_id)
        if not done or row is None:
            return False
        about = {**row, "owner_id": row["journey_owner"]}
        event(
            store,
            {k: about[k] for k in ("workspace_id", "owner_id", "journey_id")},
            "reply_corrected",
            now,
            kind,
        )
        if kind == "unsubscribe":
            stopping.opted_out(engine, row, now, by_person=True)
        return True

    return store.run(work)
