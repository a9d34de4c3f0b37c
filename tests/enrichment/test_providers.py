"""One contract for all providers, whatever their own words for it."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from outreach_sdk.config import Settings
from outreach_sdk.domain.waterfall import Verdict
from outreach_sdk.enrichment.port import Answer, Person
from outreach_sdk.errors import (
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderSpent,
    ProviderUnavailable,
    ProviderUnusable,
)
from outreach_sdk.wiring import enrichers
from tests.enrichment.vendors import KEYS, Known, World

FINDERS = (
    "hunter",
    "pdl",
    "apollo",
    "prospeo",
    "contactout",
    "rocketreach",
    "dropcontact",
    "lusha",
    "fullenrich",
)
PHONES = ("pdl", "prospeo", "contactout", "rocketreach", "lusha", "fullenrich")
VERIFIERS = ("zerobounce", "neverbounce", "hunter")
EVA = Person("Eva", "Kiegler", "Intercom", "intercom.example", "https://www.linkedin.com/in/eva-kiegler")
NOBODY = Person("No", "Body", "Intercom", "intercom.example", "https://www.linkedin.com/in/no-body")
SURE = dict.fromkeys(FINDERS, Verdict.VERIFIED) | {"pdl": Verdict.UNKNOWN}


def made(world: World, name: str, *, key: str | None = None, timeout: str = "2") -> Any:
    env = world.env(name) | {"OUTREACH_SEND_TIMEOUT": timeout}
    if key is not None:
        env[f"OUTREACH_{name.upper()}_API_KEY"] = key
    who = enrichers(Settings.from_env(env))
    return who.finders.get(name) or who.verifiers[name]


def to_the_end(finder: Any, person: Person, field: str) -> tuple[Answer, int]:
    """The answer, asked for until it is there; how often it wasn't."""
    answer, rounds = finder.find(person, field, "ref"), 0
    while answer.pending is not None:
        assert answer.wait > 0
        answer, rounds = finder.fetch(answer.pending, field), rounds + 1
        assert rounds < 9
    return answer, rounds


def ask(provider: Any) -> Any:
    return provider.find(EVA, "email", "ref") if provider.fields else provider.check("eva@intercom.example")


@pytest.mark.parametrize("name", FINDERS)
@pytest.mark.rule(25)
def test_finds_an_address_and_knows_a_miss(world: World, name: str) -> None:
    world.people[name]["eva-kiegler"] = Known("eva@intercom.example")
    world.people[name]["Kiegler"] = Known("eva@intercom.example")
    finder = made(world, name)
    answer, _ = to_the_end(finder, EVA, "email")
    assert [(p.value, p.verdict) for p in answer.points] == [("eva@intercom.example", SURE[name])]
    assert to_the_end(finder, NOBODY, "email")[0].points == ()


@pytest.mark.parametrize("name", FINDERS)
def test_what_it_does_not_vouch_for_is_not_verified(world: World, name: str) -> None:
    world.people[name]["Kiegler"] = world.people[name]["eva-kiegler"] = Known("eva@x.example", sure=False)
    answer, _ = to_the_end(made(world, name), EVA, "email")
    if name != "prospeo":  # which is asked for verified ones alone
        assert [p.verdict for p in answer.points if p.verdict is Verdict.VERIFIED] == []


@pytest.mark.parametrize("name", PHONES)
@pytest.mark.rule(25)
def test_finds_a_number(world: World, name: str) -> None:
    world.people[name]["eva-kiegler"] = Known(phone="+14155688415")
    finder = made(world, name)
    answer, _ = to_the_end(finder, EVA, "phone")
    assert [(p.value, p.verdict) for p in answer.points] == [("+14155688415", Verdict.VERIFIED)]
    assert to_the_end(finder, NOBODY, "phone")[0].points == ()


@pytest.mark.parametrize("name", ["rocketreach", "dropcontact", "fullenrich"])
def test_an_answer_that_takes_a_while_is_asked_for(world: World, name: str) -> None:
    world.rounds = 3
    world.people[name]["eva-kiegler"] = Known("eva@intercom.example")
    answer, rounds = to_the_end(made(world, name), EVA, "email")
    assert rounds == 4
    assert answer.points[0].value == "eva@intercom.example"


