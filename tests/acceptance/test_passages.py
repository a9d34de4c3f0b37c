"""Passages a model writes before sending: cached, reviewed, edited; the fallback where it gives nothing; nobody waits
for it (rule 9)."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch, passages
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.task import Task
from outreach_sdk.objects.workspace import Workspace, notifications
from tests.acceptance.scenarios import Clock, address, go
from tests.ai import hostile_openai as server
from tests.ai.hostile_openai import Handler, HostileOpenAi, answers, completion, status
from tests.harness import House, sent_files

KEY = "sk-canary-4242"
BODY = 'Hi {{ first_name }}, {{ ai("One line on why {{ company }} matters to {{ first_name }}", fallback="hello.") }} Ada'


def writes(text: str) -> Any:
    return answers(json.dumps({"text": text}))


def echoes(handler: Handler) -> None:
    """A passage that quotes what was asked."""
    prompt = handler.owner.asked[-1]["messages"][1]["content"]
    handler.give(200, completion(json.dumps({"text": f"[{prompt}]"})))


@pytest.fixture
def openai() -> Iterator[HostileOpenAi]:
    with server.hostile_openai(echoes) as there:
        yield there


@pytest.fixture
def house(tmp_path: Path, database_url: str, openai: HostileOpenAi) -> Iterator[House]:
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": openai.base_url}
    made = House(tmp_path / "home", database_url, env)
    yield made
    if (writer := made.engine.writer()) is not None:
        writer.close()
    made.close()


@pytest.fixture
def box(house: House) -> Mailbox:
    return house.local()


def people(house: House, count: int) -> list[dict[str, str]]:
    return [{**p, "Company": f"Acme {n}"} for n, p in enumerate(house.people(count))]


def going(house: House, box: Mailbox, count: int = 2, body: str = BODY, **options: Any) -> Sequence:
    seq = Sequence.create("Passages", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", body, **options)
    seq.enroll(people(house, count))
    seq.activate()
    return seq


def texts(house: House, box: Mailbox) -> list[str]:
    found: list[Any] = [
        email.message_from_bytes(raw, policy=email.policy.default) for raw in sent_files(house, box)
    ]
    return sorted(m.get_body(("plain",)).get_content().replace("\r", "").strip() for m in found)


@pytest.mark.rule(9)
def test_a_passage_is_written_before_sending_once_for_each_person(
    house: House, box: Mailbox, openai: HostileOpenAi
) -> None:
    seq = going(house, box)
    go(house)
    assert texts(house, box) == [], "they wait for their passages"
    assert openai.asked == [], "no tick and no claim asks the model"
    assert passages.drain_passages(house.engine) == {"written": 2}
    go(house)
    assert texts(house, box) == [f"Hi P{n}, [One line on why Acme {n} matters to P{n}] Ada" for n in (0, 1)]
    assert len(openai.asked) == 2
    assert [m["role"] for m in openai.asked[0]["messages"]] == ["system", "user"]
    told = json.dumps(openai.asked)
    assert "candidate0.example" not in told, "only the prompt's own fields leave the machine"
    assert "Li" not in [w for a in openai.asked for w in a["messages"][1]["content"].split()]
    found = seq.passages
    assert sorted(found["prompt"]) == [f"One line on why Acme {n} matters to P{n}" for n in (0, 1)]
    assert seq.journey(address(0)).status == "completed"
    assert passages.drain_passages(house.engine) == {}
    spent = house.engine.store.one("SELECT calls, cost FROM ai_spend")
    assert spent is not None
    assert spent["calls"] == 2


@pytest.mark.rule(9, 30)
def test_passages_are_reviewed_and_edited_like_the_rest(
    house: House, box: Mailbox, openai: HostileOpenAi
) -> None:
    seq = Sequence.create("Passages", mailbox=box, timezone="UTC")
    seq.review = True
    seq.add_email("Hello {{ first_name }}", BODY)
    seq.enroll(people(house, 3))
    frame = seq.drafts()
    assert set(frame["problem"]) == {"Its AI passage isn't written yet: seq.write_passages() writes it."}
    assert set(seq.approve(frame)["outcome"]) == {"refused"}
    assert seq.write_passages() == {"written": 3, "fallback": 0}
    assert seq.write_passages() == {"written": 0, "fallback": 0}, "cached"
    frame = seq.drafts()
    assert frame["problem"].null_count() == 3
    assert "[One line on why Acme 1 matters to P1]" in frame["body"][1]
    rows = frame.to_dicts()
    rows[1]["body"] = "My own line."
    seq.approve(rows[:2])
    seq.activate()
    passages.drain_passages(house.engine)
    go(house)
    assert texts(house, box) == ["Hi P0, [One line on why Acme 0 matters to P0] Ada", "My own line."]
    assert len(openai.asked) == 3
    house.engine.store.write("UPDATE candidates SET company = 'Beta' WHERE first_name = 'P2'")
    assert "isn't written yet" in seq.drafts()["problem"][0], "another prompt, another passage"


NOTHING = {
    "a refusal": answers(None, refusal="I can't do that."),
    "cut off": answers('{"text": "On', finish="length"),
    "no JSON": answers("Dear Mia"),
    "empty": writes("  "),
    "a placeholder": writes("Dear [Name], well met"),
    "a link nobody asked for": writes("See https://evil.example/x"),
    "out of order": status(500),
    "a bad request": status(400),
    "a dead key": status(401),
    "a reset": server.resets,
    "broken off": server.breaks_off,
}


@pytest.mark.rule(9)
@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_where_the_model_gives_nothing_of_use_the_fallback_stands(
    house: House, box: Mailbox, openai: HostileOpenAi, name: str
) -> None:
    openai.script = [NOTHING[name]]
    seq = going(house, box, 1)
    assert passages.drain_passages(house.engine) == {"fallback": 1}
    go(house)
    assert texts(house, box) == ["Hi P0, hello. Ada"]
    assert seq.passages["text"].to_list() == [None]
    assert seq.passages["why"][0]
    shown = " ".join(map(str, seq.passages["why"])) + " ".join(notifications()["text"])
    assert KEY not in shown
    assert "can't do that" not in shown


@pytest.mark.rule(9)
def test_a_model_that_never_answers_holds_up_nobody(
    house: House, box: Mailbox, openai: HostileOpenAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    openai.script = [server.stalls]
    writer = house.engine.writer()
    assert writer is not None
    monkeypatch.setattr(writer, "_timeout", 1.0)
    clock = Clock(house)
    seq = going(house, box, 1)
    other = house.two_steps(box, delay=86_400)
    other.enroll(house.people(3, start=50))
    other.activate()
    asking = threading.Thread(target=passages.drain_passages, args=(house.engine,))
    asking.start()
    house.engine.store.write("UPDATE mailboxes SET per_hour = NULL")
    go(house)
    assert len(texts(house, box)) == 3, "others leave while the model is silent"
    asking.join(90)
    go(house)
    assert len(texts(house, box)) == 4
    assert "Hi P0, hello. Ada" in texts(house, box)
    assert seq.passages["why"].to_list() == ["OpenAI didn't answer in time."]
    assert clock.now


@pytest.mark.rule(9)
def test_those_enrolled_later_hold_up_nobody_who_is_due(
    house: House, box: Mailbox, openai: HostileOpenAi
) -> None:
    seq = going(house, box, 2)
    passages.drain_passages(house.engine)
    seq.enroll(house.people(1, start=70))
    due = house.engine.store.rows("SELECT id FROM journeys WHERE next_due_at IS NOT NULL")
    assert len(due) == 2
    dispatch.drain_sends(house.engine, threads=2)
    assert len(texts(house, box)) == 2


@pytest.mark.rule(9)
def test_nobody_writes_passages_and_the_fallback_stands_in_time(house: House, box: Mailbox) -> None:
    """The worker that would write them died, with its lease."""
    clock = Clock(house)
    going(house, box, 1)
    house.engine.store.write("UPDATE journeys SET passages_at = ?", clock.now + dt.timedelta(hours=1))
    go(house)
    assert texts(house, box) == []
    clock.on(minutes=3)
    go(house)
    assert texts(house, box) == ["Hi P0, hello. Ada"]


@pytest.mark.rule(9)
def test_while_there_is_time_it_is_asked_again(house: House, box: Mailbox, openai: HostileOpenAi) -> None:
    openai.script = [status(503), status(429, retry_after="20"), echoes]
    clock = Clock(house)
    going(house, box, 1, when=Later(hours=3))
    assert passages.drain_passages(house.engine) == {"later": 1}
    assert passages.drain_passages(house.engine) == {}, "not before its time"
    clock.on(minutes=46)
    assert passages.drain_passages(house.engine) == {"later": 1}
    clock.on(minutes=46)
    assert passages.drain_passages(house.engine) == {"written": 1}
    clock.on(hours=3)
    go(house)
    assert texts(house, box) == ["Hi P0, [One line on why Acme 0 matters to P0] Ada"]


@pytest.mark.rule(9)
def test_the_spend_limit_and_the_switch_hold(house: House, box: Mailbox, openai: HostileOpenAi) -> None:
    ws = Workspace(house.session)
    ws.set(ai_monthly_limit=0)
    seq = going(house, box, 2)
    assert passages.drain_passages(house.engine) == {"fallback": 2}
    assert openai.asked == []
    assert len(notifications().filter(notifications()["kind"] == "ai_limit")) == 1
    ws.set(ai_monthly_limit=10, ai_passages=False)
    assert seq.write_passages() == {"written": 0, "fallback": 2}
    assert openai.asked == []
    ws.set(ai_passages=True)
    assert seq.write_passages() == {"written": 2, "fallback": 0}, "what a fallback stood for is asked again"


@pytest.mark.rule(9)
def test_without_a_key_nothing_waits(tmp_path: Path, database_url: str) -> None:
    house = House(tmp_path / "keyless", database_url)
    box = house.local()
    seq = going(house, box, 2)
    seq.deactivate()
    assert set(seq.drafts()["problem"]) == {None}
    seq.activate()
    go(house)
    assert texts(house, box) == [f"Hi P{n}, hello. Ada" for n in (0, 1)]
    assert seq.write_passages() == {"written": 0, "fallback": 0}
    house.close()


@pytest.mark.rule(9)
def test_a_notebook_without_the_key_leaves_it_to_the_workers(
    house: House, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = going(house, box, 2)
    writer = house.engine.writer
    house.engine.writer = lambda: None
    assert seq.write_passages() == {"written": 0, "fallback": 2}
    house.engine.writer = writer
    assert passages.drain_passages(house.engine) == {"written": 2}


@pytest.mark.rule(9)
def test_a_field_the_prompt_lacks_asks_nobody(house: House, box: Mailbox, openai: HostileOpenAi) -> None:
    seq = Sequence.create("Passages", mailbox=box, timezone="UTC")
    seq.add_email("Hello", BODY)
    seq.enroll(house.people(1))  # no company
    assert len(seq.missing()) == 0
    seq.activate()
    passages.drain_passages(house.engine)
    go(house)
    assert texts(house, box) == ["Hi P0, hello. Ada"]
    assert openai.asked == []


@pytest.mark.rule(8, 9)
def test_a_task_shows_its_passage(house: House, box: Mailbox, openai: HostileOpenAi) -> None:
    openai.script = [writes("You & <b>Acme</b> fit.")]
    going(house, box, 1, body=f"<p>{BODY}</p>", manual=True)
    go(house)
    assert Task.list() == []
    passages.drain_passages(house.engine)
    go(house)
    [task] = Task.list()
    assert task.draft["body"] == "<p>Hi P0, You &amp; &lt;b&gt;Acme&lt;/b&gt; fit. Ada</p>"
    task.send_now()
    go(house)
    assert texts(house, box) == ["Hi P0, You & <b>Acme</b> fit. Ada"]


@pytest.mark.rule(14)
def test_a_passage_is_never_written_inside_a_transaction(
    house: House, box: Mailbox, openai: HostileOpenAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    going(house, box, 1)
    writer = house.engine.writer()
    assert writer is not None
    depths = []
    real = writer.write
    monkeypatch.setattr(writer, "write", lambda p: (depths.append(house.engine.store.depth), real(p))[1])
    passages.drain_passages(house.engine)
    assert depths == [0]


def test_an_edited_step_asks_for_its_new_prompt(house: House, box: Mailbox) -> None:
    seq = going(house, box, 1)
    passages.drain_passages(house.engine)
    seq.edit_step(1, body='{{ ai("Say {{ company }} differently", fallback="-") }}')
    passages.drain_passages(house.engine)
    go(house)
    assert texts(house, box) == ["[Say Acme 0 differently]"]


def test_who_is_erased_leaves_no_passage(house: House, box: Mailbox) -> None:
    seq = going(house, box, 2)
    seq.write_passages()
    Candidate.get(address(0)).erase()
    kept = house.engine.store.rows("SELECT prompt, text FROM passages")
    assert len(kept) == 1
    assert "P0" not in str(kept)
    assert len(Candidate.get(address(1)).export()["passages"]) == 1


def test_who_is_erased_while_the_model_writes_leaves_no_passage(
    house: House, box: Mailbox, openai: HostileOpenAi
) -> None:
    def erases(handler: Handler) -> None:
        Candidate.get(address(0)).erase()
        house.engine.store.idle()
        handler.give(200, completion('{"text": "P0 it is"}'))

    openai.script = [erases]
    going(house, box, 1)
    passages.drain_passages(house.engine)
    assert len(openai.asked) == 1
    assert house.engine.store.rows("SELECT * FROM passages") == []
