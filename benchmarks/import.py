"""A CSV of people with LinkedIn URLs through Sequence.import_csv, 100,000 and 1,000,000 rows, against the raw staged SQL
that writes the same people from the same file (read by polars). Each measurement in a process of its own, so that its
peak memory is its own.

    python benchmarks/import.py [--rows 100000 1000000] [--database sqlite postgresql]
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _common import databases, folder, table, verdict

RATIO, LEAST, MEMORY = 3.0, 20_000, 1024.0
HEADER = ("First Name", "Last Name", "Email Address", "URL", "Company", "Position", "Connected On")


def write_file(path: Path, rows: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(HEADER)
        writer.writerows(
            (
                f"Ana{n}", "Núñez", f"ana{n}@company{n % 997}.example", f"https://www.linkedin.com/in/ana-{n}/",
                f"Company {n % 997}", "Backend engineer", "24 Nov 2026",
            )
            for n in range(rows)
        )  # fmt: skip


def peak() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1024**2 if sys.platform == "darwin" else 1024)


def house_at(home: Path, url: str) -> tuple[Any, Any]:
    from tests.harness import House

    house = House(home, url)
    return house, house.two_steps(house.local())


def ours(home: Path, url: str, path: Path) -> dict[str, float]:
    from outreach_sdk.engine import imports

    house, seq = house_at(home, url)
    first: list[float] = []
    run = imports.run_import

    def watched(*given: Any, progress: Any, **more: Any) -> None:
        def told(n: int) -> None:
            first.append(time.perf_counter())
            progress(n)

        run(*given, progress=told, **more)

    imports.run_import = watched
    began = time.perf_counter()
    report = seq.import_csv(path)
    took = time.perf_counter() - began
    done = {"took": took, "first": first[0] - began, "enrolled": report.enrolled, "peak": peak()}
    house.close()
    return done


def raw(home: Path, url: str, path: Path) -> dict[str, float]:
    import polars as pl

    house, seq = house_at(home, url)
    store, now = house.engine.store, house.engine.now()
    mine = (house.session.workspace_id, house.session.user["id"])
    began = time.perf_counter()
    people = pl.read_csv(path, infer_schema=False).with_row_index("n", offset=1)
    with store.tx():
        store.write(
            "CREATE TEMPORARY TABLE staging (n BIGINT, first TEXT, last TEXT, email TEXT, url TEXT, company TEXT, "
            "title TEXT, since TEXT)"
        )
        connection = store.connection()
        if store.dialect == "sqlite":
            connection.executemany("INSERT INTO staging VALUES (?, ?, ?, ?, ?, ?, ?, ?)", people.rows())
        else:
            with connection.cursor() as cursor, cursor.copy("COPY staging FROM STDIN CSV") as copy:
                copy.write(people.write_csv(include_header=False))
        store.write(
            "INSERT INTO candidates (id, workspace_id, owner_id, first_name, last_name, company, title, linkedin, "
            'fields, source, created_at) SELECT n, ?, ?, first, last, company, title, url, \'{"connected_on": "\' || '
            "since || '\"}', '', CAST(? AS BIGINT) FROM staging ORDER BY n",
            *mine,
            now,
        )
        store.write(
            "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, invalid, source, "
            "created_at) SELECT ?, ?, n, email, 'work', ?, '', CAST(? AS BIGINT) FROM staging ORDER BY n "
            "ON CONFLICT (workspace_id, address) DO NOTHING",
            *mine,
            False,
            now,
        )
        store.write(
            "INSERT INTO journeys (workspace_id, owner_id, sequence_id, candidate_id, email, status, generation, "
            "last_rank, anchor_at, priority, thread_refs, enrolled_at) SELECT ?, ?, ?, n, email, 'pending', 0, -1e300, "
            "CAST(? AS BIGINT), 2, '[]', CAST(? AS BIGINT) FROM staging ORDER BY n "
            "ON CONFLICT (sequence_id, candidate_id) DO NOTHING",
            *mine,
            seq.id,
            now,
            now,
        )
        store.write(
            "INSERT INTO import_rows (import_id, row, email, outcome, reason) SELECT 1, n, email, 'enrolled', '' "
            "FROM staging ORDER BY n"
        )
    took = time.perf_counter() - began
    count = store.value("SELECT COUNT(*) FROM journeys WHERE sequence_id = ?", seq.id)
    done = {"took": took, "first": took, "enrolled": float(count), "peak": peak()}
    house.close()
    return done


def measured(which: str, home: Path, url: str, path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", which, str(home), url, str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=900,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--database", nargs="+", default=["sqlite", "postgresql"])
    given = parser.parse_args()
    rows: list[tuple[object, ...]] = []
    ok = True
    with folder() as where, databases() as kinds:
        for count in given.rows:
            path = where / f"{count}.csv"
            write_file(path, count)
            for kind in given.database:
                own = measured("ours", where / f"o{kind}{count}", kinds[kind](), path)
                plain = measured("raw", where / f"r{kind}{count}", kinds[kind](), path)
                assert own["enrolled"] == plain["enrolled"] == count, (own, plain)
                ratio, rate = own["took"] / plain["took"], count / own["took"]
                good = ratio <= RATIO and own["peak"] < MEMORY and (kind != "sqlite" or rate >= LEAST)
                ok = ok and good
                rows.append(
                    (
                        f"{kind}, {count:,}", own["took"], f"{rate:,.0f}", own["first"], f"{own['peak']:.0f}",
                        plain["took"], f"{plain['peak']:.0f}", ratio, verdict(good),
                    )
                )  # fmt: skip
    table(
        f"Importing a CSV (goals: {RATIO:g} times raw at most, {LEAST:,} rows/s on SQLite, under {MEMORY:,.0f} MiB)",
        ("what", "s", "rows/s", "first progress, s", "peak, MiB", "raw, s", "raw peak, MiB", "ratio", ""),
        rows,
    )
    return 0 if ok else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        which, home, url, path = sys.argv[2:]
        print(json.dumps((ours if which == "ours" else raw)(Path(home), url, Path(path))))
        sys.exit(0)
    sys.exit(main())
