"""Backups put back where they came from, and a clock that can't do its work: nothing leaves twice, and people are told."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from outreach_sdk import jobs
from outreach_sdk.engine import dispatch
from outreach_sdk.engine.identity import check_identity, note_seen
from outreach_sdk.errors import StorageError
from outreach_sdk.objects.engine import out_of_step
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import open_session, use
from outreach_sdk.storage.store import open_store
from tests.acceptance.scenarios import NoWake, go
from tests.harness import ROOT, House, wait_until


def run_for_a_day(house: House) -> None:
    """Its clock is seen, a day later once more."""
    dispatch.start_clock(house.engine)
    note_seen(house.engine, house.home)
    later = house.engine.now() + dt.timedelta(days=1)
    house.engine.now = lambda: later
    go(house)
    note_seen(house.engine, house.home)


@pytest.mark.rule(14)
@pytest.mark.failure("outage or restored database fires long-past sends at once")
def test_a_home_that_is_put_back_whole_starts_disarmed(plain: House, tmp_path: Path) -> None:
    seq = plain.two_steps(plain.local())
    seq.enroll(plain.people(2))
    dispatch.start_clock(plain.engine)
    assert check_identity(plain.engine, plain.home) is None
    note_seen(plain.engine, plain.home)
    plain.engine.store.close()
    shutil.copytree(plain.home, tmp_path / "backup")
    run_for_a_day(plain)
    seq.activate()
    assert dispatch.drain_sends(plain.engine, threads=1)["sent"] >= 2
    plain.close()
    # As `cp -a backup/. home/` does it: the same files, their marks among them, with what was in them then.
    (plain.home / "seen.json").write_bytes((tmp_path / "backup" / "seen.json").read_bytes())
    with (
        closing(sqlite3.connect(tmp_path / "backup" / "db.sqlite")) as kept,
        closing(sqlite3.connect(plain.home / "db.sqlite")) as there,
    ):
        kept.backup(there)
    session = use(open_session(plain.settings))
    session.engine.now = plain.engine.now
    assert "rolled back" in (check_identity(session.engine, plain.home) or "")
    Sequence(seq.id, session).activate()
    assert dispatch.drain_sends(session.engine, threads=1) == {}
    session.store.close()


@pytest.mark.rule(14)
def test_another_database_made_at_the_same_place_is_none_that_was_rolled_back(tmp_path: Path) -> None:
    for _ in range(2):
        home = tmp_path / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        house = House(home, f"sqlite:///{home / 'db.sqlite'}")
        assert check_identity(house.engine, home) is None
        run_for_a_day(house)
        house.close()


@pytest.mark.rule(14)
@pytest.mark.failure("outage or restored database fires long-past sends at once")
def test_a_dump_put_back_into_the_same_database_starts_disarmed(tmp_path: Path, postgres_url: str) -> None:
    house = House(tmp_path / "home", postgres_url)
    assert check_identity(house.engine, house.home) is None
    with house.engine.store.tx():  # as `pg_dump --clean` makes its tables anew
        for sql in (
            "ALTER TABLE installation RENAME TO dumped",
            "CREATE TABLE installation (LIKE dumped INCLUDING DEFAULTS)",
            "INSERT INTO installation SELECT * FROM dumped",
            "DROP TABLE dumped CASCADE",
        ):
            house.engine.store.write(sql)
    assert "copy" in (check_identity(house.engine, house.home) or "")
    house.close()


@pytest.mark.rule(14)
def test_a_postgresql_database_that_was_rolled_back_starts_disarmed(
    tmp_path: Path, postgres_url: str
) -> None:
    house = House(tmp_path / "home", postgres_url)
    assert check_identity(house.engine, house.home) is None
    dispatch.start_clock(house.engine)
    before = house.engine.store.value("SELECT clock_seen_at FROM installation")
    run_for_a_day(house)
    assert check_identity(house.engine, house.home) is None
    house.engine.store.write("UPDATE installation SET clock_seen_at = ?", before)
    assert "rolled back" in (check_identity(house.engine, house.home) or "")
    house.close()


# -- the clock ---------------------------------------------------------------------------------
def run_a_clock(house: House, ticks: jobs.Ticks, said: list[str]) -> tuple[threading.Thread, threading.Event]:
    stop = threading.Event()
    clock = threading.Thread(
        target=jobs.run_clock, args=(house.engine, NoWake(), stop, 0.05, said.append, ticks), daemon=True
    )
    clock.start()
    return clock, stop


def test_a_clock_whose_marks_cant_be_kept_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = house.home / "a file"
    lost.write_text("")
    for name, value in house.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OUTREACH_HOME", str(lost / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(lost / "state"))
    ticks, said = jobs.Ticks(), list[str]()
    store = house.engine.store
    clock, stop = run_a_clock(house, ticks, said)
    try:
        wait_until(lambda: store.value("SELECT clock_seen_at FROM installation") is not None)
        first = store.value("SELECT clock_seen_at FROM installation")
        wait_until(lambda: store.value("SELECT clock_seen_at FROM installation") > first)
    finally:
        stop.set()
        clock.join(10)
    assert (said, ticks.trouble()) == ([], None)


def test_a_clock_that_cant_do_its_work_says_so_where_people_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in house.env.items():
        monkeypatch.setenv(name, value)
    seq = house.two_steps(house.local())
    seq.enroll(house.people(1))
    seq.activate()

    def refuse(*_: object, **__: object) -> None:
        raise StorageError("The disk is full")

    monkeypatch.setattr(dispatch, "tick", refuse)
    ticks, said = jobs.Ticks(), list[str]()
    clock, stop = run_a_clock(house, ticks, said)
    beating = [
        jobs.Beating(house.engine, "send", every=0.05),
        jobs.Beating(house.engine, "clock", every=0.05, trouble=ticks.trouble),
    ]
    try:
        wait_until(lambda: "The disk is full" in str(seq.notice))
    finally:
        stop.set()
        clock.join(10)
        for beats in beating:
            beats.end()
    assert "tick: The disk is full" in said


def test_a_machine_whose_clock_is_out_of_step_is_told(tmp_path: Path, postgres_url: str) -> None:
    house = House(tmp_path / "home", postgres_url)
    assert out_of_step(house.session) is None
    really = house.engine.now
    house.engine.now = lambda: really() - dt.timedelta(seconds=20)
    assert "20 s behind the database's. Set it right (NTP)" in str(out_of_step(house.session))
    house.engine.now = really
    house.close()


@pytest.mark.parametrize("words", ["clock", "worker send", "web"])
def test_an_older_package_refuses_a_newer_database(house: House, words: str) -> None:
    store = open_store(house.url)
    store.write("INSERT INTO schema_migrations (number, name, applied_at) VALUES (999, '0999_later', 0)")
    store.close()
    done = subprocess.run(
        [sys.executable, "-m", "outreach_sdk.cli", *words.split()],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done
    assert "made by a newer version of outreach-sdk. Upgrade the package" in done.stderr
    assert "Traceback" not in done.stderr
