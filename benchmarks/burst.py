"""A burst of 100 people enrolled live on one mailbox by two sequences, the engine down for a while in the
middle: the gaps between what the mailbox accepted. Takes about six minutes with the spacing of 3 s."""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--spacing", type=float, default=3.0)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="burst-"))
    os.environ |= {
        "OUTREACH_HOME": str(home),
        "OUTREACH_STAGGER_SECONDS": str(given.spacing),
        "OUTREACH_WEB_PORT": "0",
    }
    import outreach_sdk as outreach
    from outreach_sdk import Mailbox, Sequence

    outreach.connect()
    box = Mailbox.connect_local("ana@example.com")
    outreach.up()
    began = time.monotonic()
    for half in range(2):
        seq = Sequence.create(f"Half {half}", mailbox=box, timezone="UTC")
        seq.add_email("Hello", "Hi")
        seq.activate()
        seq.enroll([{"Email": f"p{n}@c{n}.example"} for n in range(half, given.people, 2)])
    sent = home / "mail" / "ana@example.com" / ".Sent" / "cur"

    def count() -> int:
        return len(list(sent.iterdir())) if sent.is_dir() else 0

    limit = began + given.people * (given.spacing + 1) + 120
    paused = False
    while count() < given.people and time.monotonic() < limit:
        time.sleep(0.2)
        if not paused and count() >= given.people // 2:
            paused = True
            outreach.down()
            time.sleep(given.spacing * 4)
            outreach.up()
    outreach.down()
    times = sorted(os.stat(p).st_ctime for p in sent.iterdir())
    gaps = [b - a for a, b in itertools.pairwise(times)]
    print(f"sent {len(times)} of {given.people} in {time.monotonic() - began:.0f} s, the engine down once")
    print(f"gaps: least {min(gaps):.3f} s, median {statistics.median(gaps):.3f} s, most {max(gaps):.1f} s")
    good = len(times) == given.people and min(gaps) >= given.spacing - 0.05
    print("as promised" if good else "NOT as promised")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
