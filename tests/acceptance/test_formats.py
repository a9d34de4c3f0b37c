"""Any file a recruiter drops on it, and out again."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from outreach_sdk.engine import dispatch, imports, sync
from outreach_sdk.errors import ImportRefused, InvalidInput
from outreach_sdk.objects.sequence import Sequence
from tests.acceptance.scenarios import provider_of
from tests.harness import House

PEOPLE = pl.DataFrame(
    {
        "First Name": ["Ana", "Zoë", "=cmd()"],
        "Last Name": ["Silva", "Żak", "O'Neil"],
        "E-Mail": ["ana@x1.example", "zoe@x2.example", "neil@x3.example"],
        "Mobile": ["+34 600 111 222", None, "+44 20 7946 0958"],
        "Team": ["Data", "Ops", None],
    }
)


def written(kind: str, folder: Path) -> Path:
    """The people as a file of this kind."""
    import xlsxwriter

    path = folder / f"people.{kind}"
    match kind:
        case "xlsx":
            with xlsxwriter.Workbook(str(path)) as book:
                book.add_worksheet("Notes")
                page = book.add_worksheet("Candidates")
                page.write_row(0, 0, ["Export of 24 November"])
                page.write_row(2, 0, PEOPLE.columns)
                for n, row in enumerate(PEOPLE.rows()):
                    page.write_row(3 + n, 0, ["" if v is None else v for v in row], book.add_format())
        case "parquet":
            PEOPLE.write_parquet(path)
        case "jsonl":
            PEOPLE.write_ndjson(path)
        case "json":
            path.write_text(json.dumps(PEOPLE.to_dicts()), encoding="utf-8-sig")
        case "tsv":
            PEOPLE.write_csv(path, separator="\t")
    return path


@pytest.mark.rule(20)
@pytest.mark.parametrize("kind", ["xlsx", "parquet", "jsonl", "json", "tsv"])
@pytest.mark.parametrize("wait", [True, False])
def test_people_come_in_from_every_kind_of_file(house: House, tmp_path: Path, kind: str, wait: bool) -> None:
    house.local()
    seq = Sequence.create("Files", timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "You are in {{ team }}.")
    report = seq.import_csv(written(kind, tmp_path), wait=wait)
    if not wait:
        imports.drain_imports(house.engine)  # by a worker, from its own copy
    assert report.enrolled == 3
    first = seq.preview("ana@x1.example").to_dicts()[0]
    assert (first["subject"], first["text"]) == ("Hello Ana", "You are in Data.")
    assert seq.preview("neil@x3.example")["missing"].to_list() == ["team"]


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.xlsx", b"not a workbook", "can't be read"),
        ("p.parquet", b"PAR1 but not really", "can't be read"),
        ("p.jsonl", b'{"Email": "a@b.example"}\n{oops', "line 2"),
        ("p.jsonl", b'["a@b.example"]', "object"),
        ("p.json", b"\xff\xfe\x00", "UTF-8"),
        ("p.jsonl", b'{"Name": "Ana"}', "mapping"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(
    house: House, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    seq = Sequence.create("Files", timezone="UTC")
    with pytest.raises(ImportRefused, match=says):
        seq.enroll(path)
    assert house.engine.store.value("SELECT COUNT(*) FROM imports WHERE state = 'done'") == 0


@pytest.mark.rule(24)
@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet", "jsonl"])
def test_what_is_exported_imports_again(house: House, tmp_path: Path, kind: str) -> None:
    seq = Sequence.create("Out", timezone="UTC")
    seq.enroll(PEOPLE)
    path = seq.export(tmp_path / f"out.{kind}")
    if kind == "csv":
        assert "'=cmd()" in path.read_text(encoding="utf-8"), "a spreadsheet must not run it"
    again = Sequence.create("In", timezone="UTC")
    assert again.enroll(path).enrolled == 3
    assert sorted(again.candidates()["name"]) == ["=cmd() O'Neil", "Ana Silva", "Zoë Żak"]
    back = pl.DataFrame(again.preview("ana@x1.example"))
    assert back.height == 0, "no steps yet"
    again.add_email("Hi", "{{ team }}: {{ phone }}")
    assert again.preview("ana@x1.example")["text"].to_list() == ["Data: +34600111222"]
    with pytest.raises(InvalidInput, match="xlsx"):
        seq.export(tmp_path / "out.docx")


@pytest.mark.rule(24)
def test_messages_journeys_and_events_come_out_too(house: House, tmp_path: Path) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    provider_of(house).deliver_reply(provider_of(house).ledger()[0], "@SUM(A1) sounds good")
    sync.poll_mailbox(house.engine, box.id)
    read = {
        w: pl.read_parquet(seq.export(tmp_path / f"{w}.parquet", w))
        for w in ("messages", "journeys", "events")
    }
    assert read["messages"]["direction"].to_list() == ["out", "out", "in"]
    assert read["messages"]["at"].dtype == pl.Datetime("us", "UTC")
    assert read["journeys"].filter(pl.col("step") == 1)["step_status"].to_list() == ["sent", "sent"]
    assert "replied" in read["events"]["kind"].to_list()
    assert "'@SUM" in seq.export(tmp_path / "m.csv", "messages").read_text(encoding="utf-8")
    assert seq.export(tmp_path / "m.xlsx", "messages").stat().st_size > 1000
    with pytest.raises(InvalidInput, match="messages"):
        seq.export(tmp_path / "m.csv", "secrets")
