"""One message of a journey, either way."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

from outreach_sdk.domain.reply_answer import KINDS
from outreach_sdk.engine import answers, judging
from outreach_sdk.errors import InvalidInput, NotFound, TransitionRefused
from outreach_sdk.notebook.card import Card, Mail, Shown
from outreach_sdk.objects.carrying import carried
from outreach_sdk.objects.session import Session, current

__all__ = ["Message"]

_OUT = (
    "SELECT id, journey_id, 'out' AS direction, sent_at AS at, state, recipient, subject, body_html, body_text, body_text AS "
    "visible_text, NULL AS sender, NULL AS kind, NULL AS reply_kind, NULL AS kind_by FROM outbox "
    "WHERE (state = 'sent' OR answers_id IS NOT NULL) AND id = ?"
)
_IN = "SELECT *, 'in' AS direction, received_at AS at FROM inbound WHERE journey_id IS NOT NULL AND id = ?"


@carried(here="get")
class Message(Shown):
    """Get one with `Message.get(id)`, an id of `journey.messages`, or `journey.replies`."""

    def __init__(self, message_id: str, session: Session) -> None:
        self._session = session
        self.id = message_id

    @classmethod
    def get(cls, message_id: str) -> Message:
        """By an id of `journey.messages` ("in12", "out7"). NotFound."""
        found = cls(str(message_id), current())
        found._row()
        return found

    def _row(self) -> dict[str, Any]:
        match = re.fullmatch(r"(in|out)(\d{1,18})", self.id)
        row = None
        if match is not None:
            sql = _IN if match[1] == "in" else _OUT
            row = self._session.store.one(sql, int(match[2]))
        if row is None:
            raise NotFound("There is no such message.")
        # The sequence's owner reads its messages, whosever mailbox they lie in.
        self._session.scope.get("journeys", row["journey_id"], "message")
        return row

    @property
    def direction(self) -> str:
        """ "in" | "out"."""
        return str(self._row()["direction"])

    @property
    def at(self) -> dt.datetime | None:
        """When it was received or sent; None of an answer that hasn't left."""
        at = self._row()["at"]
        return None if at is None else _moment(at)

    @property
    def sender(self) -> str | None:
        """The address it came from; None of one's own."""
        return _text(self._row()["sender"])

    @property
    def subject(self) -> str:
        """Its subject, as it came or left."""
        return str(self._row()["subject"] or "")

    @property
    def text(self) -> str:
        """All of it."""
        return str(self._row()["body_text"] or "")

    @property
    def visible_text(self) -> str:
        """Without the quoted message and the signature."""
        row = self._row()
        return str(row["body_text"] if row["visible_text"] is None else row["visible_text"])

    @property
    def kind(self) -> str | None:
        """Of what came in: "human" | "auto_reply" | "bounce" | "complaint" | "delivery_notice" | "own"."""
        return _text(self._row()["kind"])

    @property
    def reply_kind(self) -> str | None:
        """Of a person's answer: "interested" | "not_now" | "not_interested" | "question" | "referral" |
        "wrong_person" | "unsubscribe" | "unclear"."""
        return _text(self._row()["reply_kind"])

    @property
    def kind_by(self) -> str | None:
        """Who said so: "rules" | "model" | "person"."""
        return _text(self._row()["kind_by"])

    @property
    def referral(self) -> dict[str, str | None] | None:
        """{"name", "email"} of whom a referral names, else None."""
        row = self._row()
        if not row.get("referral_name") and not row.get("referral_email"):
            return None
        return {"name": row["referral_name"], "email": row["referral_email"]}

    @property
    def judged(self) -> dict[str, Any]:
        """How its kind came about: {"kind", "by", "confidence", "model", "version", "answer" (the model's own, as
        it came, or what was wrong with it), "corrected_from", "corrected_at", "corrected_by"}."""
        row = self._row()
        by = row.get("corrected_by")
        return {
            "kind": row["reply_kind"],
            "by": row["kind_by"],
            "confidence": row.get("kind_confidence"),
            "model": row.get("kind_model"),
            "version": row.get("kind_version"),
            "answer": json.loads(row["kind_answer"]) if row.get("kind_answer") else None,
            "corrected_from": row.get("corrected_from"),
            "corrected_at": row.get("corrected_at"),
            "corrected_by": None
            if by is None
            else self._session.store.value("SELECT name FROM users WHERE id = ?", by),
        }

    def correct(self, kind: str) -> None:
        """Say of what kind an answer really is: for good, whatever the model says later; what it said stays in
        `judged`. "unsubscribe" stops and suppresses as if the candidate's own words had; correcting one away
        lifts nothing. InvalidInput; TransitionRefused for what is no person's answer."""
        row = self._row()
        known = next((k for k in KINDS if k == kind), None)
        if known is None:
            raise InvalidInput("kind", kind, f"Use one of {', '.join(KINDS)}.")
        user = self._session.user["id"]
        if row["direction"] == "out" or not judging.correct(
            self._session.engine, row["id"], known, user_id=user
        ):
            raise TransitionRefused("Only a person's answer has a kind that can be corrected.")

    def reply(self, body: str) -> Message:
        """Answer whoever wrote it (where their Reply-To says), in its thread, from the mailbox that got it, at once and
        ahead of everything automatic; `body` may have merge fields, theirs if they are a candidate, and the mailbox's
        signature is added. The answer, as a message (`state` says how far it is). The same text to the same message
        leaves once, however often this is called. TransitionRefused where they don't want to be written to or the
        mailbox isn't connected; MissingField."""
        row = self._row()
        if row["direction"] == "out":
            raise TransitionRefused("This is one's own message. Answer one that came in.")
        entry = answers.answer(self._session.engine, row["id"], body, self._session.user["id"])
        return Message(f"out{entry}", self._session)

    @property
    def state(self) -> str:
        """Of one's own: "planned" until it has left ("sending" meanwhile), "sent", "failed", or "needs_person" where
        nobody can say whether it left; "received" of what came in."""
        row = self._row()
        if row["direction"] == "in":
            return "received"
        return "planned" if row["state"] in ("claimed", "drafted") else str(row["state"])

    def _card(self) -> Card:
        row = self._row()
        inward = row["direction"] == "in"
        who = f"from {row['sender']}" if inward else f"to {row['recipient']}"
        head = [self.at, who, (row["reply_kind"] or row["kind"] or self.state).replace("_", " ")]
        text = self.visible_text if inward else self.text
        kind = "in" if inward else "out"
        return Card("Message", None, [Mail(head, self.subject, kind, html=row.get("body_html"), text=text)])

    def _line(self) -> str:
        row = self._row()
        who = row["sender"] if row["direction"] == "in" else f"to {row['recipient']}"
        what = row["reply_kind"] or row["kind"] or "sent"
        return f"Message({self.id}: {who}, {what})"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _moment(value: Any) -> dt.datetime:
    from outreach_sdk.storage.fields import from_us

    return from_us(value) if isinstance(value, int) else value
