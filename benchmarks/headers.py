"""How well spreadsheet headers are understood by rules alone: every field of every labelled header row, and whether an
e-mail column was ever a wrong one.

    python benchmarks/headers.py [CORPORA]         or OUTREACH_CORPORA=CORPORA

CORPORA holds `csv_headers/` with `headers.jsonl` and its files. `--misses` prints what was mapped otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

CORPORA = os.environ.get("OUTREACH_CORPORA")  # _common drops the names that begin like this

from _common import table, verdict  # noqa: E402 - puts the project on the path

from outreach_sdk.domain.columns import FIELDS  # noqa: E402
from outreach_sdk.engine.people import open_table  # noqa: E402
from outreach_sdk.errors import ImportRefused  # noqa: E402

GOAL = 0.98


def wanted(given: Any) -> set[str | None]:
    return set(given) if isinstance(given, list) else {given}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="?", default=CORPORA)
    parser.add_argument("--misses", action="store_true")
    given = parser.parse_args()
    if given.corpora is None:
        parser.error("say where the corpora are")
    folder = Path(given.corpora) / "csv_headers"
    right = fields = wrong_emails = 0
    formats = files = 0
    misses: list[str] = []
    began = time.perf_counter()
    for line in (folder / "headers.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        files += 1
        try:
            read = open_table(folder / row["file"])
        except ImportRefused as exc:
            misses.append(f"{row['file']}: refused, {exc}")
            fields += len(row["mapping"])
            continue
        formats += read.delimiter == row["delimiter"] and read.skipped_lines == row["preamble_lines"]
        for name in FIELDS:
            meant, got = wanted(row["mapping"].get(name)), read.mapping.get(name)
            if meant == {None} and got is None:
                continue
            fields += 1
            right += got in meant
            wrong_emails += name == "email" and got is not None and got not in meant
            if got not in meant:
                misses.append(f"{row['file']}: {name} is {got!r}, meant {sorted(map(str, meant))}")
    took = time.perf_counter() - began
    share = right / fields
    table(
        "Headers by rules alone",
        ("what", "measured", "goal", ""),
        [
            ("fields", f"{right}/{fields} {share:.1%}", f"{GOAL:.0%}", verdict(share >= GOAL)),
            ("wrong e-mail columns", wrong_emails, 0, verdict(wrong_emails == 0)),
            ("delimiter and preamble", f"{formats}/{files}", "", ""),
            ("a file, ms", took / files * 1000, "", ""),
        ],
    )
    if given.misses:
        print(*misses, sep="\n")
    return 0 if share >= GOAL and not wrong_emails else 1


if __name__ == "__main__":
    sys.exit(main())
