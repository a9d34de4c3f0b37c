"""Frames as people have them: pandas' several ways to say nothing, numbers that a blank turned into fractions, columns
alone, cells of bytes."""

from __future__ import annotations

from typing import Any

import pandas as pd
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


def _column(name: str, cells: list[Any]) -> pd.Series[Any]:
    return pd.Series(cells, name=name)


def enrolled(house: House, people: Any) -> tuple[Sequence, EnrollmentReport]:
    seq = Sequence.create("Frames", mailbox=house.local(), timezone="UTC")
    seq.add_email("Hello", "{{ years | fallback('-') }} {{ score | fallback('-') }}")
    return seq, seq.enroll(people)


def written(seq: Sequence, who: str) -> str:
    return str(seq.preview(who)["text"][0])


@pytest.mark.parametrize("dtype", [object, "string", "float64", "Int64"])
@pytest.mark.parametrize("nothing", [pd.NA, float("nan"), None, pd.NaT])
def test_a_cell_that_says_nothing_is_empty_however_it_says_so(house: House, nothing: Any, dtype: Any) -> None:
    years = ["7" if dtype == "string" else 7]
    blank = {"float64": float("nan"), "Int64": pd.NA}.get(dtype, nothing)
    table = pd.DataFrame(
        {
            "Email": ["a@c.example", "b@c.example", nothing],
            "Years": pd.Series([blank, *years, blank], dtype=dtype),
        }
    )
    seq, report = enrolled(house, table)
    assert report.rows["outcome"].to_list() == ["enrolled", "enrolled", "rejected"]
    assert report.rows["reason"][2] == "empty_row"
    assert (written(seq, "a@c.example"), written(seq, "b@c.example")) == ("- -", "7 -")
    assert Enrichment.estimate(pd.DataFrame({"id": [nothing], "Email": ["a@c.example"]})) == 0
    assert Workspace(house.session).suppress(pd.DataFrame({"email": [nothing, "x@c.example"]})) == 1
    assert unpack(pack(table), house.session)["Email"].to_list() == ["a@c.example", "b@c.example", None]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
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


@pytest.mark.parametrize("column", [_column, pl.Series])
def test_a_column_of_addresses_is_a_table_of_its_own(house: House, column: Any) -> None:
    _, report = enrolled(house, column("Email", ["a@c.example", None]))
    assert report.enrolled == 1
    assert Candidate.find("a@c.example").height == 1
    assert Workspace(house.session).suppress(column("email", ["x@c.example", None])) == 1
    for wrong in (column("Remark", ["hello"]), column("", ["a@c.example"]), pd.Series(["a@c.example"])):
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
