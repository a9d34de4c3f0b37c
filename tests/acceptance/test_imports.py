"""Imports: nothing twice, nothing lost, every row by name, whoever runs them and whoever dies."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from outreach_sdk import jobs
from outreach_sdk.engine import dispatch, imports, people
from outreach_sdk.engine.context import Engine
from outreach_sdk.errors import ImportRefused, NotReady
from outreach_sdk.objects.sequence import Sequence
from tests.harness import ROOT, House, wait_until

PEOPLE = 45


def write(path: Path, count: int = PEOPLE) -> Path:
    rows = [f"P{n};Li;p{n}@candidate{n}.example;Team {n % 3}" for n in range(count)]
    path.write_text("\n".join(["Vorname;Nachname;E-Mail;Team", *rows]) + "\n", encoding="cp1252")
    return path


def later(house: House, by: dt.timedelta) -> Engine:
    return dataclasses.replace(house.engine, now=lambda: dt.datetime.now(dt.UTC) + by)


def die_after(house: House, seq: Sequence, path: Path, chunks: int) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
    env["OUTREACH_FAILPOINT"] = f"import_chunk:{chunks}"
    command = [sys.executable, "-m", "tests.import_main", str(seq.id), str(path)]
    done = subprocess.run(command, cwd=ROOT, env=env, timeout=300, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr[-2000:]


@pytest.mark.rule(20)
def test_an_import_whose_process_was_killed_is_finished_by_a_worker_where_it_stopped(
    house: House, tmp_path: Path
) -> None:
    seq = house.two_steps(house.local())
    path = write(tmp_path / "people.csv")
    die_after(house, seq, path, chunks=2)
    assert seq.candidates().height == 20
    path.write_text("Email\nsomebody@else.example\n")  # the import has its own copy

    assert imports.drain_imports(house.engine) == 0, "its lease still runs"
    assert imports.drain_imports(later(house, imports.LEASE + dt.timedelta(seconds=1))) == 1

    emails = [seq.journey(f"p{n}@candidate{n}.example").steps.height for n in range(PEOPLE)]
    assert len(emails) == PEOPLE == seq.candidates().height
    store = house.engine.store
    done = store.rows("SELECT row, outcome FROM import_rows ORDER BY row")
    assert [r["row"] for r in done] == list(range(1, PEOPLE + 1))
    assert Counter(r["outcome"] for r in done) == {"enrolled": PEOPLE}
    assert store.value("SELECT state FROM imports") == "done"
    assert store.value("SELECT COUNT(*) FROM import_parts") == 0


def test_whoever_wakes_after_another_took_over_enrols_nobody(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "CHUNK", 10)
    seq = house.two_steps(house.local())
    path = write(tmp_path / "people.csv")
    table = people.open_table(path)
    row = house.engine.store.one("SELECT * FROM sequences WHERE id = ?", seq.id)
    assert row is not None
    options = {"paused": False, "override": [], "mapping": table.mapping}
    import_id, holder = imports.new_import(
        house.engine, row, 1, "people.csv", options, parts=people.file_parts(path)
    )

    def asleep(_: int) -> None:
        assert imports.drain_imports(later(house, imports.LEASE * 2)) == 1

    with pytest.raises(imports.TakenOver):
        imports.run_import(house.engine, import_id, holder, table, progress=asleep)
    assert imports.counts(house.engine.store, import_id) == {"enrolled": PEOPLE}
    assert seq.candidates().height == PEOPLE


@pytest.mark.rule(20)
def test_nobody_waits_for_an_import_handed_to_the_workers(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = house.two_steps(house.local())
    path = write(tmp_path / "people.csv")
    report = seq.import_csv(path, wait=False, mapping={"company": "Team"})
    path.unlink()
    assert not report.done
    assert report.enrolled == 0
    assert "still going on" in repr(report)
    with pytest.raises(NotReady):
        report.wait(timeout=0)

    dispatch.tick(house.engine, wake := Wake())
    assert "bulk" in wake.asked
    monkeypatch.setattr(jobs, "shared_engine", lambda: house.engine)
    assert jobs.drain_imports() == 1

    assert report.wait(timeout=5).enrolled == PEOPLE
    assert report.rows.columns == ["row", "email", "outcome", "reason"]
    assert seq.candidates().height == PEOPLE
    assert house.engine.store.value("SELECT company FROM candidates ORDER BY id LIMIT 1") == "Team 0"


class Wake:
    """What the clock asks workers to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def enqueue(self, queue: str, *_: object) -> int:
        self.asked.append(queue)
        return 1


def test_an_import_that_cannot_go_on_says_why(house: House, tmp_path: Path) -> None:
    seq = house.two_steps(house.local())
    report = seq.import_csv(write(tmp_path / "people.csv"), wait=False)
    store = house.engine.store
    store.write("UPDATE import_parts SET data = ?", b"Name;City\nBo;Madrid\n")
    imports.drain_imports(house.engine)
    with pytest.raises(ImportRefused, match="mapping"):
        report.wait(timeout=5)
    assert store.value("SELECT COUNT(*) FROM import_parts") == 0
    assert imports.drain_imports(house.engine) == 0


