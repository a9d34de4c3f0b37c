"""Journeys and their steps: every status, every reason, and the one table of allowed transitions.

Nothing else in the package decides whether a status may change. Storage turns the table into the WHERE
clause of a compare-and-set, so a transition that isn't here can't be written.
"""

from __future__ import annotations

import datetime as dt
import functools
from enum import StrEnum

__all__ = [
    "OPEN_OUTBOX",
    "REOPENABLE",
    "SOFT_BOUNCE_WAITS",
    "CancelReason",
    "JourneyStatus",
    "OutboxState",
    "PauseReason",
    "StepStatus",
    "allowed_from",
    "may_move",
    "outbox_from",
    "step_from",
]


class JourneyStatus(StrEnum):
    """`pending`: enrolled while the sequence isn't active. `completed` and `cancelled` are final."""

    PENDING = "pending"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class PauseReason(StrEnum):
    """Why a journey waits. Only `sequence_deactivated` is lifted by activation."""

    SEQUENCE_DEACTIVATED = "sequence_deactivated"
    SEND_FAILED = "send_failed"
    MAILBOX_DISCONNECTED = "mailbox_disconnected"
    REAUTHORISE = "reauthorise"
    OUT_OF_OFFICE = "out_of_office"
    MANUAL = "manual"
    MISSING_FIELD = "missing_field"
    NO_EMAIL = "no_email"
    NO_CREDITS = "no_credits"
    OVERDUE = "overdue"
    UNKNOWN_SEND = "unknown_send"


class CancelReason(StrEnum):
    """Why a journey was stopped for good."""

    REPLIED = "replied"
    INTERVIEW_SCHEDULED = "interview_scheduled"
    MEETING_BOOKED = "meeting_booked"
    ATS_INTERVIEW = "ats_interview"
    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    SUPPRESSED = "suppressed"
    MANUAL = "manual"


class StepStatus(StrEnum):
    """One step of one journey. `planned` needs no row, and `review` (it waits for somebody's approval) is shown, not
    stored; the others are recorded."""

    PLANNED = "planned"
    REVIEW = "review"
    DUE = "due"
    SENDING = "sending"
    SENT = "sent"
    WAITING = "waiting"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NEEDS_PERSON = "needs_person"
    CANCELLED = "cancelled"


