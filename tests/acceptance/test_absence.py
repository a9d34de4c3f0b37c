"""What machines answer: whose absence it is, what waits for it, and what doesn't."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from tests.acceptance.scenarios import Clock, NoWake, address, provider_of
from tests.harness import House
from tests.mail.hostile import Accepted

AUTO = (("Auto-Submitted", "auto-replied"),)
AWAY = "I am out of the office."


@dataclass
class Answered:
    """A house whose first e-mail to one person is out, the next due in ten days."""

    house: House
    box: Mailbox
    seq: Sequence
    clock: Clock
    sent: Accepted

    def answer(self, text: str, **given: Any) -> None:
        provider_of(self.house).deliver_reply(self.sent, text, at=self.clock.now, **given)
        self.read()

    def automatic(self, text: str, **given: Any) -> None:
        self.answer(text, headers=AUTO, **given)

    def read(self) -> None:
        self.clock.on(minutes=6)
        sync.poll_mailbox(self.house.engine, self.box.id)

    def live(self, days: int) -> None:
        """So many days pass, the clock ticking and workers draining."""
        for _ in range(days):
            self.clock.on(days=1)
            sync.poll_mailbox(self.house.engine, self.box.id)
            dispatch.tick(self.house.engine, NoWake())
            dispatch.drain_sends(self.house.engine, threads=1)

    @property
    def left(self) -> int:
        return len(provider_of(self.house).ledger())

    @property
    def journey(self) -> dict[str, Any]:
        row = self.house.engine.store.one(
            "SELECT * FROM journeys WHERE sequence_id = ? ORDER BY id", self.seq.id
        )
        assert row is not None
        return row

    @property
    def told(self) -> str:
        rows = self.house.engine.store.rows("SELECT text FROM notifications ORDER BY id")
        return "\n".join(r["text"] for r in rows)

    @property
    def invalid(self) -> list[str]:
        rows = self.house.engine.store.rows("SELECT address FROM candidate_emails WHERE invalid ORDER BY id")
        return [r["address"] for r in rows]


@pytest.fixture
def one(house: House) -> Answered:
    return begun(house)


OURS = (
    "Hi {{ first_name }}, are you open to talk about a position in Berlin?\n"
    "Not for you? Just answer “please unsubscribe” and I stop e-mailing you.\n\nAda"
)


def begun(house: House, body: str = OURS, **step: Any) -> Answered:
    box = house.trusted(house.hostile())
    clock = Clock(house)
    seq = Sequence.create("Two", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", body, **step)
    seq.add_email(body="Just checking.", when=Later(days=10))
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    clock.on(minutes=1)
    [sent] = provider_of(house).ledger()
    return Answered(house, box, seq, clock, sent)


@pytest.mark.rule(17)
def test_what_a_person_paused_stays_paused_whoever_is_away(one: Answered) -> None:
    one.seq.journey(address(0)).pause()
    one.automatic(AWAY)
    assert one.journey["reason"] == "manual"
    one.live(24)
    assert one.left == 1


@pytest.mark.rule(17)
def test_an_absence_while_the_sequence_is_off_is_waited_for_once_it_is_on(one: Answered) -> None:
    one.seq.deactivate()
    one.automatic(AWAY)
    one.seq.activate()
    one.live(12)
    assert one.left == 1
    one.live(6)
    assert one.left == 2


@pytest.mark.rule(17)
def test_a_stated_day_is_moved_by_another_stated_day_alone(one: Answered) -> None:
    def back(days: int) -> dt.date:
        day = (one.clock.now + dt.timedelta(days=days)).date()
        one.automatic(f"I am out of the office, back on {day:%d %B %Y}.")
        return day

    back(60)
    kept = one.journey["resume_at"]
    one.automatic(AWAY)
    assert one.journey["resume_at"] == kept
    sooner = back(30)
    assert dt.timedelta(0) <= one.journey["resume_at"].date() - sooner < dt.timedelta(days=3)


@pytest.mark.rule(17, 29)
def test_a_journey_taken_up_for_a_later_day_is_never_brought_forward(one: Answered) -> None:
    one.answer("Not now, try me in spring")
    one.seq.journey(address(0)).reengage(after="90d")
    kept = one.journey["resume_at"]
    one.automatic(AWAY)
    assert one.journey["resume_at"] == kept
    day = (one.clock.now + dt.timedelta(days=120)).date()
    one.automatic(f"I am out of the office, back on {day:%d %B %Y}.")
    assert one.journey["resume_at"].date() >= day


@pytest.mark.rule(17)
def test_every_journey_of_who_is_away_waits(one: Answered) -> None:
    other = Sequence.create("Other", mailbox=one.box, timezone="UTC")
    other.add_email("Again, {{ first_name }}", "Hi")
    other.add_email(body="Still there?", when=Later(days=5))
    other.enroll(one.house.people(1))
    other.activate()
    dispatch.drain_sends(one.house.engine, threads=1)
    one.automatic(AWAY)
    for seq in (one.seq, other):
        assert seq.candidates()["reason"].to_list() == ["out_of_office"]


@pytest.mark.rule(17)
@pytest.mark.parametrize("text", ["I no longer work at Orbital.", AWAY, "We have received your request."])
def test_a_machine_speaks_for_its_own_address_alone(house: House, text: str) -> None:
    one = begun(house, cc=["tom@candidate0.example"])
    one.automatic(text, sender="tom@candidate0.example")
    one.automatic(text, sender="tickets@desk.example")
    assert one.journey["status"] == "active"
    assert one.invalid == []
    assert ("tom@candidate0.example answered by itself" in one.told) == ("no longer" in text)
    one.live(11)
    assert one.left == 2


@pytest.mark.rule(17)
def test_an_answer_from_the_primary_address_of_an_alias_counts_as_theirs(one: Answered) -> None:
    one.automatic(AWAY, sender="pat.li@candidate0.example")
    assert one.journey["reason"] == "out_of_office"


@pytest.mark.rule(17)
def test_who_shares_nothing_but_a_free_mail_provider_is_somebody_else(one: Answered) -> None:
    one.house.engine.store.write("UPDATE candidate_emails SET address = 'p0@yahoo.co.uk'")
    one.house.engine.store.write("UPDATE journeys SET email = 'p0@yahoo.co.uk'")
    one.automatic(AWAY, sender="somebody@yahoo.co.uk")
    assert one.journey["status"] == "active"
    one.automatic(AWAY, sender="p0@yahoo.co.uk")
    assert one.journey["reason"] == "out_of_office"


@pytest.mark.rule(17)
def test_that_somebody_left_is_believed_of_their_own_address_alone(one: Answered) -> None:
    one.automatic("I am no longer employed here.", sender="Pat Li <pat.li@candidate0.example>")
    assert (one.journey["reason"], one.invalid) == ("out_of_office", [])
    assert "pat.li@candidate0.example" in one.told
    one.automatic("I am no longer employed here.")
    assert (one.journey["reason"], one.invalid) == ("bounced", [address(0)])


CLOSED = "This e-mail address is no longer in use. Please write to office@candidate0.example."


@pytest.mark.rule(18)
@pytest.mark.parametrize("text", [CLOSED, "Das Postfach wurde geschlossen, Ihre Nachricht wird nicht gelesen.",
                                  "La cuenta p0@candidate0.example ha sido desactivada."])  # fmt: skip
def test_an_automatic_notice_that_the_address_is_given_up_is_a_hard_bounce(one: Answered, text: str) -> None:
    one.house.engine.store.write(
        "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, source, verified, invalid, "
        "created_at) SELECT workspace_id, owner_id, id, 'p0@home.example', 'personal', 'ats', ?, ?, created_at "
        "FROM candidates",
        True,
        False,
    )
    one.automatic(text)
    assert (one.journey["status"], one.journey["reason"]) == ("cancelled", "bounced")
    assert one.invalid == [address(0)]
    assert "this address is no longer in use, says its automatic reply" in one.told
    assert 'p0@home.example is another verified address: journey.use_email("p0@home.example")' in one.told
    one.live(11)
    assert one.left == 1
    one.seq.journey(address(0)).use_email("p0@home.example")
    one.live(1)
    assert min(provider_of(one.house).ledger()[1].recipients) == "p0@home.example"


@pytest.mark.rule(15)
def test_a_person_who_says_so_by_hand_has_answered(one: Answered) -> None:
    one.answer("I don't use this inbox any more, it is no longer in use. Write to p0@home.example!")
    assert (one.journey["reason"], one.invalid) == ("replied", [])


@pytest.mark.rule(18)
def test_that_an_address_is_given_up_is_believed_of_ones_own_alone(house: House) -> None:
    one = begun(house, cc=["tom@candidate0.example"])
    one.automatic(CLOSED, sender="tom@candidate0.example")
    one.automatic(CLOSED, sender="tickets@desk.example")
    one.automatic(
        "The address jobs@candidate0.example is no longer in use.", sender="desk@candidate0.example"
    )
    assert one.invalid == []
    assert one.journey["status"] != "cancelled"
    assert "tom@candidate0.example answered by itself" in one.told
    one.automatic("p0@candidate0.example is no longer active.", sender="p.li@candidate0.example")
    assert (one.journey["reason"], one.invalid) == ("bounced", [address(0)])


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    "text", ["We have received your request, ticket 4711. We will get back to you within two days.",
             "Vielen Dank für Ihre Anfrage. Vorgangsnummer: 8812.",
             "Please confirm that you are human: click the link to have your message delivered."],
)  # fmt: skip
def test_an_acknowledgement_is_told_and_changes_nothing(one: Answered, text: str) -> None:
    one.automatic(text)
    assert one.journey["status"] == "active"
    assert text[:20] in one.told
    one.live(11)
    assert one.left == 2


@pytest.mark.rule(18)
def test_a_bounce_from_behind_a_forward_stops_the_address_we_wrote_to(one: Answered) -> None:
    provider_of(one.house).deliver_bounce(one.sent, "old.box@dead.example", at=one.clock.now)
    one.read()
    assert (one.journey["status"], one.journey["reason"]) == ("cancelled", "bounced")
    assert one.invalid == [address(0)]


@pytest.mark.rule(18)
@pytest.mark.parametrize("how", ["cc", "bcc"])
def test_a_bounce_of_a_copy_is_told_as_that_and_stops_nothing(house: House, how: str) -> None:
    one = begun(house, **{how: ["ats@inbound.example"]})
    provider_of(house).deliver_bounce(one.sent, "ats@inbound.example", at=one.clock.now)
    one.read()
    assert one.journey["status"] == "active"
    assert one.invalid == []
    assert "A copy of the e-mail to P0 Li came back from ats@inbound.example" in one.told
    one.live(11)
    assert one.left == 2


@pytest.mark.rule(15)
def test_an_answer_that_a_group_of_ours_passed_on_is_an_answer(one: Answered) -> None:
    one.answer(
        "Yes, let's talk.", headers=(("Sender", one.box.address), ("List-Id", "<jobs.agency.example>"))
    )
    assert one.journey["reason"] == "replied"


@pytest.mark.rule(19)
@pytest.mark.parametrize(
    "quote",
    [
        "---- Le mardi, Ada écrit ---\n{ours}",
        "Am selben Tag:\n\n{ours}",
        "‐‐ \n{wrapped}",
        "Ada:\n| {ours}",
    ],
)
def test_our_own_words_behind_any_quote_ask_for_nothing(one: Answered, quote: str) -> None:
    ours = (
        "Hi P0, are you open to talk about a position in Berlin?\n"
        "Not for you? Just answer “please unsubscribe” and I stop e-mailing you.\n\nAda"
    )
    wrapped = ours.replace("“please unsubscribe”", "\n“please unsubscribe”")
    one.answer(f"Sounds interesting, call me tomorrow.\n\n{quote.format(ours=ours, wrapped=wrapped)}")
    assert one.journey["reason"] == "replied"
    [row] = one.house.engine.store.rows("SELECT visible_text FROM inbound")
    assert row["visible_text"].startswith("Sounds interesting, call me tomorrow.")
    assert "unsubscribe" not in row["visible_text"]


@pytest.mark.rule(19)
def test_their_own_words_between_ours_still_ask(one: Answered) -> None:
    one.answer(
        "Hi P0, are you open to talk about a position in Berlin?\nNo. Please unsubscribe me.\n"
        "Not for you? Just answer “please unsubscribe” and I stop e-mailing you."
    )
    assert one.journey["reason"] == "opted_out"


SUGGESTED = {
    "Please remove me from your list": "If this isn't for you, just reply “please remove me from your list” and I stop.",
    "do not contact me again": 'If you want me to stop, say "do not contact me again".',
    "Bitte löschen Sie meine Daten": 'Wenn Sie nichts mehr hören möchten: "Bitte löschen Sie meine Daten" genügt.',
}


@pytest.mark.rule(19)
@pytest.mark.parametrize("quoted", [False, True], ids=["alone", "with a quote"])
@pytest.mark.parametrize("words", SUGGESTED)
def test_whoever_answers_with_the_words_we_suggest_is_left_alone(
    house: House, words: str, quoted: bool
) -> None:
    one = begun(house, body=f"Hi P0, a position in Berlin?\n\n{SUGGESTED[words]}\n\nAda")
    quote = f"\n\nOn Mon, 2 Mar 2026 at 09:00, Ada <{one.box.address}> wrote:\n> Hi P0, a position in Berlin?\n>\n"
    one.answer(words + (f"{quote}> {SUGGESTED[words]}\n" if quoted else ""))
    assert one.journey["reason"] == "opted_out"
    suppressed = house.engine.store.rows("SELECT value FROM suppressions")
    assert [row["value"] for row in suppressed] == [address(0)]
