"""Named places where a test can have this process killed, as a power cut would.

`OUTREACH_FAILPOINT=after_sending` kills at the first pass, `after_sending:3` at the third. Without the
variable a failpoint costs one comparison.
"""

from __future__ import annotations

import os
import signal
import threading

__all__ = ["NAMES", "hit"]

NAMES = (
    "after_claim",
    "before_draft",
    "after_draft",
    "after_drafted",
    "after_look",
    "after_sending",
    "after_accept",
    "after_sent",
    "during_recovery",
)
"""Places on a send's way; `batch_stored` lies between a batch of messages that came in and its cursor,
`draft_taken_away` after a definite no, `import_chunk` between two chunks of an import, `note_before_write` and
`note_after_write` around a note's request; `request_done` after a notebook's call, before its answer."""

_wanted, _, _count = os.environ.get("OUTREACH_FAILPOINT", "").partition(":")
_left = int(_count or 1)
_guard = threading.Lock()


def hit(name: str) -> None:
    """Die here with SIGKILL, if this is the place and pass asked for."""
    global _left
    if name != _wanted:
        return
    with _guard:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
