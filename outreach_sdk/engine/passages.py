"""Passages that a model writes into e-mails: before they are due, once for each person, step and prompt (rule 9).

A journey whose next step holds `ai(…)` is held (`storage/holds.py`) with `passages_at` set: when its passages are to be
written, or the lease of whoever writes them. Nobody else's e-mail waits for it; and it waits for two minutes past its
own time at most, then the fallbacks stand.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from outreach_sdk.ai.port import PassageWriter
from outreach_sdk.domain import template
from outreach_sdk.engine import drafting, kinds, pooled
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.judging import hold_model, tell_admins
from outreach_sdk.errors import AiDenied, AiUnavailable, AiUnusable, OutreachError
from outreach_sdk.storage.holds import let_go
from outreach_sdk.storage.store import Store, in_marks

__all__ = ["PATIENCE", "drain_passages", "give_up", "kept", "waiting", "write"]

logger = logging.getLogger(__name__)

LEASE = dt.timedelta(minutes=3)
PATIENCE = dt.timedelta(minutes=2)
"""How long past its time an e-mail waits for its passages."""
LONGEST = dt.timedelta(hours=6)
DENIED_FOR, LIMITED_FOR = dt.timedelta(minutes=10), dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Ask:
    """One prompt of one person in one step."""

    workspace_id: int
    owner_id: int
    candidate_id: int
    step_id: int
    prompt: template.Prompt


def waiting(engine: Engine) -> bool:
    """Whether a journey's passages are to be written now."""
    return bool(
        engine.store.value(
            "SELECT 1 FROM journeys WHERE passages_at <= ? ORDER BY passages_at LIMIT 1", engine.now()
        )
    )


def give_up(engine: Engine) -> int:
    """Let go of what has waited too long, and, where no model is set up here, of all that would wait: the fallbacks
    stand. How many."""
    now = engine.now()
    if engine.writer() is None:
        return _without(engine, _LATE.format(by="passages_at"), now)
    return _without(engine, _LATE.format(by="held_due_at"), now - PATIENCE)


_LATE = "SELECT id FROM journeys WHERE passages_at IS NOT NULL AND {by} <= ? ORDER BY {by} LIMIT 1000"


def _without(engine: Engine, which: str, *params: Any) -> int:
    """The journeys that `which` selects wait for passages no longer; how many."""
    store = engine.store
    if not store.value(f"SELECT 1 FROM ({which}) AS q LIMIT 1", *params):
        return 0

    def work() -> int:
        rows = store.rows(
            f"UPDATE journeys SET passages_at = NULL WHERE id IN ({which}) RETURNING sequence_id", *params
        )
        for sequence_id in sorted({r["sequence_id"] for r in rows}):
            let_go(store, engine.now(), "sequence_id = ?", sequence_id)
        return len(rows)

    return store.run(work)


def drain_passages(
    engine: Engine, *, threads: int = 4, stop: threading.Event | None = None
) -> dict[str, int]:
    """Write what waits to be written, until nothing does, the time budget is spent or `stop` is set; how many ended
    how."""
    writer = engine.writer()
    if writer is None:
        given = give_up(engine)
        return {"fallback": given} if given else {}
    return pooled.drain(
        engine, _claim, lambda row: _journey(engine, writer, row), threads=threads, stop=stop, name="passages"
    )


def _claim(engine: Engine) -> dict[str, Any] | None:
    store, now = engine.store, engine.now()
    skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""

    def work() -> dict[str, Any] | None:
        return store.one(
            "UPDATE journeys SET passages_at = ? WHERE id = (SELECT id FROM journeys WHERE passages_at <= ? "
            f"ORDER BY passages_at, id LIMIT 1{skip}) RETURNING id, sequence_id, held_due_at, passages_at, next_step_id",
            now + LEASE,
            now,
        )

    return store.run(work)


