"""Outreach Sequences for recruiters who work in notebooks.

    import outreach_sdk as outreach
    from outreach_sdk import Sequence, Mailbox, Later

Everything public is here; modules below are the package's own. Names load when first used, so importing
the package is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outreach_sdk.domain.journey import CancelReason, JourneyStatus, PauseReason, StepStatus
    from outreach_sdk.domain.sequence import Instant, Later, NextBusinessDay, SpecificTime
    from outreach_sdk.domain.windows import SendingWindow
    from outreach_sdk.errors import OutreachError
    from outreach_sdk.objects.candidate import Candidate
    from outreach_sdk.objects.engine import down, up
    from outreach_sdk.objects.enrichment import Enrichment
    from outreach_sdk.objects.inbox import inbox
    from outreach_sdk.objects.journey import Journey, Task
    from outreach_sdk.objects.mailbox import Mailbox
    from outreach_sdk.objects.message import Message
    from outreach_sdk.objects.panels import mapping_editor, task_queue
    from outreach_sdk.objects.report import EnrollmentReport
    from outreach_sdk.objects.sequence import Sequence
    from outreach_sdk.objects.shortlist import Shortlist
    from outreach_sdk.objects.workspace import (
        Workspace,
        connect,
        events,
        notifications,
        sequences,
        tasks,
        users,
        whoami,
    )

__version__ = "0.1.0"

_HOMES = {
    "outreach_sdk.domain.journey": ("CancelReason", "JourneyStatus", "PauseReason", "StepStatus"),
    "outreach_sdk.domain.sequence": ("Instant", "Later", "NextBusinessDay", "SpecificTime"),
    "outreach_sdk.domain.windows": ("SendingWindow",),
    "outreach_sdk.errors": ("OutreachError",),
    "outreach_sdk.objects.candidate": ("Candidate",),
    "outreach_sdk.objects.engine": ("down", "up"),
    "outreach_sdk.objects.enrichment": ("Enrichment",),
    "outreach_sdk.objects.inbox": ("inbox",),
    "outreach_sdk.objects.journey": ("Journey", "Task"),
    "outreach_sdk.objects.mailbox": ("Mailbox",),
    "outreach_sdk.objects.message": ("Message",),
    "outreach_sdk.objects.panels": ("mapping_editor", "task_queue"),
    "outreach_sdk.objects.report": ("EnrollmentReport",),
    "outreach_sdk.objects.sequence": ("Sequence",),
    "outreach_sdk.objects.shortlist": ("Shortlist",),
    "outreach_sdk.objects.workspace": (
        "Workspace",
        "connect",
        "events",
        "notifications",
        "sequences",
        "tasks",
        "users",
        "whoami",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CancelReason",
    "Candidate",
    "Enrichment",
    "EnrollmentReport",
    "Instant",
    "Journey",
    "JourneyStatus",
    "Later",
    "Mailbox",
    "Message",
    "NextBusinessDay",
    "OutreachError",
    "PauseReason",
    "SendingWindow",
    "Sequence",
    "Shortlist",
    "SpecificTime",
    "StepStatus",
    "Task",
    "Workspace",
    "connect",
    "down",
    "events",
    "inbox",
    "mapping_editor",
    "notifications",
    "sequences",
    "task_queue",
    "tasks",
    "up",
    "users",
    "whoami",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        module = _HOME_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(__all__)
