"""What objects show of themselves: right, escaped, quick, whatever is in them and whatever is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

import outreach_sdk as outreach
from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.engine.enroll import HOLD_BACKS
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.enrichment import Enrichment
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.message import Message
from outreach_sdk.objects.report import _WHY
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.task import Task
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage.store import Store
from tests.acceptance.scenarios import NoWake, address, provider_of
from tests.harness import House

EVIL = "<script>alert(1)</script>"
FORMULA = "=1+cmd|' /C calc'!A0"
TURNED = "Role \u202egnp.exe"
ESCAPES = "\x1b[31mLi"


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    made = House(tmp_path / "home", database_url)
    yield made
    made.close()


class Tags(HTMLParser):
    """Every element with its attributes, and whether they close in order."""

    VOID = ("br", "hr", "img", "input")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(source)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


def shown(thing: Any) -> str:
    """Its card, checked: harmless HTML, and the same words in a terminal and as text."""
    html = str(thing._repr_html_())
    if hasattr(thing, "__rich__"):
        both = thing._repr_mimebundle_()
        assert set(both) == {"text/html", "text/plain"}
        assert both["text/html"].partition("</h4>")[0] == html.partition("</h4>")[0]
        assert both["text/plain"] == repr(thing)
        assert set(thing._repr_mimebundle_(include=["text/plain"])) == {"text/plain"}
        assert set(thing._repr_mimebundle_(exclude=["text/plain"])) == {"text/html"}
    tags = Tags(html)
    for tag, attributes in tags.seen:
        assert tag not in ("script", "iframe", "object", "img", "form", "input", "svg", "link"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), name
            assert "javascript:" not in (value or "")
            if tag == "a" and name == "href":
                assert attributes["rel"] == "noopener noreferrer nofollow"
    assert "\u202e" not in html
    assert "\x1b" not in html
    if hasattr(thing, "__rich__"):
        console = Console(width=160, file=open("/dev/null", "w"), record=True, color_system=None)  # noqa: SIM115
        with console.file:
            console.print(thing)
        told = console.export_text() + repr(thing)
        assert "\x1b" not in told
        assert "\u202e" not in told
    return tags.words


def evil(house: House) -> tuple[Mailbox, Sequence]:
    """One of everything, each named as badly as can be."""
    box = house.trusted(house.hostile())
    seq = Sequence.create(f"{EVIL} {TURNED}", mailbox=box, timezone="UTC")
    seq.add_email("Hi {{ first_name }} at {{ company }}", "<p>Dear {{ first_name }},</p>" + EVIL + TURNED)
    seq.add_phone(f"Call {{{{ company }}}} {EVIL}", when=Later(seconds=0))
    seq.add_email(TURNED, f"{EVIL} {{{{ company }}}}", manual=True)
    seq.enroll([{"First Name": "M" + EVIL, "Last Name": ESCAPES, "Email": address(0), "Company": FORMULA}])
    seq.activate()
    dispatch.tick(house.engine, NoWake())
    dispatch.drain_sends(house.engine, threads=1)
    dispatch.tick(house.engine, NoWake())
    return box, seq


@pytest.mark.rule(4, 9)
def test_everything_is_escaped_in_every_card(house: House) -> None:
    box, seq = evil(house)
    [task] = Task.list()
    told = shown(task)
    assert EVIL in told, "it is there to read, as text"
    assert FORMULA in told
    task.done()
    dispatch.tick(house.engine, NoWake())
    journey = seq.journey(address(0))
    told = shown(journey)
    assert "Dear M" in told
    assert "Role gnp.exe" in told
    assert "in the thread" not in told
    [sent] = provider_of(house).ledger()
    provider_of(house).deliver_reply(sent, f"Tell me more {EVIL}", at=house.engine.now())
    house.engine.store.write("UPDATE mailboxes SET next_poll_at = 0")
    sync.poll_mailbox(house.engine, box.id)
    told = shown(journey)
    assert "Tell me more <script>" in told
    assert "cancelled · replied" in told
    assert "interested" in told
    for thing in (
        Workspace(house.session), seq, Candidate.get(address(0)), box, Task.list(), outreach.notifications(),
        outreach.inbox(), journey.replies[0], Message.get(journey.messages["id"][0]),
        seq.enroll([*house.people(1, start=4), {"First Name": EVIL, "Email": EVIL}]),
    ):  # fmt: skip
        assert shown(thing)


def test_a_sequence_card_says_what_it_lacks_what_holds_it_and_how_far_everybody_is(house: House) -> None:
    empty = Sequence.create(timezone="UTC")
    told = shown(empty)
    assert "incomplete" in told
    assert "Give the sequence a name." in told
    assert "Nobody is enrolled yet" in told
    assert "isn't active" in told
    seq = house.two_steps(house.local(), delay=86_400)
    seq.add_phone("Call them")
    seq.enroll(house.people(3))
    assert "pending" in shown(seq)
    seq.activate()
    assert "No engine is running: nothing leaves until" in shown(seq)
    dispatch.drain_sends(house.engine, threads=2)
    told = re.sub(r"\s+", " ", shown(seq))
    assert f"{seq.name}active" in told
    assert "1emailat onceHello {{ first_name }}3" in told, "three have it"
    assert "2email1 day laterin the thread3" in told, "for three it is next"
    assert "enrolled3" in told
    assert "reached3" in told
    assert "P0 Li" in told
    assert f"Sequence({seq.name!r}, active: 3 active)" in repr(seq)
    numbers = seq.stats().to_dicts()[0]
    assert numbers["reached"] == 3, "the same numbers as the frame"


def test_a_mailbox_card_shows_its_load_against_its_limit(house: House) -> None:
    box = house.local()
    box.set_limits(per_day=10)
    seq = house.two_steps(box)
    seq.enroll(house.people(2))
    seq.activate()
    house.settle(seq)
    told = shown(box)
    assert "4 of 10" in told
    assert "connected, default" in told
    box.disconnect()
    assert "disconnected" in shown(box)


def test_a_report_and_a_run_show_reasons_and_costs(house: House) -> None:
    seq = house.two_steps(house.local())
    report = seq.enroll([*house.people(2), {"First Name": "X", "Email": "nothing"}])
    told = shown(report)
    assert "enrolled2" in told
    assert "rejected" in told
    assert "from column" in told
    assert "Email" in told
    rehearsed = seq.enroll(house.people(1, start=5), dry_run=True)
    assert "enrolled1" in shown(rehearsed)
    again = seq.clone(seq.name).enroll(
        [*house.people(2), {"Email": "lost@c.example"}, {}, {"Email": "lost@c.example"}]
    )
    told = shown(again)
    for why in (
        "in another sequence of yours of this name",
        "the same person stands further up",
        "nothing in the row",
    ):
        assert why in told
    assert not [why for why in again.rows["reason"].drop_nulls() if why in told], "words instead of names"
    assert all(name in _WHY for name in HOLD_BACKS)
    run = Enrichment.run(seq, ("email", "phone"), wait=False)
    assert "coverage" in shown(run)


def test_what_was_sent_is_shown_without_what_could_act(house: House) -> None:
    box = house.trusted(house.hostile())
    seq = Sequence.create("Rich", mailbox=box, timezone="UTC")
    seq.add_email("Hi", '<p>See <a href="https://a.example">this</a> <img src="https://t.example/p.gif"></p>')
    seq.enroll(house.people(1))
    seq.activate()
    house.settle(seq)
    house.engine.store.write(
        "UPDATE outbox SET body_html = body_html || ?",
        '<iframe src="x"></iframe><p style="position:fixed">y</p>',
    )
    html = seq.journey(address(0))._repr_html_()
    assert 'href="https://a.example"' in html
    assert 'target="_blank"' in html
    assert "<iframe" not in html
    assert "t.example" not in html, "no picture is fetched by looking"
    assert "position:fixed" not in html


def test_a_lost_database_makes_a_sentence(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    box, seq = evil(house)
    things = [
        Workspace(house.session),
        seq,
        seq.journey(address(0)),
        Candidate.get(address(0)),
        box,
        Task.list()[0],
    ]
    things += [seq.enroll(house.people(1, start=9)), Enrichment.run(seq, wait=False)]
    real = Store.connection

    def lost(self: Store) -> Any:
        raise ConnectionError("gone")

    monkeypatch.setattr(Store, "connection", lost)
    for thing in things:
        assert "can't be shown right now" in shown(thing) or "Enrolment" in shown(thing)
        assert repr(thing)
    monkeypatch.setattr(Store, "connection", real)
    assert "active" in shown(seq)
    house.engine.store.write("DELETE FROM journeys WHERE id > 0")
    assert "There is no such journey" in shown(things[2])


@pytest.fixture
def crowd(house: House) -> Sequence:
    """Ten thousand journeys, half of which were written to."""
    seq = house.two_steps(house.trusted(house.local()), delay=86_400)
    seq.enroll(pl.DataFrame(house.people(10_000)))
    seq.activate()
    store = house.engine.store
    with store.tx():
        store.write(
            "INSERT INTO outbox (workspace_id, owner_id, journey_id, step_id, candidate_id, attempt, send_key, state, "
            "generation, journey_generation, priority, mailbox_id, recipient, cc, bcc, tries, looks, due_at, sending_at, "
            "sent_at) SELECT workspace_id, owner_id, id, next_step_id, candidate_id, 1, CAST(id AS TEXT), 'sent', 1, 1, 2, "
            "lane, email, '[]', '[]', 0, 0, next_due_at, next_due_at, next_due_at FROM journeys WHERE id % 2 = 0"
        )
        store.write(
            "INSERT INTO journey_steps (workspace_id, owner_id, journey_id, step_id, candidate_id, kind, rank, status) "
            "SELECT workspace_id, owner_id, id, next_step_id, candidate_id, 'email', 1, 'sent' FROM journeys WHERE id % 2 = 0"
        )
    if store.dialect == "postgresql":
        store.db.connection().execute("ANALYZE")
    return seq


def test_ten_thousand_journeys_cost_no_more_statements_than_two(house: House, crowd: Sequence) -> None:
    def look(thing: Any) -> int:
        """How many statements its card takes."""
        store = house.engine.store
        thing._repr_html_()
        began = store.statements
        thing._repr_html_()
        return store.statements - began

    box = Mailbox.get("ada@agency.example")
    small = house.two_steps(box)
    small.enroll(house.people(2, start=20_000))
    small.activate()
    assert look(crowd) == look(small) <= 16
    for thing in (Workspace(house.session), box, crowd.journey(address(0)), Candidate.get(address(0))):
        assert look(thing) <= 16, type(thing)
    assert "10,000" in shown(crowd)
    assert "5,000" in shown(crowd)
    crowd.deactivate()
    small.deactivate()
    assert look(crowd) == look(small) <= 26, "who lacks what is looked up too"


def test_an_error_in_a_cell_is_a_sentence(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    house.two_steps(house.hostile()).enroll(house.people(1))
    ran = shell.run_cell("from outreach_sdk import Sequence\nSequence.get('Two steps').move_step(1, 9)")
    assert isinstance(ran.error_in_exec, InvalidInput)
    said = capsys.readouterr()
    assert said.out.strip() == f"InvalidInput: {ran.error_in_exec}"
    assert said.err == ""
    shell.run_cell("1 / 0")
    assert "Traceback" in capsys.readouterr().out, "what nobody meant keeps its traceback"
