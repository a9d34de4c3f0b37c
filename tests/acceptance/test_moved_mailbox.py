"""An agency moves to another provider: the same address is connected again, there."""

from __future__ import annotations

from pathlib import Path

import pytest

from outreach_sdk.engine import dispatch
from outreach_sdk.objects.mailbox import Mailbox
from tests.acceptance.scenarios import Clock, address, go, provider_of, state, told
from tests.harness import ADDRESS, House
from tests.mail.emulator import google_emulator
from tests.mail.fault_proxy import fault_proxy
from tests.mail.graph_emulator import GraphEmulator, graph_emulator
from tests.mail.graph_proxy import graph_proxy
from tests.mail.worlds import incoming


def outlook_mailbox(house: House, at: GraphEmulator) -> Mailbox:
    return house.trusted(
        Mailbox.from_refresh_token(
            "outlook",
            ADDRESS,
            refresh_token=at.refresh_token,
            client_id=at.client_id,
            client_secret=at.client_secret,
        )
    )


def answer(number: int, opening: str) -> bytes:
    return incoming("Re: Hello", "Not interested.", in_reply_to=opening).replace(
        b"bo@candidate.example", address(number).encode()
    )


@pytest.mark.rule(16)
def test_from_microsoft_to_google_answers_are_seen_and_follow_ups_leave(
    tmp_path: Path, database_url: str
) -> None:
    with (
        graph_emulator(ADDRESS) as graph,
        graph_proxy(graph.base_url) as graph_way,
        google_emulator(ADDRESS) as google,
        fault_proxy(google.base_url) as google_way,
    ):
        settings = {
            "OUTREACH_GRAPH_ENDPOINT": graph_way.base_url,
            "OUTREACH_MICROSOFT_AUTHORITY": graph_way.base_url,
            "OUTREACH_GMAIL_ENDPOINT": google_way.base_url,
            "OUTREACH_GOOGLE_TOKEN_URI": f"{google_way.base_url}/oauth2/token",
        }
        house = House(tmp_path / "home", database_url, settings)
        seq = house.two_steps(outlook_mailbox(house, graph), delay=3600)
        seq.enroll(house.people(2))
        seq.activate()
        go(house, 2)
        dispatch.drain_polls(house.engine)
        (opening,) = house.engine.store.rows(
            "SELECT o.rfc_message_id FROM outbox o JOIN journeys j ON j.id = o.journey_id WHERE j.email = ?",
            address(0),
        )
        house.trusted(
            Mailbox.from_refresh_token(
                "gmail",
                ADDRESS,
                refresh_token=google.refresh_token,
                client_id=google.client_id,
                client_secret=google.client_secret,
            )
        )
        google.deliver(answer(0, opening["rfc_message_id"]))
        assert dispatch.drain_polls(house.engine) == {"read": 1, "failed": 0, "messages": 1}, "at once"
        assert state(house.session, seq) == ("cancelled", "replied")
        clock = Clock(house)
        for _ in range(2):
            clock.on(hours=1, minutes=1)
            assert dispatch.drain_polls(house.engine)["failed"] == 0
            go(house)
        assert state(house.session, seq, address(1)) == ("completed", None)
        assert len(google.sent()) == 1
        house.close()


@pytest.mark.rule(16)
def test_the_same_provider_again_goes_on_where_reading_stopped(house: House) -> None:
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    go(house)
    dispatch.drain_polls(house.engine)
    clock = Clock(house)
    provider_of(house).deliver_reply(provider_of(house).ledger()[0], "No, thanks.", at=clock.now)
    clock.on(days=3)
    house.hostile()
    dispatch.drain_polls(house.engine)
    assert state(house.session, seq) == ("cancelled", "replied")
    assert len(told(house.session)) == 1
