"""Frames as people have them: pandas' several ways to say nothing, numbers that a blank turned into fractions, columns
alone, cells of bytes."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from outreach_sdk.errors import ImportRefused
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.enrichment import Enrichment
from outreach_sdk.objects.packing import pack, unpack
from outreach_sdk.objects.report import EnrollmentReport
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from tests.harness import House


class NAType:
    """pandas.NA: compared with anything it is itself, and asked for a truth it raises."""

    def __eq__(self, other: object) -> NAType:  # type: ignore[override]
        return self

    __ne__ = __eq__  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


NA, NAN = NAType(), float("nan")


class Column:
    """As a pandas Series looks from outside."""

    iloc = None

    def __init__(self, name: str | None, cells: list[Any]) -> None:
        self.name, self.cells = name, cells

    def __iter__(self) -> Any:
        return iter(self.cells)

    def to_dict(self) -> dict[int, Any]:
        return dict(enumerate(self.cells))

    def to_frame(self) -> Pandas:
        return Pandas({self.name: self.cells})


class Pandas:
    """As a pandas DataFrame looks from outside."""

    iloc = None

    def __init__(self, data: dict[Any, list[Any]]) -> None:
        self.data, self.columns = data, list(data)

    def __len__(self) -> int:
        return len(next(iter(self.data.values())))

    def itertuples(self, *, index: bool, name: None) -> Any:
        return zip(*self.data.values(), strict=True)

    def to_dict(self, how: str) -> Any:
        if how == "list":
            return self.data
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.data.values(), strict=True)]


def enrolled(house: House, people: Any) -> tuple[Sequence, EnrollmentReport]:
    seq = Sequence.create("Frames", mailbox=house.local(), timezone="UTC")
    seq.add_email("Hello", "{{ years | fallback('-') }} {{ score | fallback('-') }}")
    return seq, seq.enroll(people)


def written(seq: Sequence, who: str) -> str:
    return str(seq.preview(who)["text"][0])


@pytest.mark.parametrize("nothing", [NA, NAN, None])
def test_a_cell_that_says_nothing_is_empty_however_it_says_so(house: House, nothing: Any) -> None:
    table = Pandas({"Email": ["a@c.example", "b@c.example", nothing], "Years": [nothing, 7, nothing]})
    seq, report = enrolled(house, table)
    assert report.rows["outcome"].to_list() == ["enrolled", "enrolled", "rejected"]
    assert report.rows["reason"][2] == "empty_row"
    assert (written(seq, "a@c.example"), written(seq, "b@c.example")) == ("- -", "7 -")
    assert Enrichment.estimate(Pandas({"id": [nothing], "Email": ["a@c.example"]})) == 0
    assert Workspace(house.session).suppress(Pandas({"email": [nothing, "x@c.example"]})) == 1
    assert unpack(pack(table), house.session)["Email"].to_list() == ["a@c.example", "b@c.example", None]


@pytest.mark.parametrize("kind", [Pandas, pl.DataFrame])
def test_whole_numbers_stay_whole_in_a_column_that_a_blank_made_one_of_fractions(
    house: House, kind: Any
) -> None:
    people = {"Email": ["a@c.example", "b@c.example"], "Years": [5.0, None], "Score": [4.5, 1e300]}
    seq, report = enrolled(house, kind({**people, "Phone": [34612345678.0, None]}))
    assert (written(seq, "a@c.example"), written(seq, "b@c.example")) == ("5 4.5", "- 1e+300")
    assert report.rows["outcome"].to_list() == ["enrolled", "enrolled"]
    assert report.rows["reason"].to_list() == [
        "bad_phone: phone: '34612345678'. Give it with its country code, like +49 30 1234567.",
        None,
    ], "left out, and said"


@pytest.mark.parametrize("column", [Column, pl.Series])
def test_a_column_of_addresses_is_a_table_of_its_own(house: House, column: Any) -> None:
    _, report = enrolled(house, column("Email", ["a@c.example", None]))
    assert report.enrolled == 1
    assert Candidate.find("a@c.example").height == 1
    assert Workspace(house.session).suppress(column("email", ["x@c.example", None])) == 1
    for wrong in (column("Remark", ["hello"]), column("", ["a@c.example"]), Column(None, ["a@c.example"])):
        with pytest.raises(ImportRefused):
            enrolled(house, wrong)


def test_bytes_are_read_as_text_and_never_shown_as_code(house: House) -> None:
    latin = "Zoë".encode("latin-1")
    seq, report = enrolled(
        house,
        [
            {"Email": b"a@c.example", "First Name": "Zoë".encode(), "Years": b"7"},
            {"Email": b"b@c.example", "First Name": latin},
            {"Email": b"c@c.example", "Years": b"\xff"},
        ],
    )
    assert report.rows["outcome"].to_list() == ["enrolled", "rejected", "enrolled"]
    assert "letters of this row are lost" in report.rows["reason"][1]
    assert "letters of 'years' are lost" in report.rows["reason"][2]
    assert (Candidate.get("a@c.example").first_name, written(seq, "a@c.example")) == ("Zoë", "7 -")
    assert written(seq, "c@c.example") == "- -"
