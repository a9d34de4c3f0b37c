"""Of what kind answers are: at once by rules, later by the model, for good by a person."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from outreach_sdk import jobs
from outreach_sdk.config import Settings
from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch, judging, kinds, sync
from outreach_sdk.errors import InvalidInput, NotFound, TransitionRefused
from outreach_sdk.objects.message import Message
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import Session
from outreach_sdk.objects.workspace import Workspace, notifications
from outreach_sdk.wiring import open_engine
from tests.ai import hostile_openai as server
from tests.ai.hostile_openai import HostileOpenAi, answers, said, status
from tests.harness import ROOT, House, wait_until

KEY = "sk-canary-4242"


@pytest.fixture
def openai() -> Iterator[HostileOpenAi]:
    with server.hostile_openai() as there:
        yield there


@pytest.fixture
def house(tmp_path: Path, database_url: str, openai: HostileOpenAi) -> Iterator[House]:
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": openai.base_url}
    made = House(tmp_path / "home", database_url, env)
    yield made
    if (model := made.engine.model()) is not None:
        model.close()
    made.close()


def asked(house: House, *texts: str) -> list[Message]:
    """Each text is the answer of another candidate, read and acted on; the model wasn't asked yet."""
    box = house.hostile()
    seq = Sequence.create("Backend", mailbox=box, timezone="Europe/Madrid")
    seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}, are you open to talk? Ana, +34 600 000 000")
    seq.add_email(body="Just checking.", when=Later(days=3))
    seq.enroll(house.people(len(texts)))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    return answered(house, seq, *texts)


def answered(house: House, seq: Sequence, *texts: str) -> list[Message]:
    provider = house.provider
    assert provider is not None
    sent = sorted(provider.ledger(), key=lambda a: min(a.recipients))
    for message, text in zip(sent, texts, strict=True):
        provider.deliver_reply(message, text)
    box_id = house.engine.store.value("SELECT id FROM mailboxes")
    sync.poll_mailbox(house.engine, box_id)
    journeys = [seq.journey(min(m.recipients)) for m in sent]
    return [journey.replies[0] for journey in journeys]


def spent(house: House) -> tuple[int, int, int]:
    """(calls, tokens, cost in millionths of a dollar)."""
    row = house.engine.store.one("SELECT SUM(calls) AS c, SUM(tokens) AS t, SUM(cost) AS m FROM ai_spend")
    assert row is not None
    return int(row["c"] or 0), int(row["t"] or 0), int(row["m"] or 0)


def told(house: House, kind: str) -> list[str]:
    return list(notifications().filter(pl.col("kind") == kind)["text"])


# -- rules, model, person --------------------------------------------------------------------------
@pytest.mark.rule(15, 16)
def test_the_journey_stops_at_once_with_a_kind_by_rules_and_the_model_comes_later(
    house: House, openai: HostileOpenAi
) -> None:
    openai.script = [answers(said("not_now", confidence=0.8))]
    (message,) = asked(
        house,
        "Sounds great, tell me more.\n\nOn Mon, 2 Mar 2026 at 09:00, Ada <ada@agency.example> wrote:\n> Hi P0",
    )
    assert openai.asked == [], "nothing waits for the model"
    assert (message.reply_kind, message.kind_by) == ("interested", "rules")
    seq = Sequence.get("Backend")
    assert seq.journey("p0@candidate0.example").reason == "replied"
    (notice,) = told(house, "replied")
    assert "(interested)" in notice
    assert "wrote:" not in notice

    assert judging.drain_kinds(house.engine) == {"judged": 1}
    assert "(not now)" in told(house, "replied")[0], "the notice that nobody has read is put right"
    assert (message.reply_kind, message.kind_by) == ("not_now", "model")
    assert message.judged["model"] == "gpt-4.1-mini-2025-04-14"
    assert message.judged["version"]
    assert json.loads(message.judged["answer"]["answer"])["kind"] == "not_now"
    row = seq.journey("p0@candidate0.example").messages.filter(pl.col("direction") == "in").row(0, named=True)
    assert (row["reply_kind"], row["kind_by"], row["id"]) == ("not_now", "model", message.id)
    assert judging.drain_kinds(house.engine) == {}, "asked once"
    assert spent(house) == (1, 550, 280)
    assert Workspace(house.session).ai_spend()["dollars"].to_list() == [0.00028]


