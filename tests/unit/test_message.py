from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.message import (
    KEY_HEADER,
    Address,
    IncomingMessage,
    OutgoingMessage,
    build,
    clean_html,
    html_to_text,
    parse_incoming,
    text_hash,
    text_to_html,
)
from outreach_sdk.errors import HeaderInjection, InvalidInput, NaiveDatetime

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
RITA = Address("rita@acme.example", "Rita Recruiter")
ANA = Address("ana@home.example", "Ana")


def _message(**changes: object) -> OutgoingMessage:
    values: dict[str, object] = {"sender": RITA, "to": (ANA,), "subject": "Role", "text": "Hi"}
    return OutgoingMessage(**(values | changes))  # type: ignore[arg-type]


def _read(raw: bytes) -> IncomingMessage:
    return parse_incoming(raw, provider_message_id="p", provider_thread_id="t", received_at=NOON)


@pytest.mark.rule(10)
def test_built_messages_read_back() -> None:
    ids = tuple(f"<{'x' * 60}{n}@mail.example>" for n in range(8))
    raw = build(
        _message(
            cc=(Address("cc@acme.example"),),
            bcc=(Address("ats@acme.example"),),
            html="<p>Hi</p>",
            in_reply_to=ids[-1],
            references=ids,
            headers=(("List-Unsubscribe", "<https://acme.example/u/" + "y" * 150 + ">"),),
            date=NOON,
        ),
        send_key="k1",
    )
    read = _read(raw)
    assert read.sender == RITA
    assert (read.to, read.cc) == ((ANA,), (Address("cc@acme.example"),))
    assert (read.in_reply_to, read.references) == ((ids[-1],), ids)
    assert read.header(KEY_HEADER) == "k1"
    assert read.header("bcc") == "ats@acme.example"
    assert (read.text.strip(), (read.html or "").strip(), read.date) == ("Hi", "<p>Hi</p>", NOON)
    assert b"In-Reply-To: " + ids[-1].encode() in raw
    assert b"Bcc" not in build(_message(bcc=(ANA,)), with_bcc=False)


_BREAKS = ["\n", "\r", "\r\n", "\x00", "\x0b", "\x1b", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize(
    "bad", [*(f"a{b}Bcc: eve@evil.example" for b in _BREAKS), "=?utf-8?q?a=0ABcc:_eve?="]
)
def test_nothing_breaks_out_of_a_header(bad: str) -> None:
    for changes in (
        {"subject": bad},
        {"sender": Address("rita@acme.example", bad)},
        {"to": (Address("ana@home.example", bad),)},
        {"cc": (Address(bad + "@home.example"),)},
        {"headers": (("X-Note", bad),)},
        {"in_reply_to": bad},
        {"references": (bad,)},
        {"rfc_message_id": bad},
    ):
        with pytest.raises(HeaderInjection):
            build(_message(**changes))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ana",
        "@home.example",
        "ana@",
        "a b@home.example",
        "a@b@c.example",
        "ana@home.example, eve@evil.example",
    ],
)
def test_addresses_that_are_none_or_two_are_refused(address: str) -> None:
    with pytest.raises(InvalidInput):
        build(_message(to=(Address(address),)))


def test_header_names_are_plain() -> None:
    with pytest.raises(HeaderInjection):
        build(_message(headers=(("X: y\nBcc", "v"),)))
    with pytest.raises(HeaderInjection):
        build(_message(headers=(("X-Note", "a"), ("X-Note", "b"))))


def test_recipients_and_dates_are_required_whole() -> None:
    with pytest.raises(InvalidInput):
        build(_message(to=()))
    with pytest.raises(NaiveDatetime):
        build(_message(date=NOON.replace(tzinfo=None)))


_NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\x85"), max_size=20
)
_LOCALS = st.from_regex(r"[a-z0-9]+(?:[._+-][a-z0-9]+){0,2}", fullmatch=True).filter(lambda s: len(s) <= 40)
_ADDRESSES = st.builds(lambda local, name: Address(f"{local}@home.example", name), _LOCALS, _NAMES)
_LINES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=60)


@pytest.mark.rule(10)
@given(
    to=st.lists(_ADDRESSES, min_size=1, max_size=3, unique_by=lambda a: a.email),
    subject=_LINES.map(lambda s: " ".join(s.split())),
    lines=st.lists(_LINES, max_size=4),
)
def test_build_and_parse_agree(to: list[Address], subject: str, lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        raw = build(_message(to=tuple(to), subject=subject, text=text, html=text_to_html(text)))
    except HeaderInjection:
        return
    read = _read(raw)
    assert [a.email for a in read.to] == [a.email for a in to]
    assert read.subject == subject
    assert read.text.rstrip("\n") == text.rstrip("\n")
    assert text_hash(read.text) == text_hash(text)


@given(st.binary(max_size=400))
def test_malformed_messages_never_raise(raw: bytes) -> None:
    read = _read(raw)
    assert read.raw == raw
    assert isinstance(read.text, str)


@pytest.mark.parametrize(
    "raw",
    [
        b"From: =?utf-8?q?=?= <x\nSubject: =?bogus?b?###?=\n\nhi",
        b"From: \nTo: ,,;\nDate: never\n\n",
        b"Content-Type: multipart/mixed\n\nno boundary",
        b"Content-Type: text/plain; charset=nonsense\n\n\xff\xfe",
        b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n%%%",
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA",
        b"Date: Mon, 99 Foo 2026 99:99:99 +9999\nMessage-ID: none\n\n",
        b"\x00\x00\r\n\r\n",
    ],
)
def test_known_malformations(raw: bytes) -> None:
    assert _read(raw).provider_message_id == "p"


def test_html_is_cleaned() -> None:
    dirty = '<p onclick="x()">Hi<script>alert(1)</script> <a href="javascript:x">a</a> <a href="https://a.example">b</a></p>'
    clean = clean_html(dirty)
    assert clean == '<p>Hi <a>a</a> <a href="https://a.example">b</a></p>'
    assert html_to_text(clean) == "Hi a b (https://a.example)"


def test_typed_text_becomes_paragraphs() -> None:
    assert text_to_html("Hi & bye <3\nline\n\nnext") == "<p>Hi &amp; bye &lt;3<br>line</p><p>next</p>"