class OutboxState(StrEnum):
    """One intended send (docs/sending.md). `sent` and `failed` are final for the attempt."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    DRAFTED = "drafted"
    SENDING = "sending"
    SENT = "sent"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NEEDS_PERSON = "needs_person"


_J = JourneyStatus
# (from, to) -> the kind of reason that must come with it
_JOURNEY: dict[tuple[JourneyStatus, JourneyStatus], type[StrEnum] | None] = {
    (_J.PENDING, _J.ACTIVE): None,  # activation
    (_J.PENDING, _J.PAUSED): PauseReason,  # paused by hand before it ever started
    (_J.PENDING, _J.CANCELLED): CancelReason,
    (_J.ACTIVE, _J.PAUSED): PauseReason,
    (_J.ACTIVE, _J.COMPLETED): None,
    (_J.ACTIVE, _J.CANCELLED): CancelReason,
    (_J.PAUSED, _J.ACTIVE): None,
    (_J.PAUSED, _J.PENDING): None,  # resumed by hand while the sequence is inactive and nothing was sent
    (_J.PAUSED, _J.PAUSED): PauseReason,  # the reason changes: resumed by hand while inactive, for one
    (_J.PAUSED, _J.COMPLETED): None,  # the last send was in flight when it was paused
    (_J.PAUSED, _J.CANCELLED): CancelReason,
    (_J.COMPLETED, _J.ACTIVE): None,  # its last e-mail came back for the moment and is tried again
}


_STOPPED_BY_EVENTS = (
    CancelReason.REPLIED,
    CancelReason.INTERVIEW_SCHEDULED,
    CancelReason.MEETING_BOOKED,
    CancelReason.ATS_INTERVIEW,
    CancelReason.MANUAL,
)
REOPENABLE: dict[JourneyStatus, tuple[CancelReason, ...]] = {
    _J.PAUSED: _STOPPED_BY_EVENTS,  # journey.reengage: it goes on later
    _J.ACTIVE: (CancelReason.BOUNCED,),  # journey.use_email: it goes on at another address
}
"""What a person, and nobody else, may bring back, and to what. Who asked to be left alone stays alone."""


def may_move(current: JourneyStatus, to: JourneyStatus, reason: StrEnum | None) -> bool:
    """Whether a journey may go from `current` to `to` with `reason`."""
    if (current, to) not in _JOURNEY:
        return False
    kind = _JOURNEY[current, to]
    return reason is None if kind is None else isinstance(reason, kind)


@functools.cache
def allowed_from(to: JourneyStatus, reason: StrEnum | None = None) -> tuple[JourneyStatus, ...]:
    """The statuses from which a journey may go to `to` with `reason`."""
    return tuple(s for s in JourneyStatus if may_move(s, to, reason))


_S = StepStatus
_STEP: dict[StepStatus, frozenset[StepStatus]] = {
    _S.PLANNED: frozenset({_S.DUE, _S.SENDING, _S.WAITING, _S.SKIPPED, _S.CANCELLED}),
    _S.REVIEW: frozenset(),
    _S.DUE: frozenset({_S.PLANNED, _S.SENDING, _S.WAITING, _S.SKIPPED, _S.FAILED, _S.CANCELLED}),
    _S.WAITING: frozenset({_S.PLANNED, _S.DUE, _S.SENDING, _S.DONE, _S.SKIPPED, _S.CANCELLED}),
    _S.SENDING: frozenset({_S.DUE, _S.SENT, _S.UNKNOWN, _S.FAILED, _S.NEEDS_PERSON, _S.CANCELLED}),
    _S.UNKNOWN: frozenset({_S.DUE, _S.SENDING, _S.SENT, _S.FAILED, _S.NEEDS_PERSON, _S.CANCELLED}),
    _S.NEEDS_PERSON: frozenset({_S.DUE, _S.SENT, _S.FAILED, _S.SKIPPED, _S.CANCELLED}),
    _S.FAILED: frozenset({_S.DUE, _S.SENDING, _S.SKIPPED, _S.CANCELLED}),
    _S.SENT: frozenset({_S.DUE}),  # a soft bounce opens one more attempt
    _S.DONE: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.CANCELLED: frozenset({_S.SENT}),  # the answer came after the cancel: it had left already
}


@functools.cache
def step_from(to: StepStatus) -> tuple[StepStatus, ...]:
    """The statuses from which a step may go to `to`."""
    return tuple(s for s in StepStatus if to in _STEP[s])


_O = OutboxState
_OUTBOX: dict[OutboxState, frozenset[OutboxState]] = {
    _O.PLANNED: frozenset({_O.CLAIMED, _O.CANCELLED}),
    _O.CLAIMED: frozenset({_O.CLAIMED, _O.PLANNED, _O.DRAFTED, _O.FAILED, _O.CANCELLED}),
    _O.DRAFTED: frozenset({_O.DRAFTED, _O.PLANNED, _O.SENDING, _O.FAILED, _O.CANCELLED}),
    _O.SENDING: frozenset({_O.SENDING, _O.DRAFTED, _O.SENT, _O.FAILED, _O.UNKNOWN, _O.CANCELLED}),
    _O.UNKNOWN: frozenset({_O.UNKNOWN, _O.SENDING, _O.SENT, _O.NEEDS_PERSON, _O.CANCELLED}),
    _O.NEEDS_PERSON: frozenset({_O.SENT, _O.FAILED}),
    _O.SENT: frozenset(),
    _O.FAILED: frozenset(),
    _O.CANCELLED: frozenset(),
}

OPEN_OUTBOX = (_O.CLAIMED, _O.DRAFTED, _O.SENDING, _O.UNKNOWN)
"""An entry in one of these owns its journey: nothing else may schedule it."""


SOFT_BOUNCE_WAITS = (dt.timedelta(hours=4), dt.timedelta(hours=24))
"""How long after each soft bounce of a step's e-mail the next attempt is due; one more pauses the journey."""


@functools.cache
def outbox_from(to: OutboxState) -> tuple[OutboxState, ...]:
    """The states from which an outbox entry may go to `to`."""
    return tuple(s for s in OutboxState if to in _OUTBOX[s])
