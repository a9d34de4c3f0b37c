"""How long `import outreach_sdk` takes over bare Python, and what it must not load."""

from __future__ import annotations

import subprocess
import sys

from _common import ROOT, median, seconds, table, verdict

LIMIT = 0.1
HEAVY = ("polars", "peewee", "rq", "redis", "googleapiclient", "msal", "openai")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


def main() -> int:
    loaded = run(f"import sys, outreach_sdk; print(*(m for m in {HEAVY!r} if m in sys.modules))")
    bare, ours = [], []
    for _ in range(9):  # in turns, so that a busy moment meets both
        bare.append(seconds(lambda: run("pass")))
        ours.append(seconds(lambda: run("import outreach_sdk")))
    extra = median(ours) - median(bare)
    ok = extra < LIMIT and not loaded
    table(
        "import outreach_sdk, median of 9",
        ("what", "seconds", "of limit", ""),
        [
            ("bare Python", median(bare), "", ""),
            ("with outreach_sdk", median(ours), "", ""),
            ("the difference", extra, extra / LIMIT, verdict(extra < LIMIT)),
            ("heavy modules loaded", loaded or "none", "", verdict(not loaded)),
        ],
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
