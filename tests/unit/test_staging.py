"""The columns' patterns say what the rules of `domain.contact` say."""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outreach_sdk.domain.contact import (
    clean_name,
    email_kind,
    normalise_email,
    normalise_linkedin,
    split_emails,
    split_full_name,
)
from outreach_sdk.engine.people import open_table
from outreach_sdk.errors import InvalidInput

LETTERS = "aZ09.@-_+'xn é\tſK\u200b<>;"
EMAILS = st.one_of(
    st.text(LETTERS, max_size=12),
    st.from_regex(r"[A-Za-z0-9.+_-]{1,8}@[A-Za-z0-9.-]{1,10}\.[a-z]{2,4}", fullmatch=True),
    st.sampled_from(
        [
            "info@acme.example", "Ana+x@GMAIL.com", "ana@xn--bcher-kva.example", "a" * 65 + "@b.example", "a..b@c.de",
            "ana@b.example; eva@b.example", "Ana <ana@b.example>", "ana@.example", "a@b.c-", "a@b." + "c" * 64,
        ]
    ),
)  # fmt: skip
PROFILES = st.one_of(
    st.from_regex(r"(https?://)?(www\.|de\.)?linkedin\.com/in/[A-Za-z0-9-]{1,12}/?(\?x=1)?", fullmatch=True),
    st.sampled_from(["linkedin.com/in/ACoAAbcD", "linkedin.com/company/acme", "/in/ana", "ana", "in/-a-b-"]),
)
NAMES = st.text(
    st.one_of(st.sampled_from("aZ '-\"🙂\u200b\x00"), st.characters(exclude_categories=["Cs"])), max_size=12
)


def by_rule(rule: Any, value: str) -> tuple[str | None, str | None]:
    if not value:
        return None, None
    try:
        return rule(value), None
    except InvalidInput as exc:
        return None, str(exc)


def cell(value: str) -> str:
    """Without the quote that keeps a spreadsheet from running it."""
    return re.sub(r"^'([=+\-@\t\r])", r"\1", value).strip()


def prepared(rows: list[dict[str, Any]], **more: str | None) -> list[dict[str, Any]]:
    headers = {h for row in rows for h in row}
    wanted = {
        "first_name": "First Name",
        "last_name": "Last Name",
        "full_name": "Full Name",
        "email": "Email",
        "linkedin_url": "LinkedIn",
    }
    mapping = {f: (h if h in headers else None) for f, h in wanted.items()} | more
    frames = list(open_table(rows, mapping=mapping).prepared())
    return [row for frame in frames for row in frame.rows(named=True)]


@pytest.mark.rule(20)
@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, EMAILS, PROFILES), min_size=1, max_size=8))
def test_columns_and_rules_agree(rows: list[tuple[str, str, str]]) -> None:
    found = prepared(
        [{"First Name": "Bo", "Last Name": name, "Email": e, "LinkedIn": p} for name, e, p in rows]
    )
    assert [r["row"] for r in found] == list(range(1, len(rows) + 1))
    for (name, email, profile), row in zip(rows, found, strict=True):
        several = split_emails(cell(email))
        address, bad_email = (
            (several[0], "the first was taken") if len(several) > 1 else by_rule(normalise_email, cell(email))
        )
        slug, bad_profile = by_rule(normalise_linkedin, cell(profile))
        assert row["email"] == address
        assert row["linkedin"] == slug
        assert row["last_name"] == (clean_name(cell(name)) if cell(name) else "")
        assert row["email_kind"] == (email_kind(address) if address else "other")
        usable = address is not None or (slug is not None and not cell(email))
        assert row["outcome"] == (None if usable else "rejected")
        for why in (bad_email, bad_profile):
            assert why is None or why in row["reason"]


