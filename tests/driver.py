"""One drain of sends, by so many threads, or of `polls`, in a process that a failpoint may kill."""

from __future__ import annotations

import sys

import tests.harness  # noqa: F401 - registers the hostile transport
from outreach_sdk.config import Settings
from outreach_sdk.engine import dispatch
from outreach_sdk.wiring import open_engine

if __name__ == "__main__":
    engine = open_engine(Settings.from_env())
    if sys.argv[1] == "polls":
        print(dispatch.drain_polls(engine))
    else:
        print(dispatch.drain_sends(engine, threads=int(sys.argv[1])))
