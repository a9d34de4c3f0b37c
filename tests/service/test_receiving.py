"""Every vendor over real HTTP: genuine ones are stored and answered as they expect, others leave nothing."""

from __future__ import annotations

import json

import pytest

from tests.harness import wait_until
from tests.service import senders
from tests.service.conftest import Service
from tests.service.senders import VENDORS, Delivery

BO = "p0@candidate0.example"
SUCCESS = {"smartrecruiters": 202}
STOPS = {
    "calendly": "meeting_booked",
    "greenhouse": "ats_interview",
    "ashby": "ats_interview",
    "workable": "ats_interview",
    "recruitee": "ats_interview",
    "generic": "interview_scheduled",
}


@pytest.mark.rule(15)
def test_what_each_vendor_sends_is_stored_once_and_acted_on(service: Service) -> None:
    for name, make in VENDORS.items():
        delivery = make(BO)
        answers = [service.post(delivery).status_code for _ in range(2)]
        assert answers == [SUCCESS.get(name, 200)] * 2, name
    assert len(service.rows()) == len(VENDORS)
    for name in STOPS:
        house = service.house
        house.engine.store.write("DELETE FROM deliveries")
        for table in (
            "booking_people",
            "bookings",
            "journeys",
            "candidate_emails",
            "candidates",
            "sequences",
        ):
            house.engine.store.write(f"DELETE FROM {table}")
        seq = service.enrolled()
        assert service.post(VENDORS[name](BO.upper())).ok
        service.act()
        journey = seq.journey(BO)
        assert (journey.status, journey.reason) == ("cancelled", STOPS[name]), service.rows()


def test_what_proves_or_tells_too_little_waits_for_a_look_up(service: Service) -> None:
    seq = service.enrolled()
    for name in ("lever", "smartrecruiters", "teamtailor", "merge"):
        assert service.post(VENDORS[name](BO)).ok
    assert service.post(senders.ashby(BO, action="interviewScheduleCreate")).ok
    assert service.post(senders.teamtailor(BO, newer=True)).ok
    service.act()
    assert {r["state"] for r in service.rows()} == {"lookup"}
    assert all("has to be asked" in r["outcome"] for r in service.rows())
    assert seq.journey(BO).status == "active"


def _changed(delivery: Delivery) -> list[Delivery]:
    """The same with another body, and with signatures that aren't any."""
    found = [Delivery(delivery.path, delivery.body.replace(b'"', b'" ', 1), delivery.headers)]
    found.append(Delivery(delivery.path, delivery.body, {}))
    for name in delivery.headers:
        if "signature" in name.lower():
            for value in (
                "",
                "t=,v1=",
                "sha256=",
                "é" * 64,
                "0" * 64,
                "v1=" + "0" * 64,
                "sha256 " + "f" * 64,
            ):
                headers = {**delivery.headers, name: value.encode("utf-8").decode("latin-1")}
                found.append(Delivery(delivery.path, delivery.body, headers))
    return found


def test_what_is_forged_or_stale_leaves_nothing_but_a_count(service: Service) -> None:
    bad = [make(BO, secret="guessed") for make in VENDORS.values()]
    for name, make in VENDORS.items():
        if name not in ("lever", "teamtailor"):  # whose signatures don't cover their bodies
            bad += _changed(make(BO))
    bad += [
        senders.calendly(BO, stamp=1_700_000_000),
        senders.smartrecruiters(BO, age=7200),
        senders.generic(BO, age=3600),
    ]
    assert {service.post(one).status_code for one in bad} == {401}
    assert service.rows() == []
    store = service.house.engine.store
    wait_until(lambda: store.value("SELECT SUM(count) FROM refusals") == len(bad))
    stale = store.value("SELECT SUM(count) FROM refusals WHERE reason = 'stale'")
    assert stale == 3


def test_any_of_several_secrets_verifies_and_base64_of_workable(service: Service) -> None:
    assert service.post(senders.calendly(BO, secret="newest-calendly")).status_code == 200
    assert service.post(senders.workable(BO, base64_too=True)).status_code == 200


def test_unknown_sources_sizes_and_methods(service: Service) -> None:
    assert service.post(Delivery("/webhooks/ats/nobody", b"{}")).status_code == 404
    assert service.post(Delivery("/webhooks/generic/nobody", b"{}")).status_code == 404
    assert service.post(Delivery("/webhooks/gmail", b"{}")).status_code == 404
    assert service.http.get(service.base + "/webhooks/calendly", timeout=5).status_code == 405
    big = Delivery("/webhooks/calendly", b"x" * (256 * 1024 + 1))
    assert service.post(big).status_code == 413

    def chunks() -> object:
        for _ in range(9):
            yield b"x" * 32_768

    streamed = service.http.post(service.base + "/webhooks/calendly", data=chunks(), timeout=20)
    assert streamed.status_code == 413
    largest = senders.calendly(BO)
    assert service.post(largest).status_code == 200


def test_greetings_before_there_is_a_signature(service: Service) -> None:
    hello = service.post(Delivery("/webhooks/ats/recruitee", b'{"test": true}'))
    assert hello.status_code == 200
    secret = Delivery("/webhooks/ats/smartrecruiters", b"", {"X-Hook-Secret": "4jn8fs9011jj8"})
    answer = service.post(secret)
    assert (answer.status_code, answer.headers["X-Hook-Secret"]) == (200, "4jn8fs9011jj8")
    assert service.rows() == []


def test_related_events_of_one_action_are_both_kept(service: Service) -> None:
    first = senders.ashby(BO)
    data = {**json.loads(first.body), "action": "applicationUpdate"}
    body = senders.dumps(data)
    related = Delivery(
        first.path, body, {"Ashby-Signature": f"sha256={senders.mac(senders.SECRETS['ashby'], body)}"}
    )
    service.post(first)
    service.post(related)
    assert len(service.rows()) == 2


def test_a_repeat_of_recruitee_counts_its_attempts_and_is_known(service: Service) -> None:
    first = senders.recruitee(BO)
    body = first.body.replace(b'"attempt_count": 0', b'"attempt_count": 3')
    secret = senders.SECRETS["recruitee"]
    service.post(first)
    again = service.post(Delivery(first.path, body, {"X-Recruitee-Signature": senders.mac(secret, body)}))
    assert again.json()["status"] == "known"
    assert len(service.rows()) == 1