@pytest.mark.rule(16)
def test_only_the_visible_text_and_the_step_go_out(house: House, openai: HostileOpenAi) -> None:
    quote = "On Mon, 2 Mar 2026 at 09:00, Ada <ada@agency.example> wrote:\n> Hi P0"
    text = f"Yes, gladly.\n\n-- \nPaula Li\nHead of Secrets\n\n{quote}"
    (message,) = asked(house, text)
    judging.drain_kinds(house.engine)
    assert openai.told() == {
        "recruiter": "Hello {{ first_name }}\n\nHi {{ first_name }}, are you open to talk? Ana, +34 600 000 000",
        "candidate": "Yes, gladly.",
    }
    out = json.dumps(openai.asked)
    for secret in ("Secrets", "ada@agency.example", "candidate0", "P0"):
        assert secret not in out
    assert message.visible_text == "Yes, gladly."
    assert "Head of Secrets" in message.text, "the original is kept beside"


@pytest.mark.rule(19)
def test_an_unsubscribe_that_only_the_model_sees_suppresses_everywhere(
    house: House, openai: HostileOpenAi
) -> None:
    openai.script = [answers(said("unsubscribe"))]
    (message,) = asked(house, "I should be glad never to read from your house again.")
    assert message.reply_kind != "unsubscribe"
    judging.drain_kinds(house.engine)
    assert message.reply_kind == "unsubscribe"
    report = Sequence.create("Other", mailbox=None, timezone="UTC").enroll(house.people(1))
    assert report.rows["reason"].to_list() == ["suppressed"]


@pytest.mark.rule(19)
def test_an_unsubscribe_in_plain_words_needs_no_model(house: House, openai: HostileOpenAi) -> None:
    (message,) = asked(house, "Please unsubscribe me.")
    assert (message.reply_kind, message.kind_by) == ("unsubscribe", "rules")
    judging.drain_kinds(house.engine)
    assert openai.asked == []
    assert house.engine.store.value("SELECT COUNT(*) FROM suppressions") == 1


@pytest.mark.rule(16)
def test_a_person_has_the_last_word_and_the_model_s_stays_beside(house: House, openai: HostileOpenAi) -> None:
    openai.script = [answers(said("not_interested"))]
    first, second = asked(house, "Hm, well.", "Let me think.")
    second.correct("question")
    judging.drain_kinds(house.engine)
    first.correct("interested")
    first.correct("not_now")
    assert (first.reply_kind, first.kind_by) == ("not_now", "person")
    shown = first.judged
    assert (shown["corrected_from"], shown["answer"]["kind"]) == ("not_interested", "not_interested")
    assert shown["corrected_by"] == house.session.user["name"]
    assert shown["corrected_at"].tzinfo is not None
    assert (second.reply_kind, second.judged["corrected_from"]) == ("question", "unclear")
    assert len(openai.asked) == 1, "what a person has settled isn't asked about"


@pytest.mark.rule(16)
def test_a_person_who_corrects_while_the_model_thinks_wins(house: House, openai: HostileOpenAi) -> None:
    (message,) = asked(house, "Hm.")

    def corrected(handler: server.Handler) -> None:
        message.correct("referral")
        handler.give(200, server.completion(said("not_interested")))

    openai.script = [corrected]
    judging.drain_kinds(house.engine)
    assert (message.reply_kind, message.kind_by) == ("referral", "person")
    assert message.judged["answer"]["kind"] == "not_interested"


@pytest.mark.rule(19)
def test_a_person_s_unsubscribe_suppresses_too(house: House) -> None:
    (message,) = asked(house, "Hm.")
    message.correct("unsubscribe")
    assert house.engine.store.value("SELECT COUNT(*) FROM suppressions") == 1


