"""The adapter against others' OpenAI (npm @copilotkit/aimock), which doesn't look at schemas."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.ai.openai import OpenAiJudge
from outreach_sdk.domain.columns import FIELDS, map_columns
from outreach_sdk.engine.headers import by_model
from outreach_sdk.errors import AiUnavailable, AiUnusable
from tests.ai.hostile_openai import said
from tests.mail.emulator import ROOT, EmulatorMissing, install

PACKAGE: dict[str, Any] = {
    "type": "module",
    "private": True,
    "dependencies": {"@copilotkit/aimock": "1.43.0"},
}
BUSY = {"message": "Rate limited", "type": "rate_limit_error", "code": "rate_limit_exceeded"}
FIXTURES = [
    {"match": {"userMessage": "tell me more"}, "response": {"content": said("interested")}},
    {"match": {"userMessage": "pays well"}, "response": {"content": "Interested!"}},
    {"match": {"userMessage": "why Acme"}, "response": {"content": '{"text": "Acme builds what lasts."}'}},
    {
        "match": {"userMessage": "Adres elektronisch"},
        "response": {"content": json.dumps({**dict.fromkeys(FIELDS), "first_name": 1, "email": 2})},
    },
    {"match": {"userMessage": "Adres digitaal"}, "response": {"content": '{"email": "the second one"}'}},
    *(
        {"match": {"userMessage": f"Adres {name}"}, "response": response}
        for name, response in {
            "verzonnen": {"content": json.dumps({**dict.fromkeys(FIELDS), "email": 7})},
            "verkeerd": {"content": json.dumps({**dict.fromkeys(FIELDS), "email": 1})},
            "gebroken": {"content": '{"email": 2'},
            "druk": {"error": BUSY, "status": 429},
        }.items()
    ),
    {"match": {"userMessage": "are you busy"}, "response": {"error": BUSY, "status": 429}},
]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    modules = install(ROOT / ".test-tools" / "openai", PACKAGE)
    node = shutil.which("node")
    if node is None:
        raise EmulatorMissing("node isn't on PATH; these tests need Node.js 20 or newer.")
    fixtures: Path = tmp_path_factory.mktemp("aimock")
    (fixtures / "replies.json").write_text(json.dumps({"fixtures": FIXTURES}))
    cli = modules / "@copilotkit" / "aimock" / "dist" / "cli.js"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NODE_", "AIMOCK_"))}
    with subprocess.Popen(
        [node, str(cli), "-p", "0", "-f", str(fixtures), "--strict"], stdout=subprocess.PIPE, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(rb"listening on (http://[\d.:]+)", line):
                    yield f"{found[1].decode()}/v1"
                    return
            raise EmulatorMissing("aimock didn't start.")
        finally:
            process.kill()


@pytest.fixture
def model(aimock: str) -> Iterator[OpenAiJudge]:
    made = OpenAiJudge(lambda: "sk-test", base_url=aimock, timeout=10)
    yield made
    made.close()


@pytest.mark.rule(16)
def test_a_reply_is_judged(model: OpenAiJudge) -> None:
    found = model.judge("Yes, tell me more.", "Would you like to talk?")
    assert (found.kind, found.confidence) == ("interested", 0.9)
    assert found.tokens > 0
    assert found.cost is not None
    assert 0 < found.cost < model.most("Yes, tell me more.", "Would you like to talk?")


def test_what_follows_no_schema_is_not_used(model: OpenAiJudge) -> None:
    with pytest.raises(AiUnusable, match="no JSON"):
        model.judge("If it pays well.", "")


def test_not_now_and_out_of_order(model: OpenAiJudge) -> None:
    with pytest.raises(AiUnavailable) as busy:
        model.judge("are you busy", "")
    assert (busy.value.busy, busy.value.retry_after) == (True, 1.0)
    with pytest.raises(AiUnavailable) as away:
        model.judge("Nobody has thought of this.", "")
    assert not away.value.busy


@pytest.mark.rule(9)
def test_a_passage_is_written(model: OpenAiJudge) -> None:
    found = model.write("One line on why Acme matters")
    assert found.text == "Acme builds what lasts."
    assert found.tokens > 0


@pytest.mark.rule(20)
def test_columns_are_named(model: OpenAiJudge) -> None:
    headers, rows = ["Voornaam", "Adres elektronisch", "?"], [["Ana", "ana@acme.example", "x"]]
    rules = map_columns(headers, rows)
    assert by_model(model, headers, rows, rules).fields["email"] == "Adres elektronisch"
    changed = [h.replace("elektronisch", "digitaal") for h in headers]
    assert by_model(model, changed, rows, rules) == rules, "nonsense: the rules stand"


@pytest.mark.rule(20)
@pytest.mark.parametrize("name", ["verzonnen", "verkeerd", "gebroken", "druk"])
def test_a_bad_answer_about_columns_changes_nothing(model: OpenAiJudge, name: str) -> None:
    headers, rows = ["Voornaam", f"Adres {name}", "?"], [["Ana", "ana@acme.example", "x"]]
    rules = map_columns(headers, rows)
    assert by_model(model, headers, rows, rules) == rules, "an invented column, a wrong one, no JSON, not now"