@pytest.mark.parametrize("name", VERIFIERS)
@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("valid", Verdict.VERIFIED),
        ("accept_all", Verdict.CATCH_ALL),
        ("invalid", Verdict.INVALID),
        ("unknown", Verdict.UNKNOWN),
    ],
)
def test_verifiers_say_what_they_know(world: World, name: str, said: str, verdict: Verdict) -> None:
    world.judged["eva@intercom.example"] = said
    answer = made(world, name).check("eva@intercom.example")
    assert [(p.value, p.verdict) for p in answer.points] == [("eva@intercom.example", verdict)]


@pytest.mark.parametrize("name", ["zerobounce", "neverbounce"])
def test_verifiers_tell_a_role_from_a_person(world: World, name: str) -> None:
    world.judged["info@intercom.example"] = "role"
    assert made(world, name).check("info@intercom.example").points[0].verdict is Verdict.ROLE


@pytest.mark.parametrize("name", ["zerobounce", "hunter"])
def test_a_verifier_that_needs_a_while_is_asked_again(world: World, name: str) -> None:
    world.judged["eva@intercom.example"] = "running"
    answer = made(world, name).check("eva@intercom.example")
    assert answer.pending is not None
    assert answer.wait > 0


@pytest.mark.parametrize("name", KEYS)
def test_a_refused_key_is_said_and_never_shown(
    world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider = made(world, name, key="canary-wrong-key")
    with caplog.at_level(logging.DEBUG), pytest.raises(ProviderDenied) as caught:
        ask(provider)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(provider)
    assert "canary" not in shown
    assert "eva" not in str(caught.value).lower()


FAULTS: dict[str, tuple[Any, type[ProviderError]]] = {
    "not now": ((429, {"Retry-After": "12"}, b"{}"), ProviderBusy),
    "no credits": ((402, {}, b"{}"), ProviderSpent),
    "out of order": ((500, {}, b"<h1>Oops</h1>"), ProviderUnavailable),
    "bad gateway": ((502, {}, b""), ProviderUnavailable),
    "junk": ((200, {}, b"<html>hello"), ProviderUnusable),
    "a number": ((200, {}, b"42"), ProviderUnusable),
    "deep": ((200, {}, b"[" * 100_000), ProviderUnusable),
    "endless": ((200, {}, b"[" + b"1," * 800_000), ProviderUnusable),
    "elsewhere": ((302, {"Location": "http://169.254.169.254/"}, b""), ProviderUnusable),
    "silence": (3.0, ProviderUnavailable),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", KEYS)
def test_what_goes_wrong_has_a_name(
    world: World, name: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    thrown, kind = FAULTS[fault]
    if name == "hunter" and fault == "not now":
        kind = ProviderSpent  # its 429 is the plan's quota
    world.faults[name] = [thrown]
    with caplog.at_level(logging.DEBUG), pytest.raises(kind) as caught:
        ask(made(world, name, timeout="0.5"))
    assert KEYS[name] not in "".join(traceback.format_exception(caught.value)) + caplog.text
    if kind is ProviderBusy:
        assert caught.value.retry_after == 12


@pytest.mark.parametrize(
    ("name", "answer", "kind"),
    [
        ("hunter", (403, b"{}"), ProviderBusy),
        ("contactout", (403, b"{}"), ProviderSpent),
        ("prospeo", (400, b'{"error_code": "DEPRECATED"}'), ProviderUnusable),
        ("prospeo", (400, b'{"error_code": "INSUFFICIENT_CREDITS"}'), ProviderSpent),
        ("dropcontact", (200, b'{"error": true, "reason": "no credits left"}'), ProviderSpent),
        ("neverbounce", (200, b'{"status": "throttle_triggered"}'), ProviderBusy),
        ("neverbounce", (200, b'{"status": "temp_unavail"}'), ProviderUnavailable),
        ("lusha", (403, b"{}"), ProviderDenied),
    ],
)
def test_each_has_its_own_words(world: World, name: str, answer: Any, kind: type[ProviderError]) -> None:
    world.faults[name] = [(answer[0], {}, answer[1])]
    with pytest.raises(kind):
        ask(made(world, name))


@pytest.mark.parametrize(("name", "status"), [("hunter", 451), ("lusha", 451), ("lusha", 404)])
def test_who_asked_not_to_be_found_is_a_miss(world: World, name: str, status: int) -> None:
    world.faults[name] = [(status, {}, b"{}")]
    assert ask(made(world, name)) == Answer()
