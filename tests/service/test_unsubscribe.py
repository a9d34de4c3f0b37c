"""Unsubscribing: a look changes nothing, a press or a mail program's click suppresses at once and everywhere."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_sdk.domain.links import UNSUBSCRIBE, read_token
from outreach_sdk.engine import dispatch
from outreach_sdk.engine.links import link_key
from outreach_sdk.objects.sequence import Sequence
from tests.harness import House, sent_files
from tests.service.conftest import Service

BO = "p0@candidate0.example"


@pytest.fixture
def reachable(tmp_path: Path, database_url: str) -> Iterator[Service]:
    made = Service(tmp_path / "home", database_url, {})
    made.house.engine.public_url = made.base
    made.start()
    yield made
    made.close()


def sent(house: House) -> email.message.EmailMessage:
    dispatch.drain_sends(house.engine, threads=2)
    raw = sent_files(house, house.local())[0]
    return email.message_from_bytes(raw, policy=email.policy.default)  # type: ignore[return-value, arg-type]


def two(house: House) -> tuple[Sequence, Sequence]:
    first, second = (house.two_steps(house.local(), delay=172_800) for _ in range(2))
    first.edit_step(1, body="Hi {{ first_name }}. No more? {{ unsubscribe_link }}")
    for seq in (first, second):
        seq.activate()
        seq.enroll(house.people(1))
    return first, second


@pytest.mark.rule(19)
def test_one_click_suppresses_at_once_everywhere_and_a_look_does_not(reachable: Service) -> None:
    house = reachable.house
    first, second = two(house)
    dispatch.drain_sends(house.engine, threads=2)
    mails = [
        email.message_from_bytes(r, policy=email.policy.default) for r in sent_files(house, house.local())
    ]
    assert all(m["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click" for m in mails)
    mail = next(m for m in mails if "No more?" in m.as_string())
    link = mail["List-Unsubscribe"].strip("<>")
    assert link in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr, attr-defined]
    assert "candidate" not in link
    for _ in range(3):
        page = reachable.http.get(link, timeout=5)
        assert page.status_code == 200
        assert "<form" in page.text
        assert page.headers["Referrer-Policy"] == "no-referrer"
    assert first.journey(BO).status == "active"
    form = {"List-Unsubscribe": "One-Click"}
    assert reachable.http.post(link, data=form, timeout=5, allow_redirects=False).status_code == 200
    for seq in (first, second):
        assert (seq.journey(BO).status, seq.journey(BO).reason) == ("cancelled", "opted_out")
    third = house.two_steps(house.local())
    report = third.enroll(house.people(1))
    assert list(report.rows["reason"]) == ["suppressed"]
    assert reachable.http.post(link, timeout=5).status_code == 200
    assert reachable.rows("suppressions")[0]["value"] == BO
    assert len(reachable.rows("suppressions")) == 1


@pytest.mark.rule(19)
def test_no_token_can_be_guessed_or_bent(reachable: Service) -> None:
    house = reachable.house
    first, _ = two(house)
    link = first.preview(BO)["text"][0].split()[-1]
    token = link.rsplit("/", 1)[1]
    key = link_key(house.engine.store)
    number = read_token(key, UNSUBSCRIBE, token)
    assert number is not None
    bent = {
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token[:-1],
        token + "A",
        "b" + token[1:],
        token.swapcase(),
        "1",
        "%00",
        "a" * 2000,
        "é" * 33,
    }
    for one in bent:
        for method in ("GET", "POST"):
            answer = reachable.http.request(method, f"{reachable.base}/unsubscribe/{one}", timeout=5)
            assert answer.status_code == 404, one
    assert first.journey(BO).status == "active"
    assert len({read_token(bytes([n]) * 32, UNSUBSCRIBE, token) for n in range(50)}) == 1


@pytest.mark.rule(19)
def test_without_a_public_address_there_is_no_link_and_no_header(tmp_path: Path) -> None:
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'o.db'}")
    first, _ = two(house)
    mail = sent(house)
    assert mail["List-Unsubscribe"] is None
    assert (first.journey(BO).status, first.journey(BO).reason) == ("paused", "missing_field")
    house.close()
