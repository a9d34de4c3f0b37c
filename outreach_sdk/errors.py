"""One tree of errors.

    OutreachError                 every error this package raises on purpose
    ├── ConfigError               a setting is missing or wrong (names the variable)
    ├── InvalidInput              an argument is wrong (names field, value and remedy)
    │   ├── NaiveDatetime         a datetime without a zone
    │   ├── UnknownTimezone       a zone name nobody knows
    │   ├── HeaderInjection       a header value that would break out of its header
    │   ├── TemplateError         a template that doesn't parse or reaches where it may not
    │   ├── MissingField          a template needs fields the candidate doesn't have
    │   └── ImportRefused         a file that can't be read as people
    ├── NotFound                  it doesn't exist, or not for you
    ├── AccessDenied              Sequences are switched off, for all or for you; says whom to ask
    ├── IncompleteSequence        activation refused; `.problems` says why
    ├── TransitionRefused         the journey or step can't go from here to there
    │   ├── TaskTaken             somebody acted on the task, or its time ran out (`.by`, `.status`)
    │   └── TaskChanged           somebody else edited the draft meanwhile: read it again
    ├── StorageError              the database can't be used
    │   ├── DatabaseUnavailable   it can't be reached right now (try again)
    │   └── NotMigrated           it lacks tables that this version needs: `outreach migrate`
    ├── EngineError               the runtime can't start or isn't running
    ├── NotReady                  it is still under way (look again later)
    ├── MailError                 a mailbox said no, or said nothing
    │   ├── MailRefused           a definite no for this message (permanent)
    │   ├── MailRateLimited       a definite "not now" (`retry_after` seconds)
    │   ├── MailTemporary         nothing was accepted; trying again may help
    │   ├── MailAuthError         the grant is dead: reconnect the mailbox (permanent)
    │   ├── SignInRefused         connecting ended without a mailbox: denied, wrong account, too late
    │   ├── MailNotFound          the draft or message isn't there
    │   └── MailOutcomeUnknown    nobody can say whether it was accepted: never repeat blindly
    ├── AtsError                  an applicant tracking system gave no answer that can be used
    │   ├── AtsDenied             it refuses the key (looked at again now and then)
    │   ├── AtsNotFound           it knows no such thing (permanent)
    │   ├── AtsRefused            a definite no to what was asked of it (permanent)
    │   └── AtsUnavailable        it said "not now", or nothing
    │       └── AtsOutcomeUnknown nobody can say whether it was done: never repeat blindly
    ├── CalendarError             a calendar gave no answer that can be used
    │   ├── CalendarDenied        it may not be read: consent doesn't cover it (permanent)
    │   └── CalendarUnavailable   it said "not now", or nothing
    ├── AiError                   the model gave nothing that can be used; the rules do
    │   ├── AiUnusable            it answered, but not what was asked (permanent)
    │   ├── AiUnavailable         it said "not now", or nothing
    │   └── AiDenied              it refuses the key, the account or the model (permanent)
    └── ProviderError             an enrichment provider gave no answer; the next one is asked
        ├── ProviderUnusable      it can't take the question, or its answer can't be read (permanent)
        ├── ProviderUnavailable   it is out of order, or says nothing
        ├── ProviderBusy          it said "not now" (`retry_after` seconds)
        ├── ProviderSpent         the account with it has no credits left (permanent)
        └── ProviderDenied        it refuses the key or the account (permanent)

Every error has `permanent` (trying the same again can't help) and `retry_after`
(seconds after which trying again may help, or None).
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

__all__ = [
    "AccessDenied",
    "AiDenied",
    "AiError",
    "AiUnavailable",
    "AiUnusable",
    "AtsDenied",
    "AtsError",
    "AtsNotFound",
    "AtsOutcomeUnknown",
    "AtsRefused",
    "AtsUnavailable",
    "CalendarDenied",
    "CalendarError",
    "CalendarUnavailable",
    "ConfigError",
    "DatabaseUnavailable",
    "EngineError",
    "HeaderInjection",
    "ImportRefused",
    "IncompleteSequence",
    "InvalidInput",
    "MailAuthError",
    "MailError",
    "MailNotFound",
    "MailOutcomeUnknown",
    "MailRateLimited",
    "MailRefused",
    "MailTemporary",
    "MissingField",
    "NaiveDatetime",
    "NotFound",
    "NotMigrated",
    "NotReady",
    "OutreachError",
    "ProviderBusy",
    "ProviderDenied",
    "ProviderError",
    "ProviderSpent",
    "ProviderUnavailable",
    "ProviderUnusable",
    "SignInRefused",
    "StorageError",
    "TaskChanged",
    "TaskTaken",
    "TemplateError",
    "TransitionRefused",
    "UnknownTimezone",
]


class OutreachError(Exception):
    """Base of every error raised on purpose. `str(error)` is a sentence for a person."""

    permanent: bool = True
    retry_after: float | None = None

    def __init__(
        self, message: str, *, permanent: bool | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        if permanent is not None:
            self.permanent = permanent
        if retry_after is not None:
            self.retry_after = retry_after
            if permanent is None:
                self.permanent = False

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this. It is a sentence for whoever typed the cell; the frames between are ours (`%debug`).
        return [f"{type(self).__name__}: {self}"]


class ConfigError(OutreachError):
    """A setting is missing or wrong; the sentence names the variable."""


class InvalidInput(OutreachError, ValueError):
    """An argument is wrong. `field` names it, `value` shows it, `remedy` says what to do."""

    def __init__(self, field: str, value: Any, remedy: str) -> None:
        self.field, self.value, self.remedy = field, value, remedy
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "…"
        super().__init__(f"{field}: {shown}. {remedy}")


class NaiveDatetime(InvalidInput):
    """A datetime without a time zone, where none was said."""


class UnknownTimezone(InvalidInput):
    """A time zone name that the zone database doesn't have."""


