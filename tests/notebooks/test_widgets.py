"""Widgets, driven by their own events: what a click does, what is greyed out and why, what is said when it fails."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import ConfigError, ImportRefused, InvalidInput
from outreach_sdk.notebook.widgets import time_left
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.task import Task
from outreach_sdk.storage.store import Store
from tests.acceptance.scenarios import NoWake
from tests.harness import House, sent_files, wait_until

# What widgets read and do is tested on both databases; this is about the widgets.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    made = House(tmp_path / "home", database_url)
    yield made
    made.close()


@pytest.fixture
def box(house: House) -> Mailbox:
    return house.local()


def go(house: House) -> None:
    dispatch.tick(house.engine, NoWake())
    dispatch.drain_sends(house.engine, threads=2)


def on(widget: Any) -> bool:
    return bool(widget.layout.display != "none")


@pytest.mark.rule(1, 2, 3)
def test_the_switch_is_grey_with_the_reasons_until_the_sequence_is_complete(
    house: House, box: Mailbox
) -> None:
    seq = Sequence.create(mailbox=box, timezone="UTC")
    panel = seq.switch()
    assert panel.toggle.disabled
    assert "Give the sequence a name." in panel.why.value
    assert "incomplete" in panel.why.value
    seq.name = "<i>Mine</i>"
    seq.add_email("Hi {{ first_name }}", "Text")
    seq.enroll(house.people(2))
    panel.again.click()
    assert not panel.toggle.disabled
    assert "2 pending" in panel.why.value
    assert "&lt;i&gt;Mine" in panel.why.value
    panel.toggle.value = True
    assert seq.status == "active"
    assert "Journeys that go: 2." in panel.told.value
    assert "2 active" in panel.why.value
    panel.toggle.value = False
    assert seq.status == "inactive"
    assert "2 paused" in panel.why.value
    seq.remove_step(1)
    panel.toggle.value = True
    assert "step" in panel.told.value, "refused with the reason"
    assert panel.toggle.value is False
    assert seq.status == "incomplete"
    assert "application/vnd.jupyter.widget-view+json" in panel._repr_mimebundle_()


def waiting(house: House, box: Mailbox) -> Sequence:
    seq = Sequence.create("By hand", mailbox=box, timezone="UTC")
    seq.add_email(
        "Hi {{ first_name }}", "Dear {{ first_name }}, {{ topic | fallback('hello') }}", manual=True
    )
    seq.add_phone("Call {{ first_name }}", when=Later(seconds=0), skip_after=7_300)
    seq.enroll([{**p, "Phone": "+34612345678"} for p in house.people(2)])
    seq.activate()
    go(house)
    return seq


@pytest.mark.rule(8)
def test_the_queue_reads_edits_sends_marks_and_skips(house: House, box: Mailbox) -> None:
    assert "Nothing waits for you." in outreach.task_queue().empty.value
    seq = waiting(house, box)
    panel = outreach.task_queue()
    assert [label for label, _ in panel.choice.options] == [
        "email: P0 Li · By hand",
        "email: P1 Li · By hand",
    ]
    assert (panel.subject.value, panel.body.value) == ("Hi P0", "Dear P0, hello")
    assert [on(w) for w in (panel.choice, panel.subject, panel.note, panel.send, panel.done)] == [True] * 2 + [
        False, True, False,
    ]  # fmt: skip
    assert panel.empty.value == ""
    assert "It skips itself in 2 d 23 h" in panel.left.value
    panel.body.value = "Dear P0, {braces} and {{ these }} stay"
    panel.again.click()
    assert panel.body.value.endswith("these }} stay"), "what isn't saved yet outlives a refresh"
    Task.get(panel.choice.value).edit(subject="Hello {{ first_name }}")
    panel.save.click()
    assert "Somebody else edited this draft" in panel.told.value
    assert panel.body.value.endswith("these }} stay")
    assert panel.subject.value == "Hello P0", "and theirs is shown"
    panel.save.click()
    assert "Saved." in panel.told.value
    assert panel.body.value == "Dear P0, {braces} and {{ these }} stay"
    panel.send.click()
    assert "On its way to P0 Li." in panel.told.value
    assert panel.subject.value == "Hi P1", "the next one is shown"
    go(house)
    [raw] = sent_files(house, box)
    message: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert message.get_body(("plain",)).get_content().strip() == "Dear P0, {braces} and {{ these }} stay"
    panel.skip.click()
    assert "Skipped: P1 Li." in panel.told.value
    go(house)
    panel.again.click()
    assert panel.body.value.startswith("Call P")
    assert "+34612345678" in panel.head.value
    assert on(panel.done)
    assert on(panel.note)
    assert not on(panel.send)
    assert "2 h 1 min" in panel.left.value
    first = panel.choice.value
    panel.note.value = "spoke to them"
    panel.done.click()
    assert Task.get(first).note == "spoke to them"
    assert len(panel.choice.options) == 1
    Task.list()[0].skip()
    panel.done.click()
    assert "open any more" in panel.told.value, "somebody was first, and is named"
    assert panel.choice.options == ()
    assert set(seq.candidates()["status"]) == {"completed"}


def test_a_task_with_a_missing_field_is_not_sent_until_it_is_written(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Fields", mailbox=box, timezone="UTC")
    seq.add_email("Hi", "You at {{ company }}", manual=True)
    seq.enroll(house.people(1))
    seq.activate()
    go(house)
    panel = outreach.task_queue()
    assert "Missing: company" in panel.head.value
    panel.send.click()
    assert "Missing: company" in panel.told.value
    panel.body.value = "You at Acme"
    panel.send.click()
    go(house)
    assert len(sent_files(house, box)) == 1


def test_the_editor_shows_what_it_comes_to_for_somebody_real(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Edited", mailbox=box, timezone="UTC")
    assert "no steps yet" in seq.editor().told.value
    seq.add_email("Hi {{ first_name }}", "From {{ sender_name }}")
    seq.add_phone("Ring {{ last_name }}")
    seq.enroll(house.people(2))
    panel = seq.editor()
    assert "Hi P0" in panel.seen.value
    assert "From Ada" in panel.seen.value
    panel.body.value = "<p>At {{ company | fallback('<b>work</b>') }}</p><script>x</script>"
    assert "At &lt;b&gt;work&lt;/b&gt;" in panel.seen.value
    assert "<script>" not in panel.seen.value
    panel.person.value = panel.person.options[1][1]
    assert "Hi P1" in panel.seen.value
    panel.body.value = "{% for x in y %}"
    assert "can't" in panel.seen.value or "isn't allowed" in panel.seen.value or "parse" in panel.seen.value
    panel.keep.click()
    assert "or-note" in panel.told.value, "refused, and said why"
    assert seq.steps["body"][0] == "From {{ sender_name }}"
    panel.body.value = "Better, {{ first_name }}"
    panel.keep.click()
    assert "Step 1 is saved" in panel.told.value
    assert seq.steps["body"][0] == "Better, {{ first_name }}"
    panel.step.value = (2, "A")
    assert panel.body.value == "Ring {{ last_name }}"
    assert "Ring Li" in panel.seen.value


@pytest.mark.rule(31)
def test_the_editor_edits_variants_too(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Edited", mailbox=box, timezone="UTC")
    seq.add_email("Hi {{ first_name }}", "Long")
    seq.add_variant(1, body="Short")
    seq.enroll(house.people(1))
    panel = seq.editor()
    assert [label for label, _ in panel.step.options] == [
        "1A. email: Hi {{ first_name }}",
        "1B. email: Hi {{ first_name }}",
    ]
    panel.step.value = (1, "B")
    assert (panel.subject.value, panel.body.value) == ("Hi {{ first_name }}", "Short")
    panel.body.value = "Shorter, {{ first_name }}"
    assert "Shorter, P0" in panel.seen.value
    panel.keep.click()
    assert "Step 1B is saved" in panel.told.value
    assert seq.variants(1)["body"].to_list() == ["Long", "Shorter, {{ first_name }}"]
    seq.edit_step(1, subject="Hello")
    assert seq.variants(1)["subject"].to_list() == ["Hello"] * 2, "what wasn't changed stays the step's own"
    assert seq.steps["variants"].to_list() == [2]


@pytest.mark.rule(20)
def test_a_mapping_is_corrected_and_then_enrolled(house: House, box: Mailbox, tmp_path: Path) -> None:
    seq = house.two_steps(box)
    path = tmp_path / "people.csv"
    path.write_text("Reach;Who;Dept\nmia@a.example;Mia;<b>R&D</b>\nbo@a.example;Bo;Ops\n")
    panel = outreach.mapping_editor(path, seq)
    for field, column in (("email", "Reach"), ("first_name", "Who"), ("company", None)):
        panel.fields[field].value = column
    assert "mia@a.example" in panel.seen.value
    assert "separator &#x27;;&#x27;" in panel.seen.value
    assert not panel.enroll.disabled
    panel.fields["email"].value = None
    assert panel.enroll.disabled
    assert "or-note" in panel.seen.value
    panel.fields["email"].value = "Reach"
    panel.fields["company"].value = "Dept"
    assert "&lt;b&gt;R&amp;D" in panel.seen.value
    assert panel.mapping["first_name"] == "Who"
    panel.enroll.click()
    assert "2 enrolled" in panel.told.value
    assert set(seq.candidates()["name"]) == {"Mia", "Bo"}
    panel.enroll.click()
    assert "2 duplicate" in panel.told.value
    nothing = outreach.mapping_editor([{"a": "x", "b": "y"}])
    assert nothing.enroll.disabled
    assert nothing.fields["email"].options[1:] == (("a", "a"), ("b", "b"))
    with pytest.raises(ImportRefused):
        outreach.mapping_editor(tmp_path / "absent.csv")


def test_a_running_sequence_is_followed_to_its_end(house: House, box: Mailbox) -> None:
    seq = house.two_steps(box)
    seq.enroll(house.people(3))
    with pytest.raises(InvalidInput):
        seq.live(every=0)
    seq.activate()
    panel = seq.live(every=0.1)
    assert panel.count.value == "0 of 3 have ended"
    house.settle(seq)
    wait_until(lambda: panel.count.value == "3 of 3 have ended")
    assert panel.bar.value == panel.bar.max == 3
    assert "completed" in panel.seen.value
    panel.stop.click()
    panel._thread.join(5)
    assert not panel._thread.is_alive()


def test_a_lost_database_is_a_sentence_in_every_widget(
    house: House, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = waiting(house, box)
    switch, queue = seq.switch(), outreach.task_queue()

    def lost(self: Store) -> Any:
        raise ConnectionError("gone")

    monkeypatch.setattr(Store, "connection", lost)
    for act in (switch.again.click, queue.again.click, queue.send.click, queue.skip.click):
        act()
    switch.toggle.value = False
    assert "ConnectionError" in switch.told.value
    assert "ConnectionError" in queue.told.value


def test_the_time_left_is_said_in_words(database_url: str) -> None:
    now = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
    assert time_left(None, now) == "It waits for as long as it takes."
    assert time_left(now, now) == "It is about to skip itself."
    assert "in 1 h 5 min (01 Mar, 10:05 UTC)" in time_left(now + dt.timedelta(minutes=65), now)
    assert "under a minute" in time_left(now + dt.timedelta(seconds=9), now)


def test_without_ipywidgets_a_sentence_says_what_to_install(
    house: House, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = house.two_steps(box)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    for make in (seq.switch, seq.editor, seq.live, outreach.task_queue):
        with pytest.raises(ConfigError, match=r"pip install 'outreach-sdk\[notebook\]'"):
            make()
