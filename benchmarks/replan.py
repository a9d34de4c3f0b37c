"""What it costs to plan every waiting journey of a sequence again, as activating it after a pause, a changed time, a moved
step and a new window do: against setting the same rows by one UPDATE in the same run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
from _common import folder, median, postgres, seconds, table

PEOPLE, TIMES = 20_000, 3


def measured(home: Path, url: str) -> list[tuple[object, ...]]:
    from outreach_sdk import Later, Sequence
    from tests.harness import House

    house = House(home, url)
    house.local()
    seq = Sequence.create("Plans", timezone="Europe/Madrid")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.add_email("Me again", "Hi", when=Later(days=3))
    seq.enroll(
        pl.DataFrame({"email": [f"p{n}@c.example" for n in range(PEOPLE)], "first_name": ["Ana"] * PEOPLE}),
    )
    first = seconds(seq.activate)
    store = house.engine.store

    def peer() -> None:
        with store.tx():
            store.write(
                "UPDATE journeys SET next_due_at = next_due_at + 1, priority = priority WHERE sequence_id = ?",
                seq.id,
            )

    def again() -> None:
        seq.deactivate()
        seq.activate()

    plans: dict[str, Callable[[], object]] = {
        "deactivate and activate": again,
        "edit_step(when=…)": lambda: seq.edit_step(1, when=Later(minutes=1)),
        "move_step": lambda: seq.move_step(2, 1),
        "a window": lambda: setattr(seq, "window", {"start": "09:00", "end": "17:00", "days": "mon-fri"}),
        "no window": lambda: setattr(seq, "window", None),
    }
    floor = median([seconds(peer) for _ in range(TIMES)])
    rows: list[tuple[object, ...]] = [("activate for the first time", first, first / floor)]
    for name, plan in plans.items():
        took = median([seconds(plan) for _ in range(TIMES)])
        rows.append((name, took, took / floor))
    rows.append(("the same rows by one UPDATE", floor, 1.0))
    house.close()
    return rows


def main() -> int:
    with folder() as where, postgres() as fresh:
        for name, url in (("SQLite", f"sqlite:///{Path(where) / 'a.db'}"), ("PostgreSQL", fresh())):
            table(
                f"{PEOPLE:,} journeys planned again, {name}",
                ("what", "seconds", "of one UPDATE"),
                measured(Path(where) / name, url),
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
