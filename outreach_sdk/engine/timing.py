"""Whether now is the time: lateness, hours, and what a mailbox and a person can take."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.pacing import Priority
from outreach_sdk.domain.schedule import business_moment, downtime
from outreach_sdk.domain.sequence import first_zone, schedule_from_dict
from outreach_sdk.domain.windows import SendingRules, is_set_time, placed, sending_rules, share
from outreach_sdk.engine import limits
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.progress import pause_overdue
from outreach_sdk.engine.release import release

__all__ = ["not_now", "too_often"]

LATE_ENOUGH_TO_ASK = dt.timedelta(hours=1)


def not_now(engine: Engine, entry: dict[str, Any]) -> str | None:
    """Why a claimed entry doesn't leave now, having been given back for its time; None: it may."""
    if _overdue(engine, entry):
        with engine.store.tx():
            if release(engine, entry, reschedule_it=False):
                pause_overdue(
                    engine.store, _as_journey(entry), engine.now(), "it was due while nothing was running"
                )
        return "overdue"
    return _outside_hours(engine, entry) or too_often(engine, entry)


def _as_journey(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "id": entry["journey_id"], "generation": entry["current_generation"]}


def _overdue(engine: Engine, entry: dict[str, Any]) -> bool:
    now, due = engine.now(), entry["due_at"]
    if now - due < LATE_ENOUGH_TO_ASK:
        return False
    outages = engine.store.rows("SELECT started_at, ended_at FROM outages WHERE ended_at > ?", due)
    late = downtime([(o["started_at"], o["ended_at"]) for o in outages], since=due, until=now)
    schedule = entry["step_schedule"]
    stated = json.loads(entry["workspace_settings"] or "{}").get("overdue_after")
    patient = engine.overdue_after if stated is None else dt.timedelta(seconds=stated)
    limit = LATE_ENOUGH_TO_ASK if "specific_time" in str(schedule) else patient
    return late > limit


def _outside_hours(engine: Engine, entry: dict[str, Any]) -> str | None:
    """Whatever held it up until its window closed, or until a day that is no business day, it waits for the next one.
    A person's Send now doesn't, nor does a time somebody set wait for a window, unless it is long past."""
    if entry["priority"] == Priority.PERSON:
        return None
    rules, now = _rules(entry), engine.now()
    if rules.window is None and "next_business_day" not in str(entry["step_schedule"]):
        return None
    schedule = schedule_from_dict(json.loads(entry["step_schedule"]))
    at = business_moment(
        schedule,
        now,
        sequence_zone=entry["sequence_zone"],
        candidate_zone=entry["candidate_zone"],
        closed=rules.off,
    )
    if at == now and not (is_set_time(schedule) and now - entry["due_at"] < LATE_ENOUGH_TO_ASK):
        at = _placed(entry, rules, now)
    if at <= now:
        return None
    release(engine, entry, due=at)
    return "outside_hours"


def _rules(entry: dict[str, Any]) -> SendingRules:
    return sending_rules(entry["workspace_settings"], entry["sequence_window"])


def _placed(entry: dict[str, Any], rules: SendingRules, at: dt.datetime) -> dt.datetime:
    tz = first_zone(entry["candidate_zone"], entry["sequence_zone"])
    return placed(rules.window, at, tz, rules.off, share(entry["journey_id"], entry["step_id"]))


def too_often(engine: Engine, entry: dict[str, Any]) -> str | None:
    """Limits looked at before any work is done for the e-mail; the fence decides."""
    store, now = engine.store, engine.now()
    rules = _rules(entry)
    full = None
    if entry["answers_id"] is None:  # how often one person is written to is no matter where a person answers
        full = limits.candidate_full(store, rules, entry["candidate_id"], now)
    if full is not None:
        return _candidate_waits(engine, entry, rules, *full)
    if (
        full := limits.mailbox_full(store, entry, entry["mailbox_id"], now, people=entry["recipients"])
    ) is not None:
        return _mailbox_waits(engine, entry, *full)
    return None


def _mailbox_waits(engine: Engine, entry: dict[str, Any], until: dt.datetime, why: str) -> str:
    limits.mailbox_waits(engine, entry, until, f"it has reached {why}")
    release(engine, entry, due=entry["due_at"])  # it keeps its place in the mailbox's order
    return "mailbox_waits"


def _candidate_waits(
    engine: Engine, entry: dict[str, Any], rules: SendingRules, until: dt.datetime, why: str
) -> str:
    at = _placed(entry, rules, until)
    if release(engine, entry, due=at):
        engine.store.write(
            "UPDATE journeys SET detail = ? WHERE id = ? AND status = 'active'",
            f"waits until {at:%d %b, %H:%M} UTC: at most {why}",
            entry["journey_id"],
        )
    return "candidate_waits"
