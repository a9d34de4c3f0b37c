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
    unanswered = _incoming(in_reply_to=())
    assert match(unanswered, by_thread={}, by_message_id=ids, by_address=people) == Match(2, "references")
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
    assert is_own(_incoming(sender=None, headers=(("Sender", "rita@acme.example"),)), team)
    # From is the author (RFC 5322); a list or group of ours may have passed it on.
    assert not is_own(_incoming(headers=(("Sender", "rita@acme.example"),)), team)
    assert is_own(_incoming(headers=(("x-outreach-key", "k"),)), [])
    assert not is_own(_incoming(), team)
    assert not is_own(_incoming(sender=None), team)


@pytest.mark.rule(16)
def test_answers_from_elsewhere_are_found() -> None:
    ref = JourneyRef(7, NOON - DAY)
    ours = {"<one@acme.example>": ref}

    def found(**changes: object) -> Match | None:
        changes = {"provider_thread_id": "new", "in_reply_to": (), "references": (), **changes}
        return match(
            _incoming(**changes), by_thread={}, by_message_id=ours, by_address={"ana@gmail.com": [ref]}
        )

    stranger = Address("boss@other.example")
    assert found(sender=stranger, in_reply_to=("<one@acme.example>",)) == Match(7, "references")
    assert found(sender=stranger, references=("<one@acme.example>", "<x@home.example>")) == Match(
        7, "references"
    )
    assert found(sender=stranger, subject="Something else", references=("<one@acme.example>",)) is not None
    assert found(sender=stranger, headers=(("X-Forwarded-Message-Id", "<one@acme.example>"),)) is not None
    attached = (
        b'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nSee below\n'
        b"--b\nContent-Type: Message/RFC822\n\nMessage-ID: <one@acme.example>\nSubject: Role\n\nHi\n--b--\n"
    )
    assert found(sender=stranger, subject="Fwd: Role", raw=attached) == Match(7, "references")
    assert found(sender=stranger, subject="Re: Role") is None
    for address in ("ana@gmail.com", "ANA+jobs@gmail.com", "ana@googlemail.com"):
        assert found(sender=Address(address), subject="New") == Match(7, "address")
    assert found(sender=Address("ann@gmail.com")) is None


_IDS = st.sampled_from([f"<{n}@acme.example>" for n in range(6)])
_PEOPLE = st.sampled_from(["ana@home.example", "Ana+x@Home.example", "ben@home.example", "rita@acme.example"])


@pytest.mark.rule(16)
@given(
    thread=st.sampled_from(["t1", "t2", None]),
    answered=st.lists(_IDS, max_size=2),
    before=st.lists(_IDS, max_size=4),
    sender=_PEOPLE,
    threads=st.dictionaries(st.sampled_from(["t1", "t2"]), st.integers(0, 9), max_size=2),
    known=st.dictionaries(_IDS, st.integers(0, 9), max_size=6),
    people=st.dictionaries(
        st.just("ana@home.example"), st.lists(st.tuples(st.integers(0, 9), st.integers(-3, 3))), max_size=1
    ),
)
def test_the_three_ways_in_their_order(
    thread: str | None,
    answered: list[str],
    before: list[str],
    sender: str,
    threads: dict[str, int],
    known: dict[str, int],
    people: dict[str, list[tuple[int, int]]],
) -> None:
    message = _incoming(
        provider_thread_id=thread,
        in_reply_to=tuple(answered),
        references=tuple(before),
        sender=Address(sender),
    )
    found = match(
        message,
        by_thread={k: JourneyRef(v, NOON) for k, v in threads.items()},
        by_message_id={k: JourneyRef(v, NOON) for k, v in known.items()},
        by_address={k: [JourneyRef(j, NOON + d * DAY) for j, d in v] for k, v in people.items()},
    )
    near = [known[i] for i in (*reversed(answered), *reversed(before)) if i in known]
    alive = (
        [(d, j) for j, d in people.get("ana@home.example", []) if d <= 0]
        if sender.lower().startswith("ana")
        else []
    )
    if thread in threads:
        assert found == Match(threads[str(thread)], "thread")
    elif near:
        assert found == Match(near[0], "references")
    elif alive:
        assert found == Match(max(alive)[1], "address")
    else:
        assert found is None
    assert is_own(message, ["Rita@acme.example"]) == (sender == "rita@acme.example")


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
