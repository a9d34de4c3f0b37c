"""The adapter against a loopback OpenAI that lies, stalls and breaks off."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import logging
import traceback
from collections.abc import Callable, Iterator

import pytest

from outreach_sdk.ai.openai import MAX_OUT, OpenAiJudge, price
from outreach_sdk.domain.reply_answer import KINDS
from outreach_sdk.errors import AiDenied, AiError, AiUnavailable, AiUnusable
from tests.ai import hostile_openai as server
from tests.ai.hostile_openai import Answer, HostileOpenAi, answers, said, status

KEY = "sk-canary-4242"
REPLY = "Sorry, not me. Please write to Maria Núñez, maria@elsewhere.example."

Judge = Callable[..., tuple[OpenAiJudge, HostileOpenAi]]


@pytest.fixture
def judge() -> Iterator[Judge]:
    import contextlib

    with contextlib.ExitStack() as stack:

        def made(*script: Answer, timeout: float = 5.0) -> tuple[OpenAiJudge, HostileOpenAi]:
            there = stack.enter_context(server.hostile_openai(*script))
            judge = OpenAiJudge(lambda: KEY, base_url=there.base_url, timeout=timeout)
            stack.callback(judge.close)
            return judge, there

        yield made


@pytest.mark.rule(16)
def test_an_answer_is_judged_with_who_is_referred_to_and_what_it_cost(judge: Judge) -> None:
    words = said("referral", referral_name="Maria Núñez", referral_email="Maria@Elsewhere.example")
    model, there = judge(answers(words))
    found = model.judge(REPLY, "Would you like to talk?")
    assert (found.kind, found.confidence) == ("referral", 0.9)
    assert (found.referral_name, found.referral_email) == ("Maria Núñez", "maria@elsewhere.example")
    assert (found.model, found.answer, found.tokens) == ("gpt-4.1-mini-2025-04-14", words, 550)
    assert found.cost == round(500 * 0.4 + 50 * 1.6)
    assert found.cost <= model.most(REPLY, "Would you like to talk?")
    assert there.keys == [f"Bearer {KEY}"]


def test_what_is_asked_is_strict_and_is_kept_nowhere(judge: Judge) -> None:
    model, there = judge()
    model.judge(REPLY, "Would you like to talk?")
    asked = there.asked[0]
    assert there.told() == {"recruiter": "Would you like to talk?", "candidate": REPLY}
    assert asked["store"] is False
    assert asked["max_completion_tokens"] == MAX_OUT
    shape = asked["response_format"]["json_schema"]
    assert shape["strict"] is True
    assert shape["schema"]["additionalProperties"] is False
    assert sorted(shape["schema"]["required"]) == sorted(shape["schema"]["properties"])
    assert shape["schema"]["properties"]["kind"]["enum"] == list(KINDS)


def test_somebody_known_is_no_new_address(judge: Judge) -> None:
    model, _ = judge(
        answers(said("referral", referral_name="Maria", referral_email="maria@elsewhere.example"))
    )
    found = model.judge(REPLY, "", known={"maria@elsewhere.example"})
    assert (found.referral_name, found.referral_email) == ("Maria", "")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answers(said("enthusiastic")), "kind"),
        (answers(said("referral", referral_email="invented@elsewhere.example")), "address"),
        (answers(said("referral", referral_name="Pablo Invented")), "name"),
        (answers(said("referral")), "nobody"),
        (answers(said(confidence=7)), "confidence"),
        (answers(said(confidence=True)), "confidence"),
        (answers(said(note="more than was asked")), "fields"),
        (answers('{"kind": "interested"}'), "fields"),
        (answers('["interested"]'), "fields"),
        (answers('{"kind": "interes'), "JSON"),
        (answers("[" * 3000), "JSON"),
        (answers(said(referral_name="x" * 5000)), "long"),
        (answers(said(), finish="length"), "cut off"),
        (answers(said(), finish="content_filter"), "cut off"),
        (answers(None, refusal="I can't help with that."), "refused"),
        (answers(None), "no message"),
        (server.raw(b"<html>gateway</html>"), "no JSON"),
        (server.raw(b"[]"), "no object"),
        (server.raw(b'{"choices": []}'), "no message"),
        (server.raw(b'{"choices": [{"message": null}]}'), "no message"),
        (server.raw(b" " * 600_000), "too long"),
    ],
)
def test_an_answer_that_cannot_be_is_not_used(judge: Judge, answer: Answer, why: str) -> None:
    model, there = judge(answer)
    with pytest.raises(AiUnusable, match=why) as refused:
        model.judge(REPLY, "Would you like to talk?")
    assert refused.value.permanent
    assert len(there.asked) == 1


def test_an_answer_that_is_not_used_has_still_cost_something(judge: Judge) -> None:
    model, _ = judge(answers(said("enthusiastic")))
    with pytest.raises(AiUnusable) as refused:
        model.judge(REPLY, "")
    assert (refused.value.tokens, refused.value.cost) == (550, 280)
    assert json.loads(refused.value.answer)["kind"] == "enthusiastic"


def test_not_now_says_when(judge: Judge) -> None:
    in_a_minute = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60))
    for headers, least, most in (
        ({"Retry_After": "7"}, 7.0, 7.0),
        ({"retry_after_ms": "1500", "Retry_After": "7"}, 1.5, 1.5),
        ({"Retry_After": in_a_minute}, 55.0, 61.0),
        ({"Retry_After": "999999999"}, 3600.0, 3600.0),
        ({"Retry_After": "-4"}, 1.0, 1.0),
        ({"Retry_After": "nan"}, 30.0, 30.0),
        ({"Retry_After": "soon"}, 30.0, 30.0),
        ({}, 30.0, 30.0),
    ):
        model, there = judge(status(429, **headers))
        with pytest.raises(AiUnavailable) as busy:
            model.judge(REPLY, "")
        assert busy.value.busy
        assert busy.value.retry_after is not None
        assert least <= busy.value.retry_after <= most, headers
        assert busy.value.cost == 0
        assert len(there.asked) == 1, "the library must not try again by itself"


@pytest.mark.parametrize(
    ("answer", "cost"),
    [
        (status(500), 0),
        (status(503), 0),
        (status(500, ["no object"]), 0),
        (status(502, b"<html>" + b"x" * 600_000), 0),
        (server.drips_an_error, 0),
        (server.stalls, None),
        (server.drips, None),
        (server.resets, None),
        (server.breaks_off, None),
    ],
)
def test_out_of_order_is_unavailable_within_the_time_out(
    judge: Judge, answer: Answer, cost: int | None
) -> None:
    model, there = judge(answer, timeout=0.5)
    with pytest.raises(AiUnavailable) as away:
        model.judge(REPLY, "")
    assert not away.value.busy
    assert not away.value.permanent
    assert away.value.cost == cost, "what may have been charged counts as charged"
    assert len(there.asked) == 1


def test_nobody_there_costs_nothing() -> None:
    model = OpenAiJudge(lambda: KEY, base_url="http://127.0.0.1:9/v1", timeout=2)
    with pytest.raises(AiUnavailable) as away:
        model.judge(REPLY, "")
    model.close()
    assert away.value.cost == 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (status(401), "OPENAI_API_KEY"),
        (status(403), "OPENAI_API_KEY"),
        (status(404), "OUTREACH_OPENAI_MODEL"),
        (status(429, {"error": {"message": "x", "code": "insufficient_quota"}}), "credit"),
    ],
)
def test_what_no_waiting_mends_is_denied(judge: Judge, answer: Answer, why: str) -> None:
    model, _ = judge(answer)
    with pytest.raises(AiDenied, match=why) as denied:
        model.judge(REPLY, "")
    assert denied.value.permanent


@pytest.mark.parametrize(
    "answer",
    [
        status(401, {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}),
        status(400, {"error": {"message": f"bad: {KEY} {REPLY}", "code": KEY}}),
        status(429, {"error": {"message": KEY, "code": None}}, Retry_After=KEY),
        answers(said(kind=KEY)),
        server.resets,
    ],
)
def test_the_key_and_the_reply_are_in_no_error_log_or_repr(
    judge: Judge, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model, _ = judge(answer)
    with pytest.raises(AiError) as failed:
        model.judge(REPLY, "")
    told = "".join(traceback.format_exception(failed.value)) + repr(failed.value) + caplog.text
    shown = told + repr(model) + model.identity
    assert KEY not in shown
    assert "maria@" not in shown


def test_the_key_is_in_no_log_however_much_is_logged(judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    model, _ = judge()
    model.judge(REPLY, "")
    assert KEY not in caplog.text


def test_an_identity_changes_with_the_key_the_place_and_the_model() -> None:
    made = [
        OpenAiJudge(lambda key=key: key, model=model, base_url=url).identity  # type: ignore[misc]
        for key, model, url in (
            ("k", "m", "http://a"), ("l", "m", "http://a"), ("k", "n", "http://a"), ("k", "m", "http://b"),
        )
    ]  # fmt: skip
    assert len(set(made)) == 4


def test_a_dated_name_costs_what_its_family_does_and_an_unknown_one_much() -> None:
    assert price("gpt-4.1-mini-2025-04-14") == price("gpt-4.1-mini") != price("gpt-4.1")
    assert price("gpt-99-ultra") > price("gpt-4.1")
    assert price("gpt-5-pro") == price("gpt-99-ultra"), "a dearer sibling isn't taken for its family"
