"""One import in a process of its own, ten rows a transaction, which a failpoint may kill."""

from __future__ import annotations

import sys
from pathlib import Path

from outreach_sdk.config import Settings
from outreach_sdk.engine import people
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.sequence import Sequence

if __name__ == "__main__":
    people.CHUNK = 10
    sessions.use(sessions.open_session(Settings.from_env()))
    Sequence.get(int(sys.argv[1])).import_csv(Path(sys.argv[2]))
