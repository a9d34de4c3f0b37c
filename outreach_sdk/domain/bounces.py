"""Delivery reports: what a mail server says about a message that didn't arrive."""

from __future__ import annotations

import re
from email.message import Message

from outreach_sdk.domain.bounce_fault import STATUS, Refusal, at_fault, prose_blames, stage_of
from outreach_sdk.domain.bounce_notice import by_flufl, in_words, says_nothing_else, shorten, sns_notice
from outreach_sdk.domain.report_parts import (
    STATUS_PART,
    Fields,
    Report,
    about,
    addresses,
    body,
    from_daemon,
    groups,
    header,
    is_report,
    of_itself,
    parameter,
    read,
    text,
    typed_address,
)

__all__ = ["Report", "read_report"]

_ARRIVED = ("delivered", "relayed", "expanded", "deliverable")


def read_report(raw: bytes) -> Report | None:
    """The delivery report in `raw`, or None for any other message. Never raises on content.

    Without a machine-readable part the sender must be a mail system, so that a person who forwards a
    bounce stays a person.
    """
    taken = read(raw)
    if taken is None:
        return None
    message, parts = taken
    own = of_itself(message)
    types = [part.get_content_type() for part in own]
    top = message.get_content_type()
    report = parameter(message, "report-type") if top == "multipart/report" else ""
    if report == "feedback-report" or (
        top == "multipart/report" and "message/feedback-report" in types and STATUS_PART not in types
    ):
        return _feedback(parts)
    if _forwarded(message) and not says_nothing_else(body(parts)):
        return None
    if report == "disposition-notification" or (
        top == "multipart/report" and "message/disposition-notification" in types
    ):
        return Report("delivery_notice", None, (), None, "read receipt", "message/disposition-notification")
    if _is_jmrp(message):
        return _complaint(parts)
    told = _delivery_status(own, parts, raw) if is_report(message) else None
    if told is None and from_daemon(message):  # a gateway that wraps another system's report
        told = _delivery_status(parts, parts, raw)
    return told or sns_notice(message, parts) or in_words(message, parts, raw)


def _forwarded(message: Message) -> bool:
    """A person passed a report on: `Fwd:` or `Re:` from somebody who is no mail system."""
    subject = header(message, "Subject")
    return bool(re.match(r"(?:re|fwd?|aw|wg|tr|rv|sv|vs|i)\s*:", subject, re.I)) and not from_daemon(message)


def _is_jmrp(message: Message) -> bool:
    return bool(re.match(r"complaint about message from ", header(message, "Subject"), re.I)) or bool(
        message.get("X-HmXmrOriginalRecipient")
    )


_FEEDBACK_TYPE = re.compile(r"^feedback-type[ \t]*+:[ \t]*+([a-z-]{1,40})", re.I | re.M)
_COMPLAINTS = ("abuse", "fraud", "virus", "opt-out", "opt-out-list")


def _feedback(parts: list[Message]) -> Report:
    """A feedback report. RFC 6430's not-spam is the opposite of a complaint, RFC 6591's auth-failure nobody's."""
    complaint = _complaint(parts)
    said = [str(v).strip() for p in parts for v in p.get_all("Feedback-Type") or []]
    said += [x for p in parts for x in _FEEDBACK_TYPE.findall(text(p)) if _is_feedback(p)]
    kind = said[0].split()[0].strip(";").lower() if said and said[0] else ""
    if not kind or kind in _COMPLAINTS:
        return complaint
    return Report(
        "delivery_notice",
        None,
        complaint.recipients,
        None,
        f"feedback report: {kind[:40]}",
        "feedback report",
    )


def _is_feedback(part: Message) -> bool:
    return part.get_content_type() == "message/feedback-report"


def _complaint(parts: list[Message]) -> Report:
    """A feedback report (RFC 5965), or one of the older forms that only return the message."""
    found: dict[str, None] = {}
    for part in parts:
        for name in ("Original-Rcpt-To", "Removal-Recipient", "X-HmXmrOriginalRecipient"):
            for value in part.get_all(name) or []:
                found.update(dict.fromkeys(addresses(str(value))))
    words = "\n".join(text(p) for p in parts if p.get_content_type() == "message/feedback-report")
    for line in re.findall(r"^(?:original-rcpt-to|removal-recipient)[ \t]*+:(.*)$", words, re.I | re.M):
        found.update(dict.fromkeys(addresses(line)))
    if not found:
        for part in parts[1:]:
            for value in part.get_all("To") or []:
                found.update(dict.fromkeys(addresses(str(value))))
    return Report("complaint", None, tuple(found), None, "marked as spam by the recipient", "feedback report")


