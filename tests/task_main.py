"""Act on a task in a process of its own: `python -m tests.task_main ID ACTION GO`, once the file GO is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from outreach_sdk.errors import OutreachError
from outreach_sdk.objects.task import Task
from tests.harness import wait_until


def main() -> None:
    task = Task.get(int(sys.argv[1]))
    print("ready", flush=True)
    wait_until(Path(sys.argv[3]).exists, every=0.001)
    try:
        {"send": task.send_now, "done": task.done, "skip": task.skip}[sys.argv[2]]()
    except OutreachError as exc:
        print(json.dumps({"error": type(exc).__name__, "said": str(exc)}))
    else:
        print(json.dumps({"error": None}))


if __name__ == "__main__":
    main()
