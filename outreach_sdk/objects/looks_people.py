"""What journeys, people, mailboxes and tasks show of themselves."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.pacing import mailbox_limits
from outreach_sdk.domain.variants import words_of
from outreach_sdk.engine.limits import LEFT
from outreach_sdk.notebook.card import Banner, Bar, Card, Mail, Note, Part, Table
from outreach_sdk.objects.session import Session
from outreach_sdk.storage.fields import from_us

__all__ = ["candidate_card", "journey_card", "mailbox_card", "mailbox_load"]

MOST_MESSAGES = 40
_ENDED = ("completed", "cancelled")


def journey_card(session: Session, row: dict[str, Any]) -> Card:
    """What was written, both ways, and what is to come."""
    store = session.store
    about = store.one(
        "SELECT c.first_name, c.last_name, s.name AS sequence, s.active FROM candidates c JOIN sequences s ON s.id = ? "
        "WHERE c.id = ?",
        row["sequence_id"],
        row["candidate_id"],
    ) or {"first_name": "", "last_name": "", "sequence": "", "active": False}
    entries: list[tuple[dt.datetime, int, Part]] = []
    for sent in store.rows(
        "SELECT o.sent_at, o.recipient, o.subject, o.body_html, o.body_text FROM outbox o WHERE o.journey_id = ? AND "
        f"o.state = 'sent' ORDER BY o.sent_at DESC LIMIT {MOST_MESSAGES}",
        row["id"],
    ):
        mail = Mail(
            [sent["sent_at"], f"to {sent['recipient']}"],
            sent["subject"] or "",
            "out",
            html=sent["body_html"],
            text=sent["body_text"],
        )
        entries.append((sent["sent_at"], 0, mail))
    for came in store.rows(
        "SELECT received_at, sender, subject, kind, reply_kind, kind_by, visible_text, body_text FROM inbound "
        f"WHERE (journey_id = ? OR writer_journey_id = ?) AND kind <> 'own' ORDER BY received_at DESC LIMIT {MOST_MESSAGES}",
        row["id"],
        row["id"],
    ):
        what = came["reply_kind"] or came["kind"] or ""
        said = came["body_text"] if came["visible_text"] is None else came["visible_text"]
        head = [came["received_at"], f"from {came['sender'] or 'somebody'}", what.replace("_", " ")]
        entries.append((came["received_at"], 1, Mail(head, came["subject"] or "", "in", text=said)))
    for happened in store.rows(
        f"SELECT at, kind, detail FROM events WHERE journey_id = ? ORDER BY at DESC, id DESC LIMIT {MOST_MESSAGES}",
        row["id"],
    ):
        at = from_us(happened["at"]) if isinstance(happened["at"], int) else happened["at"]
        what = str(happened["kind"]).replace("_", " ")
        detail = str(happened["detail"] or "").replace("_", " ")
        entries.append((at, 2, Mail([at, what, detail], "", "plan")))
    entries.sort(key=lambda e: (e[0], e[1]))
    parts: list[Part] = [Banner(row["detail"] if row["status"] == "paused" else None)]
    parts += [p for _, _, p in entries[-MOST_MESSAGES:]]
    if not entries:
        parts.append(Note("Nothing was written yet."))
    parts += _to_come(session, row) if row["status"] not in _ENDED else []
    name = f"{about['first_name']} {about['last_name']}".strip() or row["email"] or "A candidate"
    pill = " · ".join(x for x in (row["status"], row["reason"]) if x).replace("_", " ")
    where = f"in {about['sequence'] or 'an untitled sequence'}"
    to = f"writes to {row['email']}" if row["email"] else "has no e-mail address"
    return Card(name, pill, [Note(f"{where}, {to}"), *parts])


def _to_come(session: Session, row: dict[str, Any]) -> list[Part]:
    steps = session.store.rows(
        "SELECT s.id, s.kind, s.manual, s.subject, s.body, s.variants, x.status, x.skip_at FROM steps s "
        "LEFT JOIN journey_steps x ON x.step_id = s.id AND x.journey_id = ? "
        "WHERE s.sequence_id = ? AND s.removed_at IS NULL AND s.rank > ? "
        "ORDER BY s.rank LIMIT 10",
        row["id"],
        row["sequence_id"],
        row["last_rank"],
    )
    broken = session.store.value("SELECT broken FROM sequences WHERE id = ?", row["sequence_id"])
    out: list[Part] = []
    for step in steps:
        if step["status"] in ("sent", "done", "skipped"):
            continue
        due, note = None, step["status"] or "planned"
        if step["id"] == row["next_step_id"] and step["status"] != "waiting":
            due = row["next_due_at"] or row["held_due_at"]
            note = "due" if row["next_due_at"] else note
            if row["held_due_at"] and broken:
                note = "waits until its sequence is repaired"
            elif row["held_due_at"] and not row["passages_at"]:
                note = "waits for your approval"
            elif row["held_due_at"]:
                note = "its passages are being written"
        skip = f"skips itself {step['skip_at']:%d %b, %H:%M} UTC" if step["skip_at"] else None
        kind = f"{step['kind']}, by hand" if step["manual"] else step["kind"]
        words = words_of(step, row["id"])
        title = words.subject or ("in the thread" if step["kind"] == "email" else words.body or "")
        out.append(Mail([due, kind, note, skip], title, "plan"))
    return out


def candidate_card(session: Session, person: dict[str, Any], emails: Any, phones: Any, journeys: Any) -> Card:
    """Who they are, how to reach them, and which sequences they are in. Frames as `Candidate` gives them."""

    def ticks(row: dict[str, Any]) -> str:
        marks = [m for m in ("chosen", "verified", "invalid") if row.get(m)]
        return ", ".join(marks)

    addresses = [(r["address"], r["kind"], ticks(r), r["source"]) for r in emails.iter_rows(named=True)]
    numbers = [(r["number"], r["kind"], ticks(r), r["source"]) for r in phones.iter_rows(named=True)]
    ways = [
        (r["sequence"], r["status"], (r["reason"] or "").replace("_", " "), r["enrolled_at"])
        for r in journeys.iter_rows(named=True)
    ]
    own = json.loads(person.get("fields") or "{}")
    fields = [(k, v) for k, v in own.items() if v not in (None, "")][:20]
    name = f"{person['first_name']} {person['last_name']}".strip()
    job = " at ".join(x for x in (person["title"], person["company"]) if x)
    profile = f"https://www.{person['linkedin']}" if person["linkedin"] else None
    return Card(
        name or (addresses[0][0] if addresses else f"Candidate {person['id']}"),
        None,
        [
            Note(job or None),
            Note(profile),
            Table(["address", "kind", "", "from"], addresses),
            Table(["number", "kind", "", "from"], numbers),
            Table(["sequence", "journey", "", "enrolled"], ways),
            Table(["field", ""], fields),
        ],
    )


def mailbox_load(session: Session, boxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each mailbox sent in the last 24 hours and hour, what waits for it, and the least of its limits a day."""
    now = session.now()
    day, hour = now - dt.timedelta(days=1), now - dt.timedelta(hours=1)
    out = []
    for box in boxes:
        row = session.store.one(
            f"SELECT (SELECT COUNT(*) FROM outbox WHERE mailbox_id = ? AND sending_at > ? AND {LEFT}) AS day, "
            f"(SELECT COUNT(*) FROM outbox WHERE mailbox_id = ? AND sending_at > ? AND {LEFT}) AS hour, "
            "(SELECT COUNT(*) FROM journeys WHERE lane = ? AND next_due_at <= ?) AS due",
            box["id"],
            day,
            box["id"],
            hour,
            box["id"],
            now,
        )
        limits = mailbox_limits({**box, "connected_at": box["created_at"]}, now)
        caps = [limit.most for limit in limits if limit.window >= dt.timedelta(days=1)]
        out.append({"address": box["address"], "cap": min(caps, default=None), **(row or {})})
    return out


