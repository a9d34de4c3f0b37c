"""Drafts in Outlook: marked from their first moment, found again, threaded, saying what was meant."""

from __future__ import annotations

import datetime as dt
import email
import email.policy

import pytest

from outreach_sdk.domain.message import Address, OutgoingMessage, html_to_text, text_hash
from outreach_sdk.errors import MailRefused, MailTemporary
from outreach_sdk.mail.outlook.client import OutlookTransport
from outreach_sdk.mail.outlook.parse import KEY_PROPERTY
from outreach_sdk.mail.port import Fingerprint, SentMessage
from tests.mail.fault_proxy import Fault
from tests.mail.graph_proxy import CREATE, REPLY
from tests.mail.worlds import OutlookWorld, outgoing

NOBODY = Fingerprint(frozenset(), "", text_hash(""))


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def outlook(outlook_world: OutlookWorld) -> OutlookTransport:
    return outlook_world.transport()


def drafts(world: OutlookWorld) -> list[str]:
    return [m["microsoft_id"] for m in world.emulator.records("drafts")]


def sent_first(outlook: OutlookTransport) -> SentMessage:
    return outlook.send_draft(outlook.create_draft(outgoing(), send_key="key-0").provider_draft_id)


def follow_up(first: SentMessage, **more: object) -> OutgoingMessage:
    assert first.rfc_message_id is not None
    return outgoing(
        "Re: A role at Acme",
        "Just checking.",
        in_reply_to=first.rfc_message_id,
        references=(first.rfc_message_id,),
        provider_thread_id=first.provider_thread_id,
        **more,
    )


@pytest.mark.parametrize(
    "fault",
    [
        Fault("lost", method="POST", path=CREATE),
        Fault("answer-after", method="POST", path=CREATE, status=500),
        Fault("stall-after", method="POST", path=CREATE, seconds=3),
    ],
    ids=["lost", "500", "stall"],
)
def test_a_draft_whose_answer_was_lost_is_found_and_not_made_twice(
    outlook_world: OutlookWorld, fault: Fault
) -> None:
    outlook = outlook_world.transport(timeout=0.5 if fault.kind == "stall-after" else 10)
    outlook_world.proxy.add(fault)
    with pytest.raises(MailTemporary):
        outlook.create_draft(outgoing(), send_key="key-1")
    found = outlook.find_draft("key-1")
    assert found is not None
    assert drafts(outlook_world) == [found.provider_draft_id]
    assert outlook_world.proxy.count("POST", CREATE) == 1


@pytest.mark.parametrize("takes", [True, False, None], ids=["takes", "ignores", "refuses"])
def test_a_reply_bears_its_key_whether_or_not_create_reply_takes_it(
    outlook_world: OutlookWorld, outlook: OutlookTransport, takes: bool | None
) -> None:
    outlook_world.proxy.reply_takes_properties = takes
    message = follow_up(sent_first(outlook), headers=(("X-Team", "talent"),))
    draft = outlook.create_draft(message, send_key="key-1")
    assert drafts(outlook_world) == [draft.provider_draft_id]
    found = outlook.find_draft("key-1")
    assert found is not None
    assert found.provider_draft_id == draft.provider_draft_id
    outlook.send_draft(draft.provider_draft_id)
    witness = email.message_from_bytes(outlook_world.sent()[-1], policy=email.policy.default)
    assert [a.addr_spec for a in witness["To"].addresses] == ["bo@candidate.example"]
    assert (witness["Subject"], witness["X-Team"]) == ("Re: A role at Acme", "talent")


@pytest.mark.parametrize("takes", [True, False])
def test_a_reply_whose_answer_was_lost_is_never_made_twice_blindly(
    outlook_world: OutlookWorld, outlook: OutlookTransport, takes: bool
) -> None:
    outlook_world.proxy.reply_takes_properties = takes
    first = sent_first(outlook)
    outlook_world.proxy.add(Fault("lost", path=REPLY))
    with pytest.raises(MailTemporary):
        outlook.create_draft(follow_up(first), send_key="key-1")
    assert outlook_world.proxy.count("POST", REPLY) == 1
    (left,) = drafts(outlook_world)
    found = outlook.find_draft("key-1")
    assert (found.provider_draft_id if found else None) == (left if takes else None)