class HeaderInjection(InvalidInput):
    """A header value with control characters or encoded words, refused before any message is built."""


class TemplateError(InvalidInput):
    """A template that doesn't parse, loops, reaches attributes, or is too large."""


class MissingField(InvalidInput):
    """A template needs fields that aren't there; `fields` names them."""

    def __init__(self, fields: Seq[str]) -> None:
        self.fields = tuple(fields)
        super().__init__(
            "merge fields",
            ", ".join(self.fields),
            "Fill them in on the candidate, or give the template a fallback: {{ field | fallback('…') }}.",
        )


class ImportRefused(InvalidInput):
    """A file that can't be read as a list of people; nothing was written."""


class AccessDenied(OutreachError):
    """Sequences are switched off for the organisation or for this user; the text names the admins to ask."""


class NotFound(OutreachError, LookupError):
    """It doesn't exist, or it isn't yours to see: the two look the same on purpose."""


class IncompleteSequence(OutreachError):
    """Activation refused. `problems` has one sentence for each cause."""

    def __init__(self, name: str, problems: Seq[str]) -> None:
        self.problems = list(problems)
        super().__init__(f"{name!r} can't be activated yet: " + " ".join(self.problems))


class TransitionRefused(OutreachError):
    """The journey or step can't go from where it is to where it was asked to go."""


class TaskTaken(TransitionRefused):
    """The task isn't open any more. `status` is what became of it, `by` who did that; None for its timer."""

    def __init__(self, message: str, *, status: str | None = None, by: str | None = None) -> None:
        super().__init__(message)
        self.status, self.by = status, by


class TaskChanged(TransitionRefused):
    """Somebody else edited the draft since it was read."""


class StorageError(OutreachError):
    """The database can't be used."""


class DatabaseUnavailable(StorageError):
    """The database can't be reached right now."""

    permanent = False
    retry_after = 5.0


class NotMigrated(StorageError):
    """The database has no tables yet, or those of an older version."""


class EngineError(OutreachError):
    """The runtime can't start, or isn't running."""


class NotReady(OutreachError):
    """What was waited for is still under way; it goes on by itself."""

    permanent = False
    retry_after = 5.0


class MailError(OutreachError):
    """A mailbox said no, or said nothing."""


class MailRefused(MailError):
    """A definite no for this message: nothing was sent and repeating won't help."""


class MailRateLimited(MailError):
    """A definite "not now": nothing was sent; `retry_after` seconds may be the provider's own figure."""

    permanent = False
    retry_after = 60.0


class MailTemporary(MailError):
    """A call that reads or prepares failed on the way; nothing was sent, trying again may help."""

    permanent = False
    retry_after = 15.0


class MailAuthError(MailError):
    """The mailbox's grant is dead (revoked, expired, password changed): its owner must reconnect."""


class SignInRefused(MailError):
    """Connecting ended without a mailbox: consent denied, another account than expected, a code used or too
    old. Nothing was written; starting again may help."""


class MailNotFound(MailError):
    """The draft or message asked for isn't in the mailbox."""


class MailOutcomeUnknown(MailError):
    """The send may or may not have been accepted. Look it up; never repeat it blindly."""

    permanent = False


class AtsError(OutreachError):
    """An applicant tracking system gave no answer that can be used."""


class AtsDenied(AtsError):
    """It refuses the key. Somebody may put that right, so it is asked again later."""

    permanent = False
    retry_after = 1800.0


class AtsNotFound(AtsError):
    """It knows nothing by that id."""


class AtsUnavailable(AtsError):
    """It can't be reached, is out of order, or says "not now"."""

    permanent = False
    retry_after = 30.0


class AtsOutcomeUnknown(AtsUnavailable):
    """Nobody can say whether what was asked for was done. Look before doing it again."""


class AtsRefused(AtsError):
    """It says no to what was asked of it; the same again won't do either."""


class CalendarError(OutreachError):
    """A calendar gave no answer that can be used. E-mails go on without it."""


class CalendarDenied(CalendarError):
    """It may not be read: its owner's consent doesn't cover it, until the mailbox is connected again."""


class CalendarUnavailable(CalendarError):
    """It can't be reached, is out of order, or says "not now"."""

    permanent = False
    retry_after = 30.0


class AiError(OutreachError):
    """The model gave nothing that can be used; what the rules say stands. `cost`, in millionths of a dollar, is
    what the call took; None where nobody can say. `answer` is what it said, where it said something."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        cost: int | None = 0,
        tokens: int = 0,
        answer: str = "",
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.cost, self.tokens, self.answer = cost, tokens, answer


class AiUnusable(AiError):
    """It answered, but not what was asked: refused, cut off, broken, or something that can't be."""


class AiUnavailable(AiError):
    """It can't be reached, is out of order, or says "not now" (then `busy`)."""

    permanent = False
    retry_after = 30.0
    busy = False


class AiDenied(AiError):
    """It refuses the key, the account or the model: nothing will come until that is changed."""


class ProviderError(OutreachError):
    """An enrichment provider gave no answer. Its text holds neither the key nor whom was asked about."""


class ProviderUnusable(ProviderError):
    """It can't take the question, or what it answered can't be read."""


class ProviderUnavailable(ProviderError):
    """It can't be reached or is out of order."""

    permanent = False
    retry_after = 30.0


class ProviderBusy(ProviderError):
    """It said "not now"; `retry_after` may be its own figure."""

    permanent = False
    retry_after = 30.0


class ProviderSpent(ProviderError):
    """The account with it has no credits left."""


class ProviderDenied(ProviderError):
    """It refuses the key or the account: nothing will come until that is changed."""