@pytest.mark.rule(21)
def test_one_person_in_many_rows_and_two_chunks_is_one_candidate(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "CHUNK", 3)
    seq = house.two_steps(house.local())
    rows = [
        {"Email": "bo@b.example", "LinkedIn": "linkedin.com/in/bo-li", "First Name": ""},
        {"Email": "BO@b.example ", "LinkedIn": "", "First Name": "Bo"},
        {"Email": "", "LinkedIn": "https://www.linkedin.com/in/Bo-Li/", "First Name": "Bo"},
        {"Email": "bo@home.example", "LinkedIn": "linkedin.com/in/bo-li", "First Name": "Bo"},
        {"Email": "bo@b.example", "LinkedIn": "", "First Name": "Bo"},
        {"Email": "eva@b.example", "LinkedIn": "", "First Name": "Eva"},
    ]
    report = seq.enroll(rows)
    # The fourth, in another chunk, tells of an address of bo's that wasn't known.
    told = ["enrolled", "duplicate", "duplicate", "updated", "duplicate", "enrolled"]
    assert report.rows["outcome"].to_list() == told
    assert house.engine.store.value("SELECT COUNT(*) FROM candidates") == 2
    again = Sequence.create("Another").enroll(rows)
    assert again.rows["outcome"].to_list() == ["enrolled", *["duplicate"] * 4, "enrolled"]
    assert house.engine.store.value("SELECT COUNT(*) FROM candidates") == 2


@pytest.mark.rule(21)
def test_the_suppressed_are_held_back_and_not_even_kept(house: House) -> None:
    store = house.engine.store
    for kind, value in (("address", "bo@b.example"), ("domain", "acme.example")):
        store.insert(
            "suppressions",
            {
                "workspace_id": house.session.workspace_id,
                "owner_id": 1,
                "kind": kind,
                "value": value,
                "reason": "asked",
                "source": "by hand",
                "created_at": house.engine.now(),
            },
        )
    seq = house.two_steps(house.local())
    people_given = [{"Email": e} for e in ("bo@b.example", "x@acme.example", "eva@b.example")]
    dry = seq.enroll(people_given, dry_run=True)
    assert (dry.enrolled, dry.held_back) == (1, 2)
    assert store.value("SELECT COUNT(*) FROM imports") == 0
    assert store.value("SELECT COUNT(*) FROM candidates") == 0
    report = seq.enroll(people_given)
    assert report.rows["reason"].to_list() == ["suppressed", "suppressed", None]
    assert store.value("SELECT COUNT(*) FROM candidates") == 1


def test_two_notebooks_that_enrol_the_same_people_at_once_make_each_person_once(house: House) -> None:
    import threading

    first, second = house.two_steps(house.local()), house.two_steps(house.local())
    crowd = house.people(400)
    gate = threading.Barrier(2)
    failures: list[BaseException] = []

    def run(seq: Sequence) -> None:
        try:
            gate.wait(10)
            seq.enroll(crowd)
        except BaseException as exc:
            failures.append(exc)
        finally:
            house.engine.store.idle()

    threads = [threading.Thread(target=run, args=(s,)) for s in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert house.engine.store.value("SELECT COUNT(*) FROM candidates") == 400
    assert [first.candidates().height, second.candidates().height] == [400, 400]
    wait_until(lambda: house.engine.store.value("SELECT COUNT(*) FROM candidate_emails") == 400)


@pytest.mark.rule(20)
def test_a_quotation_mark_left_open_far_down_is_told_before_anybody_is_enrolled(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "CHUNK", 10)
    seq = house.two_steps(house.local())
    path = write(tmp_path / "people.csv", 2 * PEOPLE)
    text = path.read_text(encoding="cp1252")
    path.write_text(text.replace("example;Team 2\nP72;", 'example;"Team 2\nP72;'), encoding="cp1252")
    for enrol in (
        lambda: seq.enroll(path),
        lambda: seq.enroll(path, dry_run=True),
        lambda: seq.import_csv(path),
        lambda: seq.import_csv(path, wait=False),
    ):
        with pytest.raises(ImportRefused, match="line 73"):
            enrol()
    assert seq.candidates().height == 0
    assert house.engine.store.value("SELECT COUNT(*) FROM imports") == 0

    path.write_text(
        text.replace("example;Team 2\nP72;", 'example;"Team 2,\nMadrid"\nP72;'), encoding="cp1252"
    )
    assert seq.enroll(path).enrolled == 2 * PEOPLE


@pytest.mark.rule(20)
def test_the_report_says_which_encoding_was_guessed_and_names_the_rows_it_could_not_read(
    house: House, tmp_path: Path
) -> None:
    seq = house.two_steps(house.local())
    path = tmp_path / "people.csv"
    names = ["Łukasz;Żak", "Paweł;Wiśniewski", "Jan;Dąbrowski"] * 8
    rows = [f"{name};p{n}@c.example" for n, name in enumerate(names)]
    path.write_bytes("\r\n".join(["First Name;Last Name;Email", *rows]).encode("cp1250"))
    for report in (seq.enroll(path, dry_run=True), seq.import_csv(path)):
        assert report.enrolled == len(names)
        assert "cp1250" in (report.notice or "")
    assert "Łukasz Żak" in seq.candidates()["name"].to_list()

    lost = "Zoë;Żak;z@c.example\nPawe".encode() + b"\x81;Nowak;lost@c.example\n"
    path.write_bytes(b"First Name;Last Name;Email\nBo;Li;bo@c.example\n" + lost)
    report = seq.enroll(path)
    assert report.rows["outcome"].to_list() == ["enrolled", "enrolled", "rejected"]
    assert report.rows["email"].to_list()[-1] == "lost@c.example"
    assert "encoding" in report.rows["reason"].to_list()[-1]
    assert "UTF-8" in (report.notice or "")


def test_a_row_whose_time_zone_is_none_is_enrolled_and_told(house: House) -> None:
    seq = house.two_steps(house.local())
    report = seq.enroll([{"Email": "m@c.example", "Timezone": "Mars/X"}, {"Email": "b@c.example"}])
    assert report.rows["outcome"].to_list() == ["enrolled", "enrolled"]
    assert "Mars/X" in report.rows["reason"].to_list()[0]
    assert report.rows["reason"].to_list()[1] is None
