"""One drain, in a process that a failpoint may kill."""

from __future__ import annotations

import sys

import tests.harness  # noqa: F401 - registers the hostile transport
from outreach_sdk.config import Settings
from outreach_sdk.engine import dispatch
from outreach_sdk.wiring import open_engine

if __name__ == "__main__":
    print(dispatch.drain_sends(open_engine(Settings.from_env()), threads=int(sys.argv[1])))
