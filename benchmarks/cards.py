"""Cards of a workspace with 10,000 journeys in one sequence, half of them written to: how long each takes to be shown,
median of 9, on both databases."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from _common import databases, folder, median, seconds, table, verdict

PEOPLE, ROUNDS, LIMIT = 10_000, 9, 0.3


def crowd(house: Any) -> Any:
    """A sequence whose journeys are at every stage."""
    store, now = house.engine.store, house.engine.now()
    seq = house.two_steps(house.local())
    seq.enroll(house.people(PEOPLE))
    seq.activate()
    with store.tx():
        store.write(
            "INSERT INTO outbox (workspace_id, owner_id, journey_id, step_id, candidate_id, attempt, send_key, state, "
            "generation, journey_generation, priority, mailbox_id, recipient, subject, body_html, cc, bcc, tries, looks, "
            "due_at, sending_at, sent_at) SELECT j.workspace_id, j.owner_id, j.id, j.next_step_id, j.candidate_id, 1, "
            "'k' || j.id, 'sent', 1, 1, 2, j.lane, j.email, 'Hello', '<p>Hello</p>', '[]', '[]', 0, 0, "
            "CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT) FROM journeys j WHERE j.id % 2 = 0",
            now,
            now,
            now,
        )
        store.write(
            "UPDATE journeys SET status = 'cancelled', reason = 'replied', next_due_at = NULL, next_step_id = NULL "
            "WHERE id % 10 = 0"
        )
    if store.dialect == "postgresql":
        store.db.connection().execute("ANALYZE")
    return seq


def measure(home: Path, url: str) -> dict[str, float]:
    from outreach_sdk.objects.candidate import Candidate
    from outreach_sdk.objects.mailbox import Mailbox
    from outreach_sdk.objects.workspace import Workspace
    from tests.harness import House

    house = House(home, url)
    seq = crowd(house)
    person = "p2@candidate2.example"
    things = {
        "Sequence": seq,
        "Workspace": Workspace(house.session),
        "Mailbox": Mailbox.get("ada@agency.example"),
        "Journey": seq.journey(person),
        "Candidate": Candidate.get(person),
    }
    found = {}
    for name, thing in things.items():
        thing._repr_html_()
        found[name] = median([seconds(thing._repr_html_) for _ in range(ROUNDS)])
    house.close()
    return found


def main() -> int:
    rows: list[tuple[object, ...]] = []
    ok = True
    with folder() as where, databases() as kinds:
        for kind, fresh in kinds.items():
            for name, took in measure(where / kind, fresh()).items():
                ok = ok and took < LIMIT
                rows.append((f"{name}, {kind}", took * 1000, took / LIMIT, verdict(took < LIMIT)))
    table(f"Cards with {PEOPLE:,} journeys (limit {LIMIT * 1000:g} ms)", ("card", "ms", "of limit", ""), rows)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
