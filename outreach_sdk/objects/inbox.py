"""What came in, over all of one's sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.reply_answer import KINDS
from outreach_sdk.errors import InvalidInput
from outreach_sdk.notebook.card import Card, Note, Table
from outreach_sdk.notebook.html import shortened
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import current

if TYPE_CHECKING:
    import polars as pl

__all__ = ["inbox"]

_OTHERS = ("auto_reply", "bounce", "complaint", "delivery_notice")


def inbox(kind: str | None = None, *, limit: int = 500) -> pl.DataFrame:
    """What people answered, newest first, with a card in a notebook. `kind`: only answers of that kind
    ("interested", "not_now", ...; `outreach.Message.correct` lists them), or what machines sent instead:
    "auto_reply", "bounce", "complaint", "delivery_notice"; "all" for everything.

    Frame: id (for `Message.get`), at, candidate, sender, sequence, kind, kind_by ("rules" | "model" | "person"),
    subject, text (without what was quoted). InvalidInput for an unknown kind.
    """
    from outreach_sdk.objects.cards import with_card

    session = current()
    condition, own = session.scope.mine("j", "j.sequence_id")
    where, params = _filter(kind)
    if not 1 <= limit <= 100_000:
        raise InvalidInput("limit", limit, "Give a number from 1 to 100000.")
    rows = session.store.rows(
        "SELECT i.id, i.received_at, i.sender, i.kind AS what, i.reply_kind, i.kind_by, i.subject, i.visible_text, "
        "i.body_text, CASE WHEN i.writer_id IS NULL THEN c.first_name ELSE COALESCE(w.first_name, '') END AS first_name, "
        "CASE WHEN i.writer_id IS NULL THEN c.last_name ELSE COALESCE(w.last_name, '') END AS last_name, s.name AS sequence "
        "FROM inbound i JOIN journeys j ON j.id = i.journey_id LEFT JOIN candidates w ON w.id = i.writer_id "
        "JOIN candidates c ON c.id = j.candidate_id JOIN sequences s ON s.id = j.sequence_id "
        f"WHERE {condition} AND {where} ORDER BY i.received_at DESC, i.id DESC LIMIT ?",
        *own,
        *params,
        limit,
    )
    lines = [_line(r) for r in rows]
    table = frame(
        lines,
        id="str",
        at="time",
        candidate="str",
        sender="str",
        sequence="str",
        kind="str",
        kind_by="str",
        subject="str",
        text="str",
    )
    shown = [
        (r["at"], r["candidate"] or r["sender"], r["kind"].replace("_", " "), shortened(r["text"]))
        for r in lines[:50]
    ]
    more = f"{len(lines) - 50} more are in the frame." if len(lines) > 50 else None
    card = Card(
        "Inbox",
        f"{len(lines):,} {'message' if len(lines) == 1 else 'messages'}",
        [
            Table(["when", "who", "kind", "what they wrote"], shown),
            Note(None if shown else "Nobody has answered yet."),
            Note(more),
        ],
    )
    return with_card(table, card.html())


def _filter(kind: str | None) -> tuple[str, tuple[Any, ...]]:
    if kind is None:
        return "i.kind = 'human'", ()
    if kind == "all":
        return "i.kind <> 'own'", ()
    if kind in _OTHERS:
        return "i.kind = ?", (kind,)
    if kind in KINDS:
        return "i.kind = 'human' AND COALESCE(i.reply_kind, 'unclear') = ?", (kind,)
    raise InvalidInput("kind", kind, f"Use one of {', '.join((*KINDS, *_OTHERS))}, or all.")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    human = row["what"] == "human"
    return {
        "id": f"in{row['id']}",
        "at": row["received_at"],
        "candidate": f"{row['first_name']} {row['last_name']}".strip(),
        "sender": row["sender"],
        "sequence": row["sequence"],
        "kind": (row["reply_kind"] or "unclear") if human else row["what"],
        "kind_by": row["kind_by"],
        "subject": row["subject"],
        "text": row["body_text"] if row["visible_text"] is None else row["visible_text"],
    }
