from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.message import Address, IncomingMessage
from outreach_sdk.domain.threading import JourneyRef, Match, is_own, keys, match, reply_subject

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def _incoming(**changes: object) -> IncomingMessage:
    message = IncomingMessage(
        provider_message_id="p1",
        provider_thread_id="t1",
        rfc_message_id="<in@home.example>",
        in_reply_to=("<two@acme.example>",),
        references=("<one@acme.example>", "<two@acme.example>"),
        sender=Address("Ana@Home.example", "Ana"),
        to=(Address("rita@acme.example"),),
        cc=(),
        subject="Re: Role",
        text="Yes",
        html=None,
        date=NOON,
        received_at=NOON,
    )
    return dataclasses.replace(message, **changes)  # type: ignore[arg-type]


@pytest.mark.rule(16)
def test_thread_first_then_references_then_address() -> None:
    refs = [JourneyRef(n, NOON - DAY) for n in range(4)]
    thread, ids = {"t1": refs[0]}, {"<one@acme.example>": refs[1], "<two@acme.example>": refs[2]}
    people = {"ana@home.example": [refs[3]]}
    found = match(_incoming(), by_thread=thread, by_message_id=ids, by_address=people)
    assert found == Match(0, "thread")
    assert match(_incoming(), by_thread={}, by_message_id=ids, by_address=people) == Match(2, "references")
    assert match(_incoming(), by_thread={}, by_message_id={}, by_address=people) == Match(3, "address")
    assert match(_incoming(), by_thread={}, by_message_id={}, by_address={}) is None


@pytest.mark.rule(16)
def test_by_address_only_journeys_alive_then_and_the_latest_of_them() -> None:
    ended = JourneyRef(1, NOON - 3 * DAY, NOON - DAY)
    later = JourneyRef(2, NOON + DAY)
    older, newer = JourneyRef(3, NOON - 3 * DAY), JourneyRef(4, NOON - 2 * DAY, NOON + DAY)

    def by_address(*refs: JourneyRef) -> Match | None:
        return match(_incoming(), by_thread={}, by_message_id={}, by_address={"ana@home.example": list(refs)})

    assert by_address(ended, later) is None
    assert by_address(ended, later, older, newer) == Match(4, "address")


def test_keys_for_three_lookups() -> None:
    found = keys(_incoming(headers=(("Reply-To", "Ana <ANA@other.example>"), ("From", "Ana@Home.example"))))
    assert found.thread_id == "t1"
    assert found.message_ids == ("<two@acme.example>", "<one@acme.example>")
    assert found.addresses == ("ana@home.example", "ana@other.example")


@pytest.mark.rule(16)
def test_our_own_messages_never_count() -> None:
    team = ["Rita@Acme.example"]
    assert is_own(_incoming(sender=Address("RITA@acme.example")), team)
    assert is_own(_incoming(sender=Address("rita+jobs@acme.example")), team)
    assert is_own(_incoming(headers=(("Sender", "rita@acme.example"),)), team)
    assert is_own(_incoming(headers=(("x-outreach-key", "k"),)), [])
    assert not is_own(_incoming(), team)
    assert not is_own(_incoming(sender=None), team)


@pytest.mark.parametrize(
    ("subject", "reply"),
    [
        ("Role", "Re: Role"),
        ("Re: Role", "Re: Role"),
        ("RE: Aw: re[2]: Role", "Re: Role"),
        ("Antw: 回复：Role", "Re: Role"),
        ("Resume: Ana", "Re: Resume: Ana"),
        ("", "Re:"),
    ],
)
def test_one_re_and_no_more(subject: str, reply: str) -> None:
    assert reply_subject(subject) == reply


@given(st.text(max_size=40))
def test_a_reply_to_a_reply_has_the_same_subject(subject: str) -> None:
    once = reply_subject(subject)
    assert reply_subject(once) == once
