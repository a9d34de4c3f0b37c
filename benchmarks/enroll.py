"""Enrolling 100,000 people through Sequence.enroll, against the fastest raw SQL that writes the same people,
addresses and journeys. Median of 3 each, in turns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from _common import databases, folder, median, seconds, table, verdict

ROWS, ROUNDS, LIMIT = 100_000, 3, 2.0

STAGING = "CREATE TEMPORARY TABLE staging (n BIGINT, first TEXT, last TEXT, company TEXT, email TEXT)"


def people(count: int, start: int) -> Any:
    import polars as pl

    numbers = range(start, start + count)
    return pl.DataFrame(
        {
            "First Name": [f"Ana{n}" for n in numbers],
            "Last Name": [f"Li{n}" for n in numbers],
            "Company": [f"Company {n % 997}" for n in numbers],
            "Email": [f"ana{n}@company{n % 997}.example" for n in numbers],
        }
    )


def fill(store: Any, people: Any) -> None:
    """The frame's rows in the staging table: executemany on SQLite, COPY of the frame's own CSV on PostgreSQL."""
    numbered = people.with_row_index("n", offset=1)
    connection = store.connection()
    if store.dialect == "sqlite":
        connection.executemany("INSERT INTO staging VALUES (?, ?, ?, ?, ?)", numbered.rows())
        return
    with connection.cursor() as cursor, cursor.copy("COPY staging FROM STDIN CSV") as copy:
        copy.write(numbered.write_csv(include_header=False))


def raw(house: Any, sequence_id: int, people: Any) -> None:
    """Stage, then one INSERT … SELECT each for candidates, addresses and journeys."""
    store, now = house.engine.store, house.engine.now()
    mine = (house.session.workspace_id, house.session.user["id"])
    with store.tx():
        store.write(STAGING)
        fill(store, people)
        top = int(store.value("SELECT COALESCE(MAX(id), 0) FROM candidates"))
        store.write(
            "INSERT INTO candidates (id, workspace_id, owner_id, first_name, last_name, company, title, fields, "
            "source, created_at) SELECT CAST(? AS BIGINT) + n, ?, ?, first, last, company, '', '{}', '', "
            "CAST(? AS BIGINT) FROM staging ORDER BY n",
            top,
            *mine,
            now,
        )
        store.write(
            "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, invalid, source, "
            "created_at) SELECT ?, ?, CAST(? AS BIGINT) + n, email, 'work', ?, '', CAST(? AS BIGINT) FROM staging "
            "ORDER BY n ON CONFLICT (workspace_id, address) DO NOTHING",
            *mine,
            top,
            False,
            now,
        )
        store.write(
            "INSERT INTO journeys (workspace_id, owner_id, sequence_id, candidate_id, email, status, generation, "
            "last_rank, anchor_at, priority, thread_refs, enrolled_at) SELECT ?, ?, ?, CAST(? AS BIGINT) + n, email, "
            "'pending', 0, -1e300, CAST(? AS BIGINT), 2, '[]', CAST(? AS BIGINT) FROM staging ORDER BY n "
            "ON CONFLICT (sequence_id, candidate_id) DO NOTHING",
            *mine,
            sequence_id,
            top,
            now,
            now,
        )
        if store.dialect == "postgresql":
            store.write("SELECT setval('candidates_id_seq', ?)", top + people.height)
        store.write("DROP TABLE staging")


def measure(home: Path, url: str) -> tuple[float, float]:
    from tests.harness import House

    house = House(home, url)
    box = house.local()
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(ROUNDS):
        frame = people(ROWS, 2 * turn * ROWS)
        seq = house.two_steps(box)
        ours.append(seconds(lambda s=seq, f=frame: s.enroll(f)))
        plain = house.two_steps(box)
        frame = people(ROWS, (2 * turn + 1) * ROWS)
        theirs.append(seconds(lambda s=plain, f=frame: raw(house, s.id, f)))
        count = "SELECT COUNT(*) FROM journeys WHERE sequence_id = ?"
        assert [house.engine.store.value(count, s.id) for s in (seq, plain)] == [ROWS, ROWS]
    house.close()
    return median(ours), median(theirs)


def main() -> int:
    rows: list[tuple[object, ...]] = []
    ok = True
    with folder() as where, databases() as kinds:
        for kind, fresh in kinds.items():
            ours, theirs = measure(where / kind, fresh())
            ratio = ours / theirs
            ok = ok and ratio <= LIMIT
            rows.append(
                (kind, ours, theirs, ROWS / ours, ratio, f"{verdict(ratio <= LIMIT)} (limit {LIMIT:g})")
            )
    table(
        f"Enrolling {ROWS:,} people, median of {ROUNDS}",
        ("database", "enroll, s", "raw SQL, s", "people/s", "ratio", ""),
        rows,
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
