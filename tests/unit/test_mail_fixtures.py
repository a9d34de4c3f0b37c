from __future__ import annotations

import base64
import datetime as dt
import email
import email.policy
import quopri
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from outreach_sdk.domain.classify import Verdict, classify
from outreach_sdk.domain.message import parse_incoming
from tests.unit.mail_cases import CASES

FOLDER = Path(__file__).parents[1] / "fixtures" / "emails"
TODAY = dt.date(2026, 3, 2)
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


def _judge(raw: bytes) -> Verdict:
    message = parse_incoming(raw, provider_message_id="p", provider_thread_id=None, received_at=NOON)
    return classify(message, now=TODAY)


def _check(raw: bytes, wanted: dict[str, object]) -> None:
    verdict = _judge(raw)
    found = {name: getattr(verdict, name) for name in wanted}
    if "return_date" in found and verdict.return_date is not None:
        found["return_date"] = verdict.return_date.isoformat()
    assert found == wanted, verdict.evidence


def test_each_fixture_has_its_case() -> None:
    assert {path.stem for path in FOLDER.glob("*.eml")} == set(CASES)


@pytest.mark.rule(16, 17, 18, 19)
@pytest.mark.failure(
    "auto-replies counted as replies, in other languages; `Auto-Submitted: no` taken for one"
)
@pytest.mark.parametrize("name", CASES)
def test_what_each_message_is(name: str) -> None:
    _check((FOLDER / f"{name}.eml").read_bytes(), CASES[name])


def _crlf(raw: bytes) -> bytes:
    return raw.replace(b"\n", b"\r\n")


def _bare_cr(raw: bytes) -> bytes:
    return raw.replace(b"\n", b"\r")


def _lower_case_names(raw: bytes) -> bytes:
    return re.sub(rb"(?m)^[A-Z][A-Za-z-]+:", lambda m: m[0].lower(), raw)


def _other_order(raw: bytes) -> bytes:
    head, _, body = raw.partition(b"\n\n")
    fields = re.findall(rb"(?m)^[^\s].*(?:\n[ \t].*)*", head)
    random.Random(7).shuffle(fields)
    return b"\n".join(fields) + b"\n\n" + body


def _folded(raw: bytes) -> bytes:
    head, _, body = raw.partition(b"\n\n")
    head = re.sub(rb"(?m)^(Subject|From|Content-Type): ", rb"\1:\n ", head)
    return head + b"\n\n" + body


def _no_date_no_ids(raw: bytes) -> bytes:
    head, _, body = raw.partition(b"\n\n")
    return re.sub(rb"(?m)^(?:Date|Message-ID|MIME-Version|To): .*\n", b"", head) + b"\n\n" + body


def _end_cut_off(raw: bytes) -> bytes:
    return raw[: raw.rindex(b"\n--")] if b"message/delivery-status" in raw else raw.rstrip()


def _more_received(raw: bytes) -> bytes:
    hop = b"Received: from a.example (a.example [192.0.2.1])\n\tby b.example with ESMTP; Mon, 2 Mar 2026 09:00:00 +0000\n"
    return hop * 12 + raw


def _encoded(how: str) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        message = email.message_from_bytes(raw, policy=email.policy.compat32)
        for part in message.walk():
            if part.get_content_type() not in ("text/plain", "text/html"):
                continue
            body = part.get_payload(decode=True)
            assert isinstance(body, bytes)
            del part["Content-Transfer-Encoding"]
            part["Content-Transfer-Encoding"] = how
            part.set_payload((base64.encodebytes if how == "base64" else quopri.encodestring)(body).decode())
        return message.as_bytes()

    return change


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": _crlf,
    "bare CR": _bare_cr,
    "lower-case names": _lower_case_names,
    "other order": _other_order,
    "folded": _folded,
    "no date, no ids": _no_date_no_ids,
    "cut off": _end_cut_off,
    "more hops": _more_received,
    "base64": _encoded("base64"),
    "quoted-printable": _encoded("quoted-printable"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", CASES)
def test_its_form_on_the_way_changes_nothing(name: str, change: str) -> None:
    _check(CHANGES[change]((FOLDER / f"{name}.eml").read_bytes()), CASES[name])