def _journey(engine: Engine, writer: PassageWriter, row: dict[str, Any]) -> str:
    """Write one journey's passages and let it go; "later" where there is still time to try again."""
    store = engine.store
    sequence = store.one("SELECT * FROM sequences WHERE id = ?", row["sequence_id"])
    asks = [] if sequence is None else _lacking(engine, sequence, [row["id"]], step_id=row["next_step_id"])
    ends = []
    for ask in asks:
        end, again = _write_one(engine, writer, ask, row["held_due_at"])
        if again is not None:
            store.write(
                "UPDATE journeys SET passages_at = ? WHERE id = ? AND passages_at = ?",
                again,
                row["id"],
                row["passages_at"],
            )
            return "later"
        ends.append(end)

    def work() -> None:
        if store.write(
            "UPDATE journeys SET passages_at = NULL WHERE id = ? AND passages_at = ?",
            row["id"],
            row["passages_at"],
        ):
            let_go(store, engine.now(), "id = ?", row["id"])

    store.run(work)
    return "fallback" if "fallback" in ends else "written"


def _lacking(
    engine: Engine,
    sequence: dict[str, Any],
    journeys: list[int] | None,
    *,
    step_id: int | None = None,
    again: bool = False,
) -> list[_Ask]:
    """The prompts nobody has asked yet; with `again` also those a fallback stands for."""
    out: dict[tuple[int, int, str], _Ask] = {}
    for draft in drafting.drafts(engine, sequence, journeys):
        step, person, desk = draft.step, draft.journey, draft.desk
        if step_id is not None and step["id"] != step_id:
            continue
        known = desk.passages.get((person["candidate_id"], step["id"]), {})
        subject, body = desk.texts(person, step, draft.stored)
        try:
            asked = template.prompts(f"{subject or ''}\n{body or ''}", desk.data(person, step))
        except OutreachError:
            continue
        for prompt in asked:
            if prompt.text is None or (
                prompt.digest in known and not (again and known[prompt.digest] is None)
            ):
                continue
            ask = _Ask(person["workspace_id"], person["owner_id"], person["candidate_id"], step["id"], prompt)
            out[ask.candidate_id, ask.step_id, prompt.digest] = ask
    return list(out.values())


def _write_one(
    engine: Engine, writer: PassageWriter, ask: _Ask, due: dt.datetime | None
) -> tuple[str, dt.datetime | None]:
    """(how it ended, None), or when to try again where the e-mail's own time allows it."""
    store, now = engine.store, engine.now()
    text, why, wait = None, None, dt.timedelta(0)
    if not kinds.allowed(store, ask.workspace_id, "ai_passages"):
        why = "Passages by the model are switched off."
    elif store.value("SELECT 1 FROM installation WHERE ai_wait_until > ?", now):
        why, wait = "The model said: not now.", dt.timedelta(minutes=1)
    else:
        text, why, wait = _ask(engine, writer, ask, now)
    if text is None and wait and due is not None:
        # Seldomer the longer there is time: a dozen tries in three days.
        again = now + max(wait, min((due - now) / 4, LONGEST))
        if again < due:
            return "later", again
    model = writer.identity if text is not None else None
    _keep(store, ask, text, why, model, engine.now())
    return ("fallback" if text is None else "written"), None


