"""Columns that the rules leave open are asked about; whatever comes back, no wrong address is taken and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.ai.openai import OpenAiJudge
from outreach_sdk.domain.columns import FIELDS, map_columns
from outreach_sdk.domain.header_answer import asked, masked, read_mapping, worth_asking
from outreach_sdk.engine import headers as asking
from outreach_sdk.engine.headers import by_model
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from tests.ai.hostile_openai import Answer, HostileOpenAi, answers, hostile_openai, raw, stalls, status
from tests.harness import ROOT, House

HEADERS = ["Voornaam van persoon", "Familie", "Adres elektronisch", "Baas adres", "Waar werkzaam"]
ROWS = [
    ["Ana", "Núñez", "ana@acme.example", "chef@acme.example", "Acme GmbH"],
    ["Bo", "Li-Oz", "bo@beta.example", "boss@beta.example", "Beta 9"],
]


@pytest.fixture
def openai() -> Iterator[HostileOpenAi]:
    asking._answers.clear()
    with hostile_openai() as server:
        yield server


def told(**columns: int | None) -> str:
    return json.dumps({**dict.fromkeys(FIELDS), **columns})


RIGHT = told(first_name=1, last_name=2, email=3, company=5)
"""What a good model says."""


@pytest.fixture
def model(openai: HostileOpenAi) -> Iterator[OpenAiJudge]:
    made = OpenAiJudge(lambda: "sk-canary", base_url=openai.base_url, timeout=1.0)
    yield made
    made.close()


@pytest.mark.rule(20)
def test_what_the_rules_leave_open_is_asked_and_only_shapes_leave(
    model: OpenAiJudge, openai: HostileOpenAi
) -> None:
    openai.script[:] = [answers(RIGHT)]
    rules = map_columns(HEADERS, ROWS)
    assert rules.fields["email"] is None
    found = by_model(model, HEADERS, ROWS, rules)
    assert found.fields["email"] == "Adres elektronisch"
    assert found.fields["last_name"] == "Familie"
    assert found.fields["company"] == "Waar werkzaam"
    assert found.extra == ["Baas adres"]
    sent = json.dumps(openai.asked[-1], ensure_ascii=False)
    assert "Adres elektronisch" in sent
    assert "xxx@xxxx.xxxxxxx" in sent
    assert not any(cell in sent for row in ROWS for cell in row)
    by_model(model, HEADERS, ROWS, rules)
    assert len(openai.asked) == 1, "the same question is asked once"


@pytest.mark.parametrize(
    "answer",
    [
        answers("{"),
        answers("[]"),
        answers(told(email=9)),
        answers(told(email=-1)),
        answers(told(email=3, phone=3)),
        answers(json.dumps({"email": 3})),
        answers(json.dumps({**json.loads(RIGHT), "email": "Adres elektronisch"})),
        answers(json.dumps({**json.loads(RIGHT), "email": True})),
        answers(None, refusal="no"),
        answers(RIGHT, finish="length"),
        raw(b"<html>"),
        status(429, None, retry_after="1"),
        status(401),
        status(500),
        stalls,
    ],
)
def test_the_rules_take_over_whatever_is_wrong_with_the_answer(
    model: OpenAiJudge, openai: HostileOpenAi, answer: Answer
) -> None:
    openai.script[:] = [answer]
    rules = map_columns(HEADERS, ROWS)
    assert by_model(model, HEADERS, ROWS, rules) == rules
    assert len(openai.asked) == 1


@pytest.mark.parametrize(
    ("answer", "headers", "rows"),
    [
        (told(email=1), ["Who", "Info"], [["Ana", "x"], ["Bo", "y"]]),
        (told(email=2), ["Mail", "Manager Email", "X"], [["a@b.example", "boss@b.example", "?"]]),
        (told(email=2), ["E-mail", "Kontakt", "X"], [["a@b.example", "b@b.example", "?"]]),
        (told(email=1), ["Manager Email", "LinkedIn"], [["boss@b.example", "linkedin.com/in/a"]]),
    ],
    ids=["no addresses in it", "a manager's", "rules know better", "only a manager's"],
)
def test_never_a_wrong_address(answer: str, headers: list[str], rows: list[list[str]]) -> None:
    rules = map_columns(headers, rows)
    found = read_mapping(answer, headers, rows, rules)
    assert found.fields["email"] == rules.fields["email"]
    assert found.fields["email"] not in ("Who", "Manager Email", "Kontakt")


def test_a_column_whose_values_contradict_it_is_left_to_the_rules() -> None:
    headers = ["First Name", "Foo", "Mail"]
    rows = [["Ana", "12.05.1990", "a@b.example"]]
    rules = map_columns(headers, rows)
    found = read_mapping(told(first_name=1, linkedin_url=2), headers, rows, rules)
    assert found.fields == rules.fields
    assert found.extra == ["Foo"]


def test_shapes_tell_nothing_but_shapes() -> None:
    assert masked("Ana-7 Núñez") == "Xxx-9 Xxxxx"
    assert masked("https://www.linkedin.com/in/ana-nunez-42/") == "https://www.linkedin.com/in/xxx-xxxxx-99/"
    assert masked("李雷\x00\u202e") == "xx??"
    assert len(masked("a" * 5000)) <= 60
    assert json.loads(asked(["a" * 999] * 300, []))["columns"][199]["number"] == 200


def test_nothing_is_asked_where_the_rules_leave_nothing_open() -> None:
    whole = ["First Name", "Last Name", "Email", "LinkedIn", "Phone", "Company", "Title"]
    assert not worth_asking(map_columns(whole, []))
    assert not worth_asking(map_columns([*whole, "Notes"], []))
    assert not worth_asking(map_columns(["Email"], [])), "no column is left"
    assert worth_asking(map_columns(["Email", "Notes"], []))


@pytest.fixture
def house(tmp_path: Path, database_url: str, openai: HostileOpenAi) -> Iterator[House]:
    env = {"OPENAI_API_KEY": "sk-canary", "OPENAI_BASE_URL": openai.base_url}
    made = House(tmp_path / "home", database_url, env)
    yield made
    model = made.engine.header_reader()
    assert model is not None
    model.close()
    made.close()


def people() -> list[dict[str, str]]:
    return [dict(zip(HEADERS, row, strict=True)) for row in ROWS]


@pytest.mark.rule(20)
def test_enrolling_asks_within_the_months_limit_and_counts_it(house: House, openai: HostileOpenAi) -> None:
    openai.script[:] = [answers(RIGHT)]
    seq: Sequence = house.two_steps(house.local())
    report = seq.enroll(people())
    assert report.enrolled == 2
    assert report.mapping["email"] == "Adres elektronisch"
    spend = Workspace(house.session).ai_spend()
    assert spend["calls"].to_list() == [1]
    assert 0 < spend["dollars"].item() < 0.01


@pytest.mark.rule(20)
@pytest.mark.parametrize("setting", [{"ai_headers": False}, {"ai_monthly_limit": 0}])
def test_switched_off_or_spent_it_isnt_asked_and_a_person_is(
    house: House, openai: HostileOpenAi, setting: dict[str, Any]
) -> None:
    Workspace(house.session).set(**setting)
    seq: Sequence = house.two_steps(house.local())
    with pytest.raises(InvalidInput, match="mapping"):
        seq.enroll(people())
    assert openai.asked == []
    given = {"email": "Adres elektronisch", "first_name": "Voornaam van persoon"}
    assert seq.enroll(people(), mapping=given).enrolled == 2
    assert openai.asked == [], "who says what holds what isn't second-guessed"


@pytest.mark.rule(20)
def test_the_command_line_shows_it_with_and_without(tmp_path: Path, openai: HostileOpenAi) -> None:
    openai.script[:] = [answers(RIGHT)]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(";".join(row) for row in (HEADERS, *ROWS)), encoding="utf-8")

    def shown(*more: str) -> dict[str, Any]:
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "outreach_sdk.cli",
                "import",
                str(path),
                "--show-mapping",
                "--json",
                *more,
            ],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "OPENAI_API_KEY": "sk-canary", "OPENAI_BASE_URL": openai.base_url},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr
        return dict(json.loads(ran.stdout))

    assert shown()["mapping"]["email"] == "Adres elektronisch"
    without = shown("--no-ai")
    assert without["mapping"]["email"] is None
    assert (without["delimiter"], set(without)) == (
        ";",
        {"encoding", "delimiter", "skipped_lines", "mapping", "extra"},
    )
    assert list(without["mapping"]) == list(FIELDS)
    assert len(openai.asked) == 1