@pytest.mark.rule(26)
def test_what_cannot_be_corrected_or_seen_says_so(house: House) -> None:
    (message,) = asked(house, "Hm.")
    with pytest.raises(InvalidInput, match="interested"):
        message.correct("enthusiastic")
    frame = Sequence.get("Backend").journey("p0@candidate0.example").messages
    sent = Message.get(frame.filter(pl.col("direction") == "out")["id"][0])
    assert (sent.direction, sent.kind, sent.reply_kind) == ("out", None, None)
    assert sent.text.startswith("Hi P0")
    with pytest.raises(TransitionRefused):
        sent.correct("interested")
    for wrong in ("in999", "7", "in1; DROP TABLE inbound", ""):
        with pytest.raises(NotFound):
            Message.get(wrong)
    stranger = {**house.session.user, "id": 999, "role": "member"}
    with pytest.raises(NotFound):
        _ = Message(message.id, Session(house.settings, house.engine, stranger)).text


@pytest.mark.rule(16)
def test_a_referral_to_somebody_new_is_kept(house: House, openai: HostileOpenAi) -> None:
    openai.script = [answers(said("referral", referral_name="Maria Sol", referral_email="maria@sol.example"))]
    (message,) = asked(house, "Not for me. Maria Sol, maria@sol.example, might.")
    judging.drain_kinds(house.engine)
    assert message.referral == {"name": "Maria Sol", "email": "maria@sol.example"}


# -- switched off, dear, wrong, busy ---------------------------------------------------------------
def test_a_setting_turns_it_off_also_for_what_waits(house: House, openai: HostileOpenAi) -> None:
    workspace = Workspace(house.session)
    (message,) = asked(house, "Yes, gladly.")
    workspace.set(ai_replies=False)
    assert judging.drain_kinds(house.engine) == {"off": 1}
    assert openai.asked == []
    assert message.kind_by == "rules"
    assert not kinds.waiting(house.engine)
    for name, wrong in (("ai_replies", "no"), ("ai_monthly_limit", -1), ("ai_monthly_limit", True)):
        with pytest.raises(InvalidInput, match=name):
            workspace.set(**{name: wrong})


def test_without_a_key_the_rules_do_the_work(house: House, openai: HostileOpenAi) -> None:
    env = {k: v for k, v in house.env.items() if not k.startswith("OPENAI")}
    (message,) = asked(house, "Yes, gladly, I'm interested.")
    keyless = open_engine(Settings.from_env(env), house.engine.store)
    assert judging.drain_kinds(keyless) == {}
    assert (message.reply_kind, message.kind_by) == ("interested", "rules")
    assert openai.asked == []


def test_a_key_set_long_afterwards_does_not_pay_for_the_past(house: House, openai: HostileOpenAi) -> None:
    asked(house, "Hm.")
    now = house.engine.now()
    house.engine.now = lambda: now + kinds.ASK_WITHIN + dt.timedelta(minutes=1)
    assert not kinds.waiting(house.engine)
    assert judging.drain_kinds(house.engine) == {}


