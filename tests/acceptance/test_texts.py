"""Snippets, templates that colleagues share, and the text as it was sent (rules 9, 32)."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import outbox
from outreach_sdk.errors import InvalidInput, NotFound, TemplateError
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage.claims import claim_sends
from tests.acceptance.scenarios import address, colleague
from tests.harness import House, sent_files


@pytest.fixture
def box(house: House) -> Mailbox:
    return house.local()


def texts(house: House, box: Mailbox) -> list[str]:
    found: list[Any] = [
        email.message_from_bytes(raw, policy=email.policy.default) for raw in sent_files(house, box)
    ]
    return sorted(m.get_body(("plain",)).get_content().replace("\r", "").strip() for m in found)


@pytest.mark.rule(9)
def test_a_snippet_is_called_by_its_name_and_reaches_whatever_has_not_left(
    house: House, box: Mailbox
) -> None:
    ws = Workspace(house.session)
    seq = Sequence.create("Snippets", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ snippet('who') }}", 'Hi,\n{{ snippet("intro") }}\nbye')
    seq.add_email(body="<p>{{ snippet('intro') }}</p>")
    assert seq.problems == [
        "Step 1 calls a snippet that isn't there: who.",
        "Step 1 calls a snippet that isn't there: intro.",
        "Step 2 calls a snippet that isn't there: intro.",
    ]
    assert seq.status == "incomplete"
    ws.snippet("who", "{{ first_name }}")
    ws.snippet("intro", "You & {{ company | fallback('yours') }}\nfit.")
    assert seq.problems == []
    seq.enroll(house.people(1))
    assert seq.preview()["subject"][0] == "Hello P0"
    assert seq.drafts()["body"].to_list() == ["Hi,\nYou & yours\nfit.\nbye", "<p>You &amp; yours<br>fit.</p>"]
    seq.activate()
    ws.snippet("intro", "Changed, {{ first_name }}.")
    house.settle(seq)
    assert texts(house, box) == ["Changed, P0.", "Hi,\nChanged, P0.\nbye"]
    assert ws.snippets["name"].to_list() == ["intro", "who"]
    ws.snippet("who", None)
    with pytest.raises(NotFound):
        ws.snippet("who", None)
    for name, text in (
        ("x", " "),
        ("x", "{{ snippet('x') }}"),
        ("x", '{{ ai("x", fallback="y") }}'),
        ('a"b', "y"),
        ("", "y"),
    ):
        with pytest.raises(InvalidInput):
            ws.snippet(name, text)
    with pytest.raises(TemplateError):
        ws.snippet("x", "{% for %}")


def test_snippets_are_ones_own_or_everybodys(house: House, box: Mailbox) -> None:
    bea = Workspace(colleague(house, "bea"))
    ada = Workspace(house.session)
    ada.snippet("mine", "Mine")
    ada.snippet("ours", "Ours", shared=True)
    assert bea.snippets["name"].to_list() == ["ours"]
    bea.snippet("ours", "Bea's")
    assert bea.snippets["mine"].to_list() == [False, True]
    seq = Sequence.create("S", mailbox=box, timezone="UTC")
    seq.add_email("Hi", '{{ snippet("ours") }}')
    seq.enroll(house.people(1))
    assert seq.drafts()["body"].to_list() == ["Ours"]
    house.engine.store.write("UPDATE sequences SET owner_id = ?", bea._session.user["id"])
    assert seq.drafts()["body"].to_list() == ["Bea's"], "the owner's own comes first"


@pytest.mark.rule(32)
def test_a_template_is_saved_once_and_begun_by_colleagues(house: House, box: Mailbox) -> None:
    ada, bea = Workspace(house.session), Workspace(colleague(house, "bea"))
    ada.snippet("intro", "Hi {{ first_name }}, I am Ada.")
    seq = Sequence.create("Engineers", mailbox=box, timezone="Europe/Madrid")
    with pytest.raises(InvalidInput, match="Add steps"):
        seq.save_template()
    seq.review = True
    seq.add_email("Hello", '{{ snippet("intro") }}', bcc=["ats@x.example"])
    seq.add_phone("Call", when=Later(days=2), skip_after=False)
    seq.enroll(house.people(2))
    seq.save_template()
    seq.save_template("Other")
    shown = bea.templates.to_dicts()
    assert [(t["name"], t["steps"], t["review"], t["saved_by"]) for t in shown] == [
        ("Engineers", 2, True, house.session.user["name"]),
        ("Other", 2, True, house.session.user["name"]),
    ]
    made = bea.from_template("Engineers", "Bea's engineers")
    assert made.name == "Bea's engineers"
    assert made.review
    assert made.steps["body"].to_list() == ["Hi {{ first_name }}, I am Ada.", "Call"]
    assert made.steps["when"].to_list() == ["at once", "2 days later"]
    assert len(made.candidates()) == 0
    assert made.problems == ["Connect a mailbox to send from."]
    assert made._row()["owner_id"] == bea._session.user["id"]
    seq.remove_step(2)
    seq.save_template()
    assert bea.templates["steps"].to_list() == [1, 2]
    assert len(made.steps) == 2, "what was begun stays"
    with pytest.raises(InvalidInput, match="colleague"):
        made.save_template("Engineers")
    with pytest.raises(NotFound):
        bea.remove_template("Engineers")
    with pytest.raises(NotFound):
        bea.from_template("Nothing")
    ada.remove_template("Engineers")
    assert bea.templates["name"].to_list() == ["Other"]


@pytest.mark.rule(9)
def test_the_text_as_sent_is_kept_with_the_commit_that_drafts_it(house: House, box: Mailbox) -> None:
    """Before anything leaves it is on record, and what comes later changes nothing of it."""
    seq = house.two_steps(box)
    seq.enroll(house.people(1))
    seq.activate()
    engine, seen = house.engine, []
    [claim] = claim_sends(
        engine.store, engine.now(), limit=1, cap=5, lease=engine.lease, new_key=engine.new_key
    ).items
    transport = engine.transport(engine.store.one("SELECT * FROM mailboxes") or {})
    real = transport.send_draft

    def send(draft: str) -> Any:
        seen.append(engine.store.one("SELECT state, subject, body_html FROM outbox"))
        return real(draft)

    transport.send_draft = send  # type: ignore[method-assign]
    assert outbox.process(engine, claim) == "sent"
    assert seen == [
        {"state": "sending", "subject": "Hello P0", "body_html": "<p>Hi P0, are you open to talk?</p>"}
    ]
    seq.edit_step(1, subject="Other", body="Other")
    house.engine.store.write("UPDATE candidates SET first_name = 'Changed'")
    steps = seq.journey(address(0)).steps
    assert steps["subject"][0] == "Hello P0"
    assert steps["body_html"][0] == "<p>Hi P0, are you open to talk?</p>"
    assert "are you open to talk" in seq.journey(address(0))._repr_html_()