def mailbox_card(session: Session, box: dict[str, Any]) -> Card:
    """Whether it sends, how much, and for whom."""
    now = session.now()
    [load] = mailbox_load(session, [box])
    wait = box["wait_until"] if box["wait_until"] is not None and box["wait_until"] > now else None
    trouble = box["unusable"] or box["check_failed"] or box["status_detail"]
    if trouble is None and box["checked_at"] is None and box["status"] == "connected":
        trouble = "It hasn't passed its self-test yet: nothing leaves before."
    if trouble is None and wait is not None:
        trouble = f"It sends again after {wait:%d %b, %H:%M} UTC: {box['wait_reason']}."
    lent = session.store.rows(
        "SELECT u.name FROM grants g LEFT JOIN users u ON u.id = g.user_id WHERE g.mailbox_id = ? AND g.ended_at IS NULL "
        "ORDER BY g.id LIMIT 20",
        box["id"],
    )
    cap = load["cap"]
    facts = [
        ("provider", box["provider"]),
        ("sent in 24 hours", f"{load['day']:,} of {cap:,}" if cap is not None else f"{load['day']:,}"),
        ("due now", int(load["due"])),
        ("between two e-mails", f"{box['spacing_us'] / 1e6:g} s"),
        ("looked at for answers", box["polled_at"]),
        ("lent to", ", ".join(r["name"] or "the team" for r in lent)),
    ]
    parts: list[Part] = [Banner(trouble), Table(["", ""], [f for f in facts if f[1] not in (None, "")])]
    if cap is not None:
        parts.append(Bar([("sent", int(load["day"])), ("limit a day", int(cap))]))
    pill = f"{box['status']}, default" if box["is_default"] else box["status"]
    title = f"{box['name']} <{box['address']}>" if box["name"] else box["address"]
    return Card(title, pill, parts)
