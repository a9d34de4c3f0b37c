"""Thousands of sends through a whole engine with a kill -9 every second, a FLUSHALL, and no Redis for
30 s in the middle. The mailbox's own ledger is the witness; exit status 1 where it shows a message twice, or
one missing."""

from __future__ import annotations

import argparse
import sys

from _common import folder, table, verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sends", type=int, default=5_000)
    parser.add_argument("--outage", type=float, default=30.0, help="seconds without Redis")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    from tests.acceptance.test_chaos import storm

    limit = 120 + given.outage + given.sends / 5
    with folder() as where:
        done = storm(
            where / "home", given.sends, limit=limit, outage=given.outage, seed=given.seed, say=print
        )
    twice = sum(n - 1 for n in done.duplicates.values())
    kills = ", ".join(f"{name} {n}" for name, n in done.kills.most_common())
    ended = ", ".join(f"{n} {state}" for state, n in done.ended.most_common())
    table(
        f"{done.sends:,} sends under kill -9",
        ("what", "measured", "limit", ""),
        [
            ("sends", done.sends, "", ""),
            ("duration, s", done.seconds, f"{limit:g}", verdict(done.seconds < limit)),
            ("sends/s", done.sends / done.seconds, "", ""),
            ("kills", f"{done.kills.total()} ({kills})", "", ""),
            ("FLUSHALLs", done.flushed, "", ""),
            ("without Redis, s", done.outage, "", ""),
            ("duplicates", twice, 0, verdict(twice == 0)),
            ("lost", len(done.lost), 0, verdict(not done.lost)),
            ("sent to nobody enrolled", done.strangers, 0, verdict(not done.strangers)),
            ("still open", done.open, 0, verdict(not done.open)),
            ("drafts left standing", done.drafts, 0, verdict(not done.drafts)),
            ("journeys", ended, "", ""),
        ],
    )
    for message, count in list(done.duplicates.items())[:10]:
        print(f"  {count} times: {message}")
    for message in done.lost[:10]:
        print(f"  lost: {message}")
    return 1 if twice or done.lost or done.strangers or done.open else 0


if __name__ == "__main__":
    sys.exit(main())