def _recipient(fields: Fields) -> str:
    """The address as it was written to, else as it was tried."""
    for name in ("original-recipient", "final-recipient", "x-actual-recipient"):
        value = fields.get(name, "")
        if typed := typed_address(value):
            return typed
        found = addresses(value.partition(";")[2] or value)
        if found:
            return found[0]
    return ""


def _delivery_status(own: list[Message], parts: list[Message], raw: bytes) -> Report | None:
    """What the fields of RFC 3464 say, one group for each recipient."""
    prose = body(parts)
    told: list[tuple[str, Refusal]] = []
    for part in own:
        # A report whose boundary was damaged is one text that holds the fields.
        unsplit = part.get_content_type() == "multipart/report" and not part.is_multipart()
        if part.get_content_type() != STATUS_PART and not unsplit:
            continue
        for fields in groups(part):
            action = (fields.get("action") or "").split(" ")[0].strip("();").lower()
            if unsplit and "final-recipient" not in fields:
                continue
            address = _recipient(fields)
            if not address and not action and "status" not in fields:
                continue
            status = next(iter(STATUS.findall(fields.get("status", ""))), None)
            kind, _, said = fields.get("diagnostic-code", "").partition(";")
            by_program = kind.strip().lower() == "x-unix"
            told.append((action, Refusal(address, status, said or kind, None, by_program)))
    actions = [action for action, _ in told if action]
    statuses = [r.status for _, r in told if r.status is not None]
    if not actions and not statuses:
        return None
    who = tuple(dict.fromkeys(r.recipient for _, r in told if r.recipient)) or tuple(by_flufl(raw)[0])
    words = " ".join(r.said for _, r in told if r.said)
    status = (
        next((s for s in statuses if not s.endswith(".0.0")), None)
        or next(iter(STATUS.findall(words)), None)
        or next(iter(statuses), None)
    )
    evidence = "message/delivery-status"
    if (actions and all(a in _ARRIVED for a in actions)) or (not actions and (status or "").startswith("2")):
        return Report("delivery_notice", None, who, status, "delivered", evidence)
    if actions and all(a == "delayed" for a in actions):
        return Report("delivery_notice", False, who, status, words[:200] or "delayed", evidence)
    refused = [r for action, r in told if action not in (*_ARRIVED, "delayed")]
    dead = [r.recipient for r in refused if _is_dead(r, prose, alone=len(refused) == 1)]
    return Report(
        "bounce",
        bool(dead),
        who,
        status,
        shorten(words or prose),
        evidence,
        final=bool(actions) and all(a == "failed" for a in actions),
        message_ids=_returned(parts, parts[0]),
        dead=tuple(dict.fromkeys(a for a in dead if a)),
    )


def _is_dead(refusal: Refusal, prose: str, *, alone: bool) -> bool:
    """Without any reason it is not: a bounded number of further tries costs less than an address struck
    out by mistake."""
    beside = prose if alone else about(refusal.recipient, prose)
    stage = stage_of(about(refusal.recipient, prose)) or stage_of(prose) or stage_of(refusal.said)
    found = at_fault(Refusal(refusal.recipient, refusal.status, refusal.said, stage, refusal.by_program))
    if refusal.said and found is not None:
        return found
    told = prose_blames(beside)
    if not refusal.said and told and not (refusal.status or "").startswith(("5.2.", "5.7.")):
        return True  # sendmail's transcript knows what its code doesn't
    return bool(found if found is not None else told)


_MESSAGE_ID = re.compile(r"<[^<>\s]++>")


def _returned(parts: list[Message], message: Message) -> tuple[str, ...]:
    """The Message-ID of what comes back, else of what the report answers."""
    for part in parts[1:]:
        if part.get_content_type() == "text/rfc822-headers":
            found = re.search(r"^Message-ID[ \t]*+:\s*+(<[^<>\s]++>)", text(part), re.I | re.M)
            if found is not None:
                return (found[1],)
        elif (found := _MESSAGE_ID.search(str(part.get("Message-ID") or "")[:2000])) is not None:
            return (found[0],)
    return tuple(_MESSAGE_ID.findall(str(message.get("In-Reply-To") or "")[:2000]))
