"""What PostgreSQL's own wall costs a notebook: the reads of one who has 50,000 journeys among 250,000, by a key and by a
role of their own; and how long a call takes that a worker carries out, against the same call by a key."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _common import folder, median, postgres, seconds, table

MINE, OTHERS, TIMES, CALLS = 50_000, 200_000, 7, 30


def fill(house: Any, user: int, sequence: int, step: int, count: int) -> None:
    """`count` journeys of a user's, each with an e-mail sent, a tenth answered."""
    store, now = house.engine.store, house.engine.now() - dt.timedelta(days=3)
    top = int(store.value("SELECT COALESCE(MAX(id), 0) FROM candidates"))
    ws = house.session.workspace_id
    with store.tx():
        store.write(
            "INSERT INTO candidates (workspace_id, owner_id, first_name, last_name, company, title, fields, source, "
            "created_at) SELECT ?, ?, 'P' || n, 'Li', 'Acme', '', '{}', '', ? FROM generate_series(1, ?) n",
            ws, user, now, count,
        )  # fmt: skip
        store.write(
            "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, invalid, source, created_at) "
            "SELECT workspace_id, owner_id, id, 'p' || id || '@c.example', 'work', FALSE, '', created_at FROM candidates "
            "WHERE id > ?",
            top,
        )
        store.write(
            "INSERT INTO journeys (workspace_id, owner_id, sequence_id, candidate_id, email, status, generation, last_rank, "
            "anchor_at, priority, thread_refs, enrolled_at) SELECT workspace_id, owner_id, ?, id, 'p' || id || '@c.example', "
            "'completed', 1, 1, created_at, 2, '[]', created_at FROM candidates WHERE id > ?",
            sequence, top,
        )  # fmt: skip
        store.write(
            "INSERT INTO outbox (workspace_id, owner_id, journey_id, step_id, candidate_id, attempt, send_key, state, "
            "generation, journey_generation, priority, mailbox_id, recipient, cc, bcc, tries, looks, due_at, sent_at) "
            "SELECT workspace_id, owner_id, id, ?, candidate_id, 1, 'k' || id, 'sent', 4, 1, 2, 1, email, '[]', '[]', 0, 0, "
            "enrolled_at, enrolled_at FROM journeys WHERE sequence_id = ?",
            step, sequence,
        )  # fmt: skip
        store.write(
            "INSERT INTO inbound (workspace_id, owner_id, mailbox_id, provider_message_id, journey_id, candidate_id, "
            "sender, subject, body_text, kind, received_at) SELECT workspace_id, owner_id, 1, 'm' || id, id, candidate_id, "
            "email, 'Re', 'Yes', 'human', enrolled_at FROM journeys WHERE sequence_id = ? AND id % 10 = 0",
            sequence,
        )


def analysed(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def main() -> int:
    import outreach_sdk as outreach
    from outreach_sdk import Candidate, Sequence
    from outreach_sdk.objects import session as sessions
    from tests.acceptance.scenarios import colleague
    from tests.acceptance.walls import behind, carrying
    from tests.harness import House

    with folder() as where, postgres() as fresh:
        url = fresh()
        house = House(Path(where) / "home", url)
        key = colleague(house, "bea", key="bea")
        sessions.use(house.session)
        others = Sequence.create("Others", timezone="UTC")
        others.add_email("Hi", "Hello")
        sessions.use(key)
        mine = Sequence.create("Mine", timezone="UTC")
        mine.add_email("Hi", "Hello")
        fill(house, house.session.user["id"], others.id, 1, OTHERS)
        fill(house, key.user["id"], mine.id, 2, MINE)
        analysed(url)
        role = behind(house, "bea")
        reads: dict[str, Callable[[], object]] = {
            "sequences()": outreach.sequences,
            "a sequence's card": lambda: Sequence.get("Mine")._repr_html_(),
            "seq.stats()": lambda: Sequence.get("Mine").stats(),
            "inbox()": outreach.inbox,
            "a journey's messages": lambda: Sequence.get("Mine").journey("p200001@c.example").messages,
            "Candidate.find('p2000')": lambda: Candidate.find("p2000"),
            "tasks()": outreach.tasks,
        }
        rows: list[tuple[object, ...]] = []
        for name, read in reads.items():
            took = {}
            for session in (key, role):
                sessions.use(session)
                read()
                took[session.walled] = median([seconds(read) for _ in range(TIMES)])
            rows.append((name, took[False] * 1e3, took[True] * 1e3, took[True] / took[False]))
        table(
            f"Reads, {MINE:,} of {MINE + OTHERS:,} journeys one's own",
            ("read", "key, ms", "role, ms", "ratio"),
            rows,
        )
        with carrying(house):
            took = {}
            for session in (key, role):
                sessions.use(session)
                seq = Sequence.get("Mine")
                took[session.walled] = median(
                    [seconds(lambda s=seq: setattr(s, "name", "Mine")) for _ in range(CALLS)]
                )
        table(
            "A call that changes something",
            ("way", "ms"),
            [("by key", took[False] * 1e3), ("by role, a waiting worker carries it out", took[True] * 1e3)],
        )
        role.engine.store.close()
        house.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
