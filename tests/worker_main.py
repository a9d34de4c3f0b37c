"""The command line, in a process that knows the hostile mailbox: `python -m tests.worker_main worker send`."""

from __future__ import annotations

import tests.harness  # noqa: F401 - registers the hostile transport
from outreach_sdk.cli import main

if __name__ == "__main__":
    main()