@given(
    st.dictionaries(
        st.sampled_from(["City", "Team", "Notiz é"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        min_size=1,
    )
)
@example({"City": "0 \x1f"})
@example({"City": "'="})
def test_merge_fields_are_the_json_of_what_the_cells_say(cells: dict[str, str]) -> None:
    (row,) = prepared([{"Email": "bo@b.example", **cells}])
    fields = json.loads(row["fields"])
    for header, text in cells.items():
        bare = re.sub(r"^'(?=[=+\-@\t\r])", "", text)  # an export's own apostrophe
        wanted = "".join(c for c in bare if c in "\t\n\r" or (c >= " " and c != "\x7f")).strip()
        assert fields.get({"City": "city", "Team": "team", "Notiz é": "notiz_é"}[header], "") == wanted


def test_whole_names_are_split_where_the_halves_are_missing() -> None:
    people = [
        {"Full Name": "Dr. Ana María Silva", "Email": "a@b.example"},
        {"Full Name": "", "Email": "b@b.example"},
    ]
    first, second = prepared(people)
    assert (first["first_name"], first["last_name"]) == split_full_name("Dr. Ana María Silva")
    assert (second["first_name"], second["last_name"]) == ("", "")


def test_frames_of_numbers_dates_and_nothing_are_read_as_text() -> None:
    import datetime as dt

    frame = pl.DataFrame(
        {
            "Email": ["a@b.example", "b@b.example"],
            "Employees": [12, None],
            "Score": [1.5, float("nan")],
            "Since": [dt.date(2026, 3, 1), None],
        }
    )
    (made,) = open_table(frame).prepared()
    assert json.loads(made["fields"][0]) == {"employees": "12", "score": "1.5", "since": "2026-03-01"}
    assert made["fields"][1] == "{}"


def test_an_empty_row_and_a_time_zone_are_told_apart() -> None:
    rows = [
        {"Email": "a@b.example", "Timezone": "Europe/Madrid"},
        {"Email": " ", "Timezone": ""},
        {"Email": "b@b.example", "Timezone": "Mars/Base"},
        {"Email": "", "Timezone": "Europe/Madrid"},
    ]
    found = prepared(rows)
    assert [r["timezone"] for r in found] == ["Europe/Madrid", None, None, "Europe/Madrid"]
    told = found[2].pop("reason")
    assert "bad_timezone" in told
    assert "Mars/Base" in told
    assert "Europe/Madrid" in told, "no remedy"
    assert [r.get("reason") for r in found] == [None, "empty_row", None, "no_email_and_no_linkedin_url"]
    assert found[2]["outcome"] is None, "the person is enrolled all the same"


def test_a_time_zone_that_another_column_names_rightly_is_nobodys_trouble() -> None:
    rows = [
        {"Email": "a@b.example", "Timezone": "new york", "Time zone": "America/New_York"},
        {"Email": "b@b.example", "Timezone": "new york", "Time zone": ""},
        {"Email": "c@b.example", "Timezone": "", "Time zone": "Mars/X"},
        {"Email": "d@b.example", "Timezone": "", "Time zone": ""},
    ]
    found = prepared(rows)
    assert [r["timezone"] for r in found] == ["America/New_York", None, None, None]
    assert ["bad_timezone" in (r["reason"] or "") for r in found] == [False, True, True, False]


def test_a_row_whose_letters_are_lost_is_rejected_by_name() -> None:
    found = prepared(
        [{"Email": "a@b.example", "Full Name": "Zo\ufffd"}, {"Email": "b@b.example", "Full Name": "Zoë"}]
    )
    assert [r["outcome"] for r in found] == ["rejected", None]
    assert found[0]["reason"].startswith("encoding: ")
    assert found[0]["email"] == "a@b.example"


def test_letters_lost_in_a_field_of_ones_own_cost_that_field() -> None:
    found = prepared(
        [
            {"Email": "a@b.example", "City": "M\ufffdlaga", "Notes": "caf\ufffd", "Team": "Core"},
            {"Email": "b@b.example", "City": "Málaga", "Notes": None, "Team": "Core"},
        ]
    )
    assert [r["outcome"] for r in found] == [None, None]
    assert [json.loads(r["fields"]) for r in found] == [{"team": "Core"}, {"city": "Málaga", "team": "Core"}]
    assert found[0]["reason"] == (
        "encoding: letters of 'city' are lost, so it was left out; encoding: letters of 'notes' are lost, so it was left out"
    )
    assert found[1]["reason"] is None


@pytest.mark.parametrize(
    ("cells", "zone"),
    [
        ({"Timezone": "Europe/Madrid", "Location": "Tokyo"}, "Europe/Madrid"),
        ({"Timezone": "Mars/Base", "Location": "Tokyo, Japan"}, "Asia/Tokyo"),
        ({"City": "München", "Country": "Germany"}, "Europe/Berlin"),
        ({"Country": "France"}, "Europe/Paris"),
        ({"Location": "Greater Boston Area", "Phone": "+4930123456"}, "America/New_York"),
        ({"Location": "Remote", "Phone": "+14155550123"}, "America/Los_Angeles"),
        ({"Location": "Paris, Texas"}, None),
        ({"Location": "Bloomington, IN"}, None),
        ({"Country": "USA"}, None),
        ({"Phone": "+18005550100"}, None),
        ({"Location": ""}, None),
    ],
)
def test_where_somebody_lives_says_their_time_zone(cells: dict[str, str], zone: str | None) -> None:
    (row,) = prepared([{"Email": "bo@b.example", **cells}], phone="Phone" if "Phone" in cells else None)
    assert row["timezone"] == zone
