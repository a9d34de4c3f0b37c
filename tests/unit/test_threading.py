from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.message import Address, IncomingMessage
from outreach_sdk.domain.threading import JourneyRef, Match, is_own, keys, match, nearest, reply_subject

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
    refs = [JourneyRef(n, NOON - DAY) for n in range(3)]
    thread, ids = {"t1": refs[0]}, {"<one@acme.example>": refs[1], "<two@acme.example>": refs[2]}
    found = match(_incoming(), by_thread=thread, by_message_id=ids)
    assert found == Match(0, "thread")
    assert match(_incoming(), by_thread={}, by_message_id=ids) == Match(2, "references")
    unanswered = _incoming(in_reply_to=())
    assert match(unanswered, by_thread={}, by_message_id=ids) == Match(2, "references")
    assert match(_incoming(), by_thread={}, by_message_id={}) is None


def _ref(
    number: int, started: float, ended: float | None = None, *, owner: int = 1, near: int = 0
) -> JourneyRef:
    """In days from noon."""
    over = None if ended is None else NOON + ended * DAY
    return JourneyRef(number, NOON + started * DAY, over, owner_id=owner, nearness=near)


@pytest.mark.rule(15, 16)
def test_outside_of_a_thread_the_journey_that_ran_then_else_the_latest_that_had_ended() -> None:
    def chosen(*refs: JourneyRef, however_old: bool = False) -> int | None:
        found = nearest(refs, NOON, however_old=however_old)
        return None if found is None else found[0].journey_id

    ended, later, running = _ref(1, -3, -1), _ref(2, 1), _ref(3, -9)
    assert chosen(later) is None
    assert chosen(ended, later) == 1
    assert chosen(ended, _ref(4, -2, -1)) == 4
    assert chosen(ended, later, running) == 3
    assert chosen(running, _ref(5, -2, 1)) == 5, "it ended after the message had come"
    old = _ref(6, -400, -181)
    assert (chosen(old), chosen(old, however_old=True)) == (None, 6)
    assert chosen(_ref(7, -400, -180)) == 7


@pytest.mark.rule(15, 16)
def test_outside_of_a_thread_whose_mailbox_got_it_comes_first_and_a_tie_is_shared() -> None:
    mine, lent, foreign = _ref(1, -9, -5, near=0), _ref(2, -8, near=1), _ref(3, -1, owner=2, near=2)
    assert nearest([foreign, lent, mine], NOON) == (mine, False)
    assert nearest([foreign, lent], NOON) == (lent, False)
    other = _ref(4, -2, owner=1, near=2)
    assert nearest([other, foreign], NOON) == (foreign, True)
    assert nearest([_ref(5, -2, -1, owner=1, near=2), foreign], NOON) == (foreign, False)


def test_keys_for_three_lookups() -> None:
    found = keys(_incoming(headers=(("Reply-To", "Ana <ANA@other.example>"), ("From", "Ana@Home.example"))))
    assert found.thread_id == "t1"
    assert found.message_ids == ("<two@acme.example>", "<one@acme.example>")
    assert found.addresses == ("ana@home.example", "ana@other.example")
    for spelled in ("ANA+jobs@gmail.com", "a.na@googlemail.com"):
        assert keys(_incoming(sender=Address(spelled))).addresses == (spelled.lower(), "ana@gmail.com")


@pytest.mark.rule(16)
def test_our_own_messages_never_count() -> None:
    team = ["Rita@Acme.example"]
    assert is_own(_incoming(sender=Address("RITA@acme.example")), team)
    assert is_own(_incoming(sender=Address("rita+jobs@acme.example")), team)
    assert is_own(_incoming(sender=None, headers=(("Sender", "rita@acme.example"),)), team)
    # From is the author (RFC 5322); a list or group of ours may have passed it on.
    assert not is_own(_incoming(headers=(("Sender", "rita@acme.example"),)), team)
    assert is_own(_incoming(), [], key_known=True)
    # A candidate may use this software too.
    assert not is_own(_incoming(headers=(("x-outreach-key", "k"),)), team)
    assert not is_own(_incoming(), team)
    assert not is_own(_incoming(sender=None), team)


@pytest.mark.rule(16)
def test_answers_from_elsewhere_are_found() -> None:
    ref = JourneyRef(7, NOON - DAY)
    ours = {"<one@acme.example>": ref}

    def found(**changes: object) -> Match | None:
        changes = {"provider_thread_id": "new", "in_reply_to": (), "references": (), **changes}
        return match(_incoming(**changes), by_thread={}, by_message_id=ours)

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
)
def test_the_thread_then_the_nearest_message(
    thread: str | None,
    answered: list[str],
    before: list[str],
    sender: str,
    threads: dict[str, int],
    known: dict[str, int],
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
    )
    near = [known[i] for i in (*reversed(answered), *reversed(before)) if i in known]
    if thread in threads:
        assert found == Match(threads[str(thread)], "thread")
    elif near:
        assert found == Match(near[0], "references")
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
