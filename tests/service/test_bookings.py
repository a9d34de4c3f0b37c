"""What bookings stop, whom, and what owners hear, in whatever order it all arrives."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.engine import deliveries, upkeep
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import key_hash
from outreach_sdk.objects.workspace import Workspace, notifications
from outreach_sdk.storage.store import Store
from outreach_sdk.wiring import event_reader
from tests.harness import House
from tests.service import senders
from tests.service.senders import ENV, Delivery

BO = "p0@candidate0.example"
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    made = House(tmp_path / "home", database_url, dict(ENV))
    yield made
    made.close()


def enrolled(house: House, count: int = 1, **more: Any) -> Sequence:
    seq = house.two_steps(house.local(), delay=172_800)
    seq.activate()
    seq.enroll(house.people(count), **more)
    return seq


def give(house: House, *told: Delivery) -> list[dict[str, Any]]:
    """As if received in this order, then acted on."""
    for delivery in told:
        source = delivery.path.rsplit("/", 1)[1]
        name = f"generic:{source}" if "generic" in delivery.path else source
        kept = {k: v for k, v in delivery.headers.items() if k.startswith("event")}
        deliveries.record(house.engine, name, str(hash(delivery.body)), kept, delivery.body)
        deliveries.drain(house.engine)
    return house.engine.store.rows("SELECT * FROM deliveries ORDER BY id")


def told() -> list[str]:
    return [r["text"] for r in notifications().iter_rows(named=True)]


@pytest.mark.rule(15)
@pytest.mark.parametrize(
    "address", ["P0@Candidate0.Example", "p0+calendly@candidate0.example", "Bo <p0@candidate0.example>"]
)
def test_a_booking_by_any_spelling_of_the_address_stops_the_journey(house: House, address: str) -> None:
    seq = enrolled(house, 2)
    give(house, senders.calendly(address))
    assert (seq.journey(BO).status, seq.journey(BO).reason) == ("cancelled", "meeting_booked")
    assert seq.journey("p1@candidate1.example").status == "active"
    (text,) = told()
    assert "“Intro Call”" in text
    assert "https://meet.example/abc" in text
    assert "(Europe/Madrid)" in text


@pytest.mark.rule(15)
def test_an_address_with_a_tag_is_found_by_the_one_without(house: House) -> None:
    seq = house.two_steps(house.local(), delay=172_800)
    seq.activate()
    seq.enroll(
        [{"First Name": "Bo", "Email": "bo+jobs@x.example"}, {"First Name": "Di", "Email": "di@x.example"}]
    )
    give(house, senders.calendly("bo@x.example"))
    assert seq.journey("bo+jobs@x.example").status == "cancelled"
    assert seq.journey("di@x.example").status == "active"


@pytest.mark.rule(15)
def test_an_interview_stops_the_journeys_of_every_owner_and_tells_each(house: House) -> None:
    seq, store = enrolled(house), house.engine.store
    other = store.insert(
        "users",
        {
            "workspace_id": house.session.workspace_id,
            "name": "eve",
            "role": "member",
            "api_key_hash": key_hash("eve"),
            "sequences_access": True,
            "created_at": NOW,
        },
    )
    theirs = house.two_steps(house.local(), delay=172_800)
    theirs.activate()
    theirs.enroll(house.people(1), override=["contacted_by_colleague"])
    store.write("UPDATE journeys SET owner_id = ? WHERE sequence_id = ?", other, theirs.id)
    give(house, senders.greenhouse(BO))
    assert seq.journey(BO).reason == "ats_interview"
    assert {r["status"] for r in store.rows("SELECT status FROM journeys")} == {"cancelled"}
    assert {r["owner_id"] for r in store.rows("SELECT owner_id FROM notifications")} == {
        house.session.user["id"],
        other,
    }


@pytest.mark.rule(27)
def test_a_booking_under_another_address_finds_its_journey_by_the_link(house: House) -> None:
    seq = house.two_steps(house.local(), delay=172_800)
    seq.edit_step(1, body="Book here: {{ booking_link }}")
    Workspace(house.session).set(booking_url="https://calendly.com/team/30min?month=2026-11")
    Workspace(house.session).set_mine(booking_url="https://calendly.com/ada/30min?hide=1")
    seq.activate()
    seq.enroll(house.people(2))
    shown = seq.preview(BO)["text"][0]
    link = next(word for word in shown.split() if word.startswith("https://calendly.com/ada/30min?"))
    assert "hide=1" in link
    token = link.rsplit("utm_content=", 1)[1]
    assert "candidate" not in token
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    give(house, senders.calendly("somebody@else.example", token=forged))
    assert seq.journey(BO).status == "active"
    give(house, senders.calendly("somebody@else.example", token=token))
    assert seq.journey(BO).reason == "meeting_booked"
    assert seq.journey("p1@candidate1.example").status == "active"


@pytest.mark.rule(15)
def test_only_what_starts_or_was_booked_after_enrolment_counts(house: House) -> None:
    seq = enrolled(house)
    give(house, senders.calendly(BO, booked=NOW - 9 * DAY, starts=NOW - 2 * DAY))
    assert seq.journey(BO).status == "active"
    give(house, senders.calendly(BO, booked=NOW - 9 * DAY, starts=NOW + 2 * DAY))
    assert seq.journey(BO).status == "cancelled"


INVITEE, NEXT = "https://api.calendly.com/i/1", "https://api.calendly.com/i/2"


def _story() -> list[Delivery]:
    """Booked, moved, called off: what an ordered world would deliver."""
    moved, dropped = NOW + DAY / 4, NOW + DAY / 2
    return [
        senders.calendly(BO, invitee=INVITEE, booked=NOW + DAY / 8, starts=NOW + 3 * DAY),
        senders.calendly(
            BO,
            event="invitee.canceled",
            invitee=INVITEE,
            booked=NOW + DAY / 8,
            starts=NOW + 3 * DAY,
            canceled=moved,
            rescheduled=True,
        ),
        senders.calendly(BO, invitee=NEXT, old=INVITEE, booked=moved, starts=NOW + 5 * DAY),
        senders.calendly(
            BO, event="invitee.canceled", invitee=NEXT, booked=moved, starts=NOW + 5 * DAY, canceled=dropped
        ),
    ]


@pytest.mark.rule(15)
def test_any_order_ends_as_the_right_one(house: House) -> None:
    store, seq = house.engine.store, enrolled(house)
    ends = set()
    for order in itertools.permutations(_story()):
        for table in ("deliveries", "bookings", "booking_people", "notifications"):
            store.write(f"DELETE FROM {table}")
        store.write("UPDATE journeys SET status = 'active', reason = NULL, ended_at = NULL")
        give(house, *order, *order)
        journey = seq.journey(BO)
        known = store.rows(
            "SELECT external_id, status, starts_at, replaces FROM bookings ORDER BY external_id"
        )
        ends.add((journey.status, journey.reason, str(known)))
    assert len(ends) == 1
    status, reason, known_text = ends.pop()
    assert (status, reason) == ("cancelled", "meeting_booked")
    assert "moved" in known_text
    assert "canceled" in known_text


@pytest.mark.rule(15)
def test_a_reschedule_is_no_cancellation_and_a_cancellation_restarts_nothing(house: House) -> None:
    seq, story = enrolled(house), _story()
    give(house, *story[:3])
    assert not any("cancelled" in t for t in told())
    assert "has moved “Intro Call”" in told()[0]
    give(house, story[3])
    assert "it was cancelled" in told()[0]
    assert "No e-mails start again" in told()[0]
    assert seq.journey(BO).status == "cancelled"


def test_a_cancellation_alone_stops_nothing(house: House) -> None:
    seq = enrolled(house)
    give(house, _story()[3])
    assert seq.journey(BO).status == "active"


@pytest.mark.rule(15)
def test_what_names_nobody_yet_waits_and_is_matched_when_they_appear(house: House) -> None:
    (row,) = give(house, senders.calendly("p1+x@candidate1.example", booked=NOW + DAY, starts=NOW + 2 * DAY))
    assert "waits" in row["outcome"]
    seq = house.two_steps(house.local(), delay=172_800)
    seq.activate()
    report = seq.enroll(house.people(3))
    assert (report.enrolled, report.held_back) == (2, 1)
    held = {r["email"]: r["reason"] for r in report.rows.iter_rows(named=True)}
    assert held["p1@candidate1.example"] == "interview_ahead"
    lifted = seq.enroll(house.people(3), override=["interview_ahead"])
    assert lifted.enrolled == 1
    deliveries.drain(house.engine)
    assert seq.journey("p1@candidate1.example").status == "active"


@pytest.mark.rule(15)
def test_an_address_learnt_later_finds_the_booking_that_waited(house: House) -> None:
    seq = enrolled(house)
    give(house, senders.calendly("bo@home.example"))
    assert seq.journey(BO).status == "active"
    seq.journey(BO).use_email("bo@home.example")
    deliveries.drain(house.engine)
    assert seq.journey("bo@home.example").reason == "meeting_booked"
    give(house, senders.calendly("di@home.example"))
    Candidate.create(email="di+tag@home.example", first_name="Di")
    waits = "SELECT COUNT(*) FROM booking_people WHERE candidate_id IS NULL"
    assert house.engine.store.value(waits) == 0


def test_enrolling_asks_no_more_questions_for_more_people(house: House) -> None:
    for n in range(20):
        give(house, senders.calendly(f"p{n}@candidate{n}.example", starts=NOW - DAY))
    store: Store = house.engine.store
    seq = house.two_steps(house.local(), delay=172_800)
    counts = []
    for start, size in ((0, 5), (5, 100)):
        before = store.statements
        seq.enroll(house.people(size, start))
        counts.append(store.statements - before)
    assert abs(counts[0] - counts[1]) <= 2
    assert store.value("SELECT COUNT(*) FROM booking_people WHERE candidate_id IS NULL") == 0


@pytest.mark.rule(15)
def test_an_interview_recorded_by_hand_stops_and_holds_back(house: House) -> None:
    seq = enrolled(house)
    bo = Candidate.get(BO)
    assert bo.record_interview(NOW - 30 * DAY, title="Long ago") == 0
    assert bo.record_interview(NOW + 3 * DAY, title="On-site", link="https://acme.example/room") == 1
    assert seq.journey(BO).reason == "interview_scheduled"
    assert "“On-site”" in told()[0]
    again = house.two_steps(house.local())
    assert again.enroll(house.people(1)).held_back == 1


def test_what_cannot_be_read_is_kept_for_a_person_and_the_rest_goes_on(house: House) -> None:
    bad = Delivery("/webhooks/calendly", b"[" * 5000)
    seq = enrolled(house)
    rows = give(
        house, bad, Delivery("/webhooks/calendly", b'{"event": "invitee.created"}'), senders.calendly(BO)
    )
    assert [r["state"] for r in rows] == ["dead", "dead", "done"]
    assert seq.journey(BO).status == "cancelled"


def test_a_reader_that_breaks_is_tried_again_then_left_to_a_person(house: House) -> None:
    def broken(source: str) -> Any:
        raise KeyError(source)

    house.engine.reader = broken
    give(house, senders.calendly(BO))
    store = house.engine.store
    for _ in range(deliveries.DEAD_AFTER - 1):
        assert store.value("SELECT state FROM deliveries") == "received"
        store.write("UPDATE deliveries SET lease_until = ?", NOW)
        deliveries.drain(house.engine)
    assert store.value("SELECT state FROM deliveries") == "dead"
    seq = enrolled(house)
    house.engine.reader = lambda source: event_reader(house.settings, source)
    number = store.value("SELECT id FROM deliveries")
    dry = deliveries.explain(house.engine, number)
    assert (dry.state, dry.stopped) == ("done", 1)
    assert seq.journey(BO).status == "active"
    assert store.value("SELECT COUNT(*) FROM bookings") == 0
    assert deliveries.replay(house.engine, number).stopped == 1
    assert seq.journey(BO).status == "cancelled"


def test_upkeep_forgets_in_time_and_bounds_what_waits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(6):
        give(house, senders.calendly(f"x{n}@y.example"))
    store = house.engine.store
    monkeypatch.setattr(upkeep, "MAX_WAITING", 4)
    old = NOW - 40 * DAY
    store.write("UPDATE deliveries SET received_at = ? WHERE id <= (SELECT MIN(id) + 1 FROM deliveries)", old)
    store.write(
        "UPDATE deliveries SET received_at = ? WHERE id = (SELECT MIN(id) FROM deliveries)", NOW - 400 * DAY
    )
    done = upkeep.run(house.engine)
    assert (done["bodies"], done["deliveries"], done["people"]) == (2, 1, 2)
    assert store.value("SELECT COUNT(*) FROM deliveries WHERE body IS NULL") == 1
    assert store.value("SELECT COUNT(*) FROM booking_people") == 4


@pytest.mark.rule(19)
def test_whoever_was_erased_is_waited_for_by_no_booking(house: House) -> None:
    enrolled(house)
    Candidate.get(BO).erase()
    give(
        house,
        senders.calendly(BO, starts=NOW + 2 * DAY),
        senders.calendly("new@x.example", starts=NOW + 3 * DAY),
    )
    waits = house.engine.store.rows("SELECT address FROM booking_people WHERE candidate_id IS NULL")
    assert [row["address"] for row in waits] == ["new@x.example"]