def test_a_reply_that_could_not_be_filled_in_is_taken_away(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    first = sent_first(outlook)
    outlook_world.proxy.reply_takes_properties = False
    outlook_world.proxy.add(Fault("answer", method="PATCH", path="/messages/", count=None, status=500))
    with pytest.raises(MailTemporary):
        outlook.create_draft(follow_up(first), send_key="key-1")
    assert drafts(outlook_world) == []


def test_a_thread_that_is_gone_still_threads_at_the_candidates_end(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    message = outgoing(in_reply_to="<1@x.example>", references=("<0@x.example>", "<1@x.example>"))
    message = OutgoingMessage(
        **{name: getattr(message, name) for name in message.__slots__} | {"provider_thread_id": "gone"}
    )
    outlook.send_draft(outlook.create_draft(message, send_key="key-1").provider_draft_id)
    assert outlook_world.proxy.count("POST", REPLY) == 0
    witness = email.message_from_bytes(outlook_world.sent()[0], policy=email.policy.default)
    assert (witness["In-Reply-To"], witness["References"]) == ("<1@x.example>", "<0@x.example> <1@x.example>")


def test_a_key_in_other_letters_is_another_key(outlook: OutlookTransport) -> None:
    # Graph compares property values blind to case.
    outlook.create_draft(outgoing(), send_key="KEY-1")
    assert outlook.find_draft("key-1") is None
    found = outlook.find_draft("KEY-1")
    assert found is not None
    outlook.send_draft(found.provider_draft_id)
    assert outlook.find_sent(send_key="key-1", since=now(), fingerprint=NOBODY) is None


def test_headers_that_graph_can_carry_and_those_it_cannot(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    carried = (("X-Team", "talent"), ("List-Unsubscribe", "<https://x.example/u>"))
    outlook.send_draft(outlook.create_draft(outgoing(headers=carried), send_key="key-1").provider_draft_id)
    witness = email.message_from_bytes(outlook_world.sent()[0], policy=email.policy.default)
    assert (witness["X-Team"], witness["List-Unsubscribe"]) == ("talent", "<https://x.example/u>")
    with pytest.raises(MailRefused, match="Importance"):
        outlook.create_draft(outgoing(headers=(("Importance", "high"),)), send_key="key-2")


def test_html_and_an_alias_go_out_as_meant(outlook_world: OutlookWorld, outlook: OutlookTransport) -> None:
    html = '<p>Hello <b>Bo</b>, see <a href="https://x.example">this</a>.</p>'
    message = OutgoingMessage(
        sender=Address("talent@agency.example", "Talent"),
        to=(Address("bo@bücher.example", "Bo"),),
        subject="Hi",
        text=html_to_text(html),
        html=html,
    )
    since = now()
    outlook.send_draft(outlook.create_draft(message, send_key="key-1").provider_draft_id)
    (record,) = outlook_world.emulator.records("sentitems")
    assert (record["body_content_type"], record["body_content"]) == ("html", html)
    assert record["to_recipients"][0]["address"] == "bo@xn--bcher-kva.example"
    outlook_world.proxy.properties[record["microsoft_id"]].pop(KEY_PROPERTY)
    mine = Fingerprint(frozenset({"bo@xn--bcher-kva.example"}), "Hi", text_hash(message.text))
    found = outlook.find_sent(send_key="key-1", since=since, fingerprint=mine)
    assert found is not None


def test_one_recipient_more_or_less_is_another_message(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    since = now()
    outlook_world.send_unmarked(outgoing(cc=(Address("cy@x.example"),), date=since))
    people = {"bo@candidate.example", "cy@x.example"}
    for wanted, found in (
        (people, True),
        (people - {"cy@x.example"}, False),
        (people | {"d@x.example"}, False),
    ):
        mine = Fingerprint(frozenset(wanted), outgoing().subject, text_hash(outgoing().text))
        seen = outlook.find_sent(send_key="key-1", since=since, fingerprint=mine)
        assert (seen is not None) == found


def test_a_sent_copy_with_another_id_is_found_by_its_key(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    # Seen by others, against Microsoft's word: the id of the draft ends with it.
    outlook_world.proxy.sends_change_ids = True
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    sent = outlook.send_draft(draft)
    assert sent.provider_message_id != draft
    assert outlook.read_sent(sent.provider_message_id).rfc_message_id == sent.rfc_message_id
    assert not outlook.draft_exists(draft)
    second = outlook.send_draft(outlook.create_draft(follow_up(sent), send_key="key-2").provider_draft_id)
    assert second.provider_thread_id == sent.provider_thread_id
    found = outlook.find_sent(send_key="key-2", since=now(), fingerprint=NOBODY)
    assert found is not None
    assert found.provider_message_id == second.provider_message_id
