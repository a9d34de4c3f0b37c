"""What an incoming message is: a person's answer, an automatic one, or a mail server speaking.

In doubt it is a person: taking a human for a machine would go on writing to somebody who has answered.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from outreach_sdk.domain.acknowledge import acknowledges
from outreach_sdk.domain.autoreply import given_up, left_company, machine_evidence, return_date
from outreach_sdk.domain.bounces import read_report
from outreach_sdk.domain.message import IncomingMessage
from outreach_sdk.domain.opt_out_words import BARE_STOP, asks_to_stop
from outreach_sdk.domain.visible import typed_text, visible_text

__all__ = ["Kind", "Verdict", "asks", "asks_to_stop", "classify", "visible_text"]

Kind = Literal["bounce", "complaint", "auto_reply", "delivery_notice", "human"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`hard` and `status` (RFC 3463) speak of a report, `recipients` are the addresses it is about,
    `dead` those of them whose address is at fault,
    `final` and `message_ids` say that a server has given up, and on which message;
    `return_date`, `left_company` and `acknowledged` (that a message came in) are of an automatic reply,
    `opt_out` of a person's words. `reason` is a phrase for people; `evidence` names what decided.
    `by_responder`: no server's report but an automatic reply that says its address is given up."""

    kind: Kind
    hard: bool | None = None
    recipients: tuple[str, ...] = ()
    status: str | None = None
    reason: str = ""
    return_date: dt.date | None = None
    left_company: bool = False
    opt_out: bool = False
    evidence: str = ""
    final: bool = False
    message_ids: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    acknowledged: bool = False
    by_responder: bool = False


def asks(text: str, subject: str) -> bool:
    """Whether a person's message (quotes and all) asks to be left alone."""
    bare = len(visible_text(text)) <= 160 and BARE_STOP.fullmatch(subject.strip()) is not None
    return bare or asks_to_stop(typed_text(text))


def classify(message: IncomingMessage, *, now: dt.date) -> Verdict:
    """Judge one incoming message. `now` stands in where the message has no believable date of its own."""
    report = read_report(message.raw) if message.raw else None
    if report is not None:
        return Verdict(
            report.kind,
            hard=report.hard,
            recipients=report.recipients,
            status=report.status,
            reason=report.reason,
            left_company=report.kind == "bounce"
            and bool(report.hard)
            and left_company(message, of_recipient=True),
            evidence=report.evidence,
            final=report.final,
            message_ids=report.message_ids,
            dead=report.dead,
        )
    words = visible_text(message.text)
    evidence = machine_evidence(message, words)
    if evidence is not None:
        gone = left_company(message, words)
        closed = None if gone else given_up(message, words)
        if closed is not None:
            return Verdict(
                "bounce",
                hard=True,
                recipients=(closed,),
                reason="this address is no longer in use, says its automatic reply",
                evidence=evidence,
                dead=(closed,),
                by_responder=True,
            )
        back = None if gone else return_date(message, now, words)
        reason = "left the company" if gone else f"away until {back}" if back else "automatic reply"
        return Verdict(
            "auto_reply",
            reason=reason,
            return_date=back,
            left_company=gone,
            evidence=evidence,
            acknowledged=not gone and back is None and acknowledges(message.subject, words),
        )
    subject = message.subject.strip()
    stop = asks(message.text, subject)
    return Verdict(
        "human", reason="asks to stop" if stop else "a reply", opt_out=stop, evidence="no sign of a machine"
    )