def _ask(
    engine: Engine, writer: PassageWriter, ask: _Ask, now: dt.datetime
) -> tuple[str | None, str | None, dt.timedelta]:
    """(text, why there is none, how long until trying again may help)."""
    store, prompt = engine.store, ask.prompt.text or ""
    most = writer.most_for(prompt)
    if not kinds.reserve(store, ask.workspace_id, most, now):
        tell_admins(
            engine,
            ask.workspace_id,
            "ai_limit",
            f"{now:%Y-%m}",
            "The month's limit for the model is reached: until it is over, fallbacks stand for AI passages. "
            "ws.set(ai_monthly_limit=…) changes it.",
        )
        return None, "The month's limit for the model is reached.", LIMITED_FOR
    store.idle()  # the call may take long
    try:
        found = writer.write(prompt)
    except AiUnusable as exc:
        kinds.settle(store, ask.workspace_id, now, most, exc.cost, exc.tokens)
        return None, str(exc), dt.timedelta(0)
    except AiUnavailable as exc:
        kinds.settle(store, ask.workspace_id, now, most, exc.cost, exc.tokens)
        wait = dt.timedelta(seconds=exc.retry_after or 30.0)
        if exc.busy:
            hold_model(engine, wait)
        return None, str(exc), wait
    except AiDenied as exc:
        kinds.settle(store, ask.workspace_id, now, most, exc.cost, 0)
        hold_model(engine, DENIED_FOR)
        tell_admins(
            engine, ask.workspace_id, "ai_denied", writer.identity, f"Fallbacks stand for AI passages: {exc}"
        )
        return None, str(exc), DENIED_FOR
    except Exception as exc:  # its words may hold what was asked
        logger.error("a passage couldn't be written: %s", type(exc).__name__)
        return None, f"An error in the program ({type(exc).__name__}).", dt.timedelta(0)
    kinds.settle(store, ask.workspace_id, now, most, found.cost, found.tokens)
    return found.text, None, dt.timedelta(0)


def _keep(
    store: Store, ask: _Ask, text: str | None, why: str | None, model: str | None, now: dt.datetime
) -> None:
    """A text takes the place of a fallback, never the other way round; of somebody erased meanwhile nothing is kept."""

    def work() -> None:
        known = store.one(f"SELECT source FROM candidates WHERE id = ?{store.for_update}", ask.candidate_id)
        if known is not None and known["source"] != "erased":
            _insert(store, ask, text, why, model, now)

    store.run(work)


def _insert(
    store: Store, ask: _Ask, text: str | None, why: str | None, model: str | None, now: dt.datetime
) -> None:
    store.write(
        "INSERT INTO passages (workspace_id, owner_id, candidate_id, step_id, digest, prompt, text, why, model, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (candidate_id, step_id, digest) DO UPDATE SET "
        "text = excluded.text, why = excluded.why, model = excluded.model WHERE passages.text IS NULL",
        ask.workspace_id,
        ask.owner_id,
        ask.candidate_id,
        ask.step_id,
        ask.prompt.digest,
        ask.prompt.text or "",
        text,
        why,
        model,
        now,
    )


def write(engine: Engine, sequence: dict[str, Any], *, threads: int = 4) -> dict[str, int]:
    """Write every passage of a sequence that isn't there yet, for all its people and steps, here and now; {"written",
    "fallback"}. What a fallback stands for is asked again."""
    writer, ends = engine.writer(), {"written": 0, "fallback": 0}
    asks = _lacking(engine, sequence, None, again=True)
    if writer is None:  # the workers may have a key all the same
        return {**ends, "fallback": len(asks)}
    guard = threading.Lock()

    def one(ask: _Ask) -> None:
        try:
            end, _ = _write_one(engine, writer, ask, None)
            with guard:
                ends[end] += 1
        finally:
            engine.store.idle()

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="passages") as pool:
        for done in [pool.submit(one, ask) for ask in asks]:
            done.result()
    _without(
        engine, "SELECT id FROM journeys WHERE sequence_id = ? AND passages_at IS NOT NULL", sequence["id"]
    )
    return ends


def kept(store: Store, sequence_id: int) -> list[dict[str, Any]]:
    """Every passage of a sequence, with whom it is for."""
    steps = store.rows("SELECT id FROM steps WHERE sequence_id = ?", sequence_id)
    ids = [s["id"] for s in steps]
    if not ids:
        return []
    return store.rows(
        "SELECT p.*, c.first_name, c.last_name FROM passages p JOIN candidates c ON c.id = p.candidate_id "
        f"WHERE p.step_id IN {in_marks(ids)} ORDER BY p.id",
        *ids,
    )