@pytest.mark.rule(16)
def test_the_month_s_limit_holds_however_many_ask_at_once(house: House, openai: HostileOpenAi) -> None:
    workspace = Workspace(house.session)
    asked(house, *(f"Hm, {n}." for n in range(6)))
    model = house.engine.model()
    assert model is not None
    most = model.most("Hm, 0.", kinds.step_text(house.engine.store, one_row(house)))
    workspace.set(ai_monthly_limit=(2 * most + most // 2) / 1e6)
    gate, inside, peak = threading.Lock(), 0, 0

    def slowly(handler: server.Handler) -> None:
        nonlocal inside, peak
        with gate:
            inside += 1
            peak = max(peak, inside)
        handler.owner.released.wait(0.2)
        with gate:
            inside -= 1
        handler.give(200, server.completion(said("question")))

    openai.script = [slowly]
    ends = judging.drain_kinds(house.engine, threads=6)
    assert peak <= 2, "what is under way counts at its most"
    assert ends["judged"] + ends["limit"] == 6
    assert ends["limit"] >= 1
    assert spent(house)[2] <= 2.5 * most
    assert len(told(house, "ai_limit")) == 1
    assert "ai_monthly_limit" in told(house, "ai_limit")[0]
    now = house.engine.now()
    house.engine.now = lambda: now + judging.LIMITED_FOR
    again = judging.drain_kinds(house.engine, threads=1)
    assert again == {"judged": ends["limit"]}, "what was reserved and not spent is there again"


@pytest.mark.rule(16)
def test_a_limit_that_is_spent_is_not_gone_over(house: House, openai: HostileOpenAi) -> None:
    messages = asked(house, "I'm interested.", "No, thanks.")
    Workspace(house.session).set(ai_monthly_limit=0)
    now = house.engine.now()
    for hour in range(4):
        house.engine.now = lambda hour=hour: now + hour * judging.LIMITED_FOR  # type: ignore[misc]
        assert judging.drain_kinds(house.engine) == {"limit": 2}
        assert judging.drain_kinds(house.engine) == {}
    assert openai.asked == []
    assert [m.reply_kind for m in messages] == ["interested", "not_interested"]
    assert len(told(house, "ai_limit")) == 1


def one_row(house: House) -> dict[str, Any]:
    row = house.engine.store.one("SELECT * FROM inbound WHERE kind = 'human' ORDER BY id LIMIT 1")
    assert row is not None
    return row


def test_a_new_month_has_a_limit_of_its_own(house: House) -> None:
    store, workspace = house.engine.store, house.session.workspace_id
    Workspace(house.session).set(ai_monthly_limit=0.001)
    last, first = (dt.datetime(2026, *day, 12, tzinfo=dt.UTC) for day in ((3, 31), (4, 1)))
    assert kinds.reserve(store, workspace, 1000, last)
    assert not kinds.reserve(store, workspace, 1, last)
    assert kinds.reserve(store, workspace, 1000, first)
    kinds.settle(store, workspace, last, 1000, 400, 50)
    assert kinds.reserve(store, workspace, 600, last)
    Workspace(house.session).set(ai_monthly_limit=None)
    assert kinds.reserve(store, workspace, 10**9, last)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "answer",
    [
        answers(said("enthusiastic")),
        answers(said("referral", referral_email="invented@elsewhere.example")),
        answers("{"),
        answers(None, refusal="No."),
        status(400),
    ],
)
def test_what_cannot_be_used_leaves_the_rules_word_and_is_not_asked_again(
    house: House, openai: HostileOpenAi, answer: server.Answer
) -> None:
    openai.script = [answer]
    (message,) = asked(house, "I'm interested.")
    assert judging.drain_kinds(house.engine) == {"unusable": 1}
    assert (message.reply_kind, message.kind_by) == ("interested", "rules")
    assert message.judged["answer"]["trouble"]
    assert not kinds.waiting(house.engine)
    assert message.referral is None


@pytest.mark.rule(16)
def test_a_wrong_key_is_told_once_and_the_answers_wait(
    house: House, openai: HostileOpenAi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    openai.script = [status(401, {"error": {"message": f"Incorrect: {KEY}", "code": "invalid_api_key"}})]
    first, second = asked(house, "I'm interested.", "No, thanks.")
    now = house.engine.now()
    assert judging.drain_kinds(house.engine, threads=1) == {"denied": 1}
    assert not kinds.waiting(house.engine), "nobody asks in vain for a while"
    house.engine.now = lambda: now + judging.DENIED_FOR + dt.timedelta(seconds=1)
    assert judging.drain_kinds(house.engine, threads=1) == {"denied": 1}
    (notice,) = told(house, "ai_denied")
    assert "OPENAI_API_KEY" in notice
    assert (first.reply_kind, second.reply_kind) == ("interested", "not_interested")
    assert spent(house)[2] == 0
    kept = json.dumps(house.engine.store.rows("SELECT * FROM inbound"), default=str)
    assert KEY not in notice + caplog.text + repr(house.settings) + repr(house.engine) + kept
    openai.script = [answers(said("question"))]
    house.engine.now = lambda: now + 3 * judging.DENIED_FOR
    assert judging.drain_kinds(house.engine) == {"judged": 2}


@pytest.mark.rule(16)
def test_not_now_holds_everybody_for_as_long_as_it_says(house: House, openai: HostileOpenAi) -> None:
    openai.script = [status(429, Retry_After="40"), answers(said("question"))]
    asked(house, "Hm.", "Well.")
    now = house.engine.now()
    assert judging.drain_kinds(house.engine, threads=1) == {"busy": 1}
    answered = house.engine.now()
    house.engine.now = lambda: now + dt.timedelta(seconds=39)
    assert judging.drain_kinds(house.engine) == {}
    house.engine.now = lambda: answered + dt.timedelta(seconds=41)
    assert judging.drain_kinds(house.engine) == {"judged": 2}


@pytest.mark.rule(16)
@pytest.mark.parametrize("answer", [status(500), server.resets])
def test_out_of_order_is_tried_again_a_bounded_number_of_times(
    house: House, openai: HostileOpenAi, answer: server.Answer
) -> None:
    openai.script = [answer]
    (message,) = asked(house, "I'm interested.")
    now, ends = house.engine.now(), []
    for minute in range(0, 60, 5):
        house.engine.now = lambda minute=minute: now + dt.timedelta(minutes=minute)  # type: ignore[misc]
        ends += list(judging.drain_kinds(house.engine))
    assert ends == ["unavailable"] * (kinds.MAX_TRIES - 1) + ["given up"]
    assert len(openai.asked) == kinds.MAX_TRIES
    assert (message.reply_kind, message.kind_by) == ("interested", "rules")


# -- two workers, and one that dies ----------------------------------------------------------------
@pytest.mark.rule(16)
def test_two_workers_do_not_pay_twice(house: House, openai: HostileOpenAi) -> None:
    asked(house, *(f"Hm, {n}." for n in range(8)))
    other = open_engine(house.settings, house.engine.store)
    together = [
        threading.Thread(target=judging.drain_kinds, args=(e,), kwargs={"threads": 3})
        for e in (house.engine, other)
    ]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert sorted(openai.told(n)["candidate"] for n in range(len(openai.asked))) == [
        f"Hm, {n}." for n in range(8)
    ]
    assert spent(house) == (8, 8 * 550, 8 * 280)
    if (model := other.model()) is not None:
        model.close()


@pytest.mark.rule(16)
def test_a_worker_killed_while_it_asks_is_replaced_when_its_lease_is_over(
    house: House, openai: HostileOpenAi
) -> None:
    openai.script = [server.stalls, answers(said("question"))]
    (message,) = asked(house, "Hm.")
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
    worker = subprocess.Popen(
        [sys.executable, "-c", "import tests.harness\nfrom outreach_sdk import jobs\njobs.drain_kinds()"],
        cwd=ROOT,
        env=env,
    )
    try:
        wait_until(lambda: openai.asked)
    finally:
        worker.kill()
        worker.wait()
    reserved = spent(house)[2]
    assert judging.drain_kinds(house.engine) == {}, "it may still be at work"
    now = house.engine.now()
    house.engine.now = lambda: now + kinds.LEASE
    assert judging.drain_kinds(house.engine) == {"judged": 1}
    assert (message.reply_kind, message.kind_by) == ("question", "model")
    assert spent(house) == (2, 550, reserved + 280), "what the dead one may have spent counts"


def test_an_answer_after_the_lease_changes_nothing(house: House, openai: HostileOpenAi) -> None:
    (message,) = asked(house, "Hm.")
    late = kinds.claim(house.engine)
    assert late is not None
    now = house.engine.now()
    house.engine.now = lambda: now + kinds.LEASE
    openai.script = [answers(said("question"))]
    judging.drain_kinds(house.engine)
    model = house.engine.model()
    assert model is not None
    assert not kinds.record(house.engine.store, late, model.judge("Hm.", ""))
    kinds.ask_later(house.engine.store, late, now)
    kinds.close(house.engine.store, late, "late")
    assert (message.reply_kind, message.judged["answer"].get("trouble")) == ("question", None)


def test_the_clock_wakes_a_worker_only_where_there_is_a_key(
    house: House, openai: HostileOpenAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(house, "Hm.")
    for name, value in house.env.items():
        monkeypatch.setenv(name, value)
    woken: list[tuple[str, str]] = []
    stop = threading.Event()

    class Wake:
        def enqueue(self, queue: str, function: str, bucket: int) -> bool:
            if function == "drain_kinds":
                woken.append((queue, function))
            stop.set()
            return True

    house.engine.store.write(
        "UPDATE mailboxes SET next_poll_at = ?", house.engine.now() + dt.timedelta(days=1)
    )
    jobs.run_clock(house.engine, Wake(), stop, 0.05, lambda _: None)
    assert woken == [("bulk", "drain_kinds")]
    assert "outreach_sdk.jobs.drain_kinds" in jobs.ALLOWED
