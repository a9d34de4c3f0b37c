"""Files, arguments and texts as people really have them: taken as they are meant, or refused in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import outreach_sdk as outreach
from outreach_sdk.cli import main
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import ImportRefused, InvalidInput
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.enrichment import Enrichment
from outreach_sdk.objects.sequence import Sequence
from tests.harness import ROOT, House, sent_files


def draft(house: House, name: str = "Open roles") -> Sequence:
    seq = Sequence.create(name, mailbox=house.local())
    seq.add_email("Hello", "Hi")
    return seq


def addresses(seq: Sequence) -> list[str]:
    return sorted(str(email) for email in seq.candidates()["email"])


@pytest.mark.rule(20)
@pytest.mark.parametrize("mapping", [None, {"email": "bo@x.example"}])
def test_a_file_without_a_header_loses_nobody(house: House, tmp_path: Path, mapping: Any) -> None:
    seq, path = draft(house), tmp_path / "people.csv"
    path.write_text("Bo,Li,bo@x.example\nCy,Oz,cy@x.example\n")
    with pytest.raises(ImportRefused, match="write a line like First Name, Last Name, Email above it"):
        seq.import_csv(path, mapping=mapping)
    assert addresses(seq) == []
    path.write_text("First Name,Last Name,Email\n" + path.read_text())
    seq.import_csv(path)
    assert addresses(seq) == ["bo@x.example", "cy@x.example"]


@pytest.mark.rule(20)
def test_rows_with_more_cells_than_the_header_are_people_all_the_same(house: House, tmp_path: Path) -> None:
    seq, path = draft(house), tmp_path / "people.csv"
    path.write_text("First Name,Email\nBo,bo@x.example,extra,more\nCy,cy@x.example\n")
    seq.import_csv(path)
    assert addresses(seq) == ["bo@x.example", "cy@x.example"]


@pytest.mark.rule(20)
@pytest.mark.parametrize("quote", ['"', ""])
def test_a_whole_cv_in_a_cell(house: House, tmp_path: Path, quote: str) -> None:
    seq, path = draft(house), tmp_path / "people.csv"
    text = "Ten years at sea. " * 20_000
    path.write_text(f"Email,CV\nbo@x.example,{quote}{text}{quote}\ncy@x.example,short\n")
    seq.import_csv(path)
    assert addresses(seq) == ["bo@x.example", "cy@x.example"]
    path.write_text(f"Email,CV\ndi@x.example,{'x' * 17_000_000}\n")
    with pytest.raises(ImportRefused, match="over 16 MiB"):
        seq.import_csv(path)


@pytest.mark.rule(20, 22)
@pytest.mark.parametrize("headers", ["Name,Email,Email", "Name,Work Email,Personal Email"])
def test_whoever_has_only_a_second_address_is_written_to_there(
    house: House, tmp_path: Path, headers: str
) -> None:
    seq, path = draft(house), tmp_path / "people.csv"
    path.write_text(f"{headers}\nBo,,bo@home.example\nCy,cy@x.example,cy@home.example\nDi,  ,\n")
    report = seq.import_csv(path)
    assert addresses(seq) == ["bo@home.example", "cy@x.example"]
    assert (report.enrolled, report.rejected) == (2, 1)


@pytest.mark.rule(20)
def test_of_several_addresses_in_a_cell_the_first_is_taken_and_told(house: House, tmp_path: Path) -> None:
    seq, path = draft(house), tmp_path / "people.csv"
    path.write_text(
        'Name,Email\nBo,"bo@x.example, bo@home.example"\nCy,cy@x.example;CY@x.example\nDi,di@x.example\n'
    )
    report = seq.import_csv(path)
    assert addresses(seq) == ["bo@x.example", "cy@x.example", "di@x.example"]
    assert report.rows["reason"].to_list() == ["of 2 addresses the first was taken", None, None]


def test_nobody_to_enrol_is_said_so(house: House) -> None:
    with pytest.raises(ImportRefused, match="no rows"):
        draft(house).enroll([])


WRONG: dict[str, Callable[[Sequence], Any]] = {
    "shortlist": lambda seq: seq.link("Engineers"),  # type: ignore[arg-type]
    "path": lambda seq: seq.export(None),  # type: ignore[arg-type]
    "user": lambda seq: seq.share(None),  # type: ignore[arg-type]
    "people": lambda seq: Enrichment.run(None),  # type: ignore[arg-type]
    "home": lambda seq: outreach.connect(home=5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("field", WRONG)
def test_what_is_of_the_wrong_kind_is_named(house: House, field: str) -> None:
    with pytest.raises(InvalidInput) as told:
        WRONG[field](draft(house))
    assert told.value.field == field


@pytest.mark.rule(9)
def test_a_link_in_a_typed_text_keeps_its_paragraphs(house: House) -> None:
    box = house.local()
    seq = Sequence.create("Linked", mailbox=box, timezone="UTC")
    link = '<a\nhref="https://acme.example/job">the role</a>'
    seq.add_email("Hello", f"Hi {{{{ first_name }}}},\n\nplease see {link}.\nIt is <b>new</b>.\n\nAna")
    seq.enroll([{"First Name": "Bo & Co", "Email": "bo@x.example"}])
    shown = "Hi Bo & Co,\n\nplease see the role (https://acme.example/job).\nIt is new.\n\nAna"
    assert seq.preview()["text"].to_list() == [shown]
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    (raw,) = sent_files(house, box)
    assert b"<p>Hi Bo &amp; Co,</p><p>please see" in raw.replace(b"=\r\n", b"").replace(b"=\n", b"")


# -- the command line --------------------------------------------------------------------------
@pytest.fixture
def shown(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["outreach", *arguments])
        code = 0
        try:
            main()
        except SystemExit as exc:
            code = int(exc.code or 0)
        told = capsys.readouterr()
        return code, told.out + told.err

    sessions.use(house.session)
    return run


def test_a_sequence_whose_name_is_a_number_is_found_by_it(
    house: House, shown: Callable[..., tuple[int, str]]
) -> None:
    first = draft(house, "Roles")
    named = draft(house, str(first.id))
    draft(house, "123")
    assert "Sequence('123'" in shown("sequence", "show", "123")[1]
    assert f"Sequence('{named.name}'" in shown("sequence", "show", named.name)[1]
    assert "Sequence('123'" in shown("sequence", "show", str(Sequence.get("123").id))[1]
    code, told = shown("sequence", "show", "²")
    assert code == 1
    assert "²" in told


def test_a_terminal_without_the_letters_shows_the_rest(house: House) -> None:
    draft(house, "Łódź – ролей")
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
    done = subprocess.run(
        [sys.executable, "-m", "outreach_sdk.cli", "sequence", "list"],
        cwd=ROOT,
        env=env | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode("cp1252")
    assert "incomplete" in done.stdout.decode("cp1252") or "inactive" in done.stdout.decode("cp1252")
