"""kill -9 at every named place, on each kind of mailbox and each database: nothing twice, nothing lost."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from outreach_sdk.domain.message import OutgoingMessage
from outreach_sdk.engine import failpoints, outbox
from outreach_sdk.mail.port import Draft, SentMessage
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.storage.claims import Claim, claim_sends
from tests.acceptance.scenarios import Clock
from tests.harness import ADDRESS, House, wait_until
from tests.mail.hostile import Faults, HostileTransport

PEOPLE = 2


def expected(people: int) -> Counter[tuple[str, str]]:
    return Counter(
        (f"p{n}@candidate{n}.example", subject)
        for n in range(people)
        for subject in (f"Hello P{n}", f"Re: Hello P{n}")
    )


def start(house: House, box: Mailbox) -> Sequence:
    seq = house.two_steps(box)
    seq.enroll(house.people(PEOPLE))
    seq.activate()
    return seq


@pytest.mark.rule(14)
@pytest.mark.failure("crash between the provider's yes and the database write")
@pytest.mark.parametrize("kind", ["local", "hostile"])
@pytest.mark.parametrize("failpoint", [n for n in failpoints.NAMES if n != "during_recovery"])
def test_killed_anywhere_nothing_twice_nothing_lost(house: House, kind: str, failpoint: str) -> None:
    box = house.local() if kind == "local" else house.hostile()
    seq = start(house, box)
    assert house.drain(failpoint=f"{failpoint}:2") == -9
    house.settle(seq)
    assert house.witness(box) == expected(PEOPLE)
    assert set(seq.candidates()["status"]) == {"completed"}


@pytest.mark.rule(14)
@pytest.mark.parametrize("kind", ["local", "hostile"])
def test_killed_again_while_recovering(house: House, kind: str) -> None:
    box = house.local() if kind == "local" else house.hostile()
    seq = start(house, box)
    assert house.drain(failpoint="after_accept") == -9
    killed = 0
    for _ in range(20):
        killed += house.drain(failpoint="during_recovery") == -9
        if killed:
            break
    assert killed
    house.settle(seq)
    assert house.witness(box) == expected(PEOPLE)


@pytest.mark.rule(14)
def test_killed_once_the_draft_of_a_definite_no_is_gone_it_is_sent_all_the_same(house: House) -> None:
    box = house.hostile(replace(Faults.none(), send_rate_limited=1.0, retry_after=0.1))
    seq = start(house, box)
    assert house.drain(failpoint="draft_taken_away", threads=1) == -9
    assert house.provider is not None
    house.provider.faults = Faults.none()
    house.settle(seq)
    assert house.witness(box) == expected(PEOPLE)
    assert house.provider.draft_keys() == []


@pytest.mark.rule(14)
def test_drafts_left_by_claims_that_died_are_taken_away(house: House) -> None:
    box = house.hostile()
    seq = start(house, box)
    assert house.drain(failpoint="after_drafted", threads=1) == -9
    wait_until(lambda: house.drain(failpoint="after_draft", threads=1) == -9)
    house.settle(seq)
    assert house.witness(box) == expected(PEOPLE)
    assert house.provider is not None
    assert house.provider.draft_keys() == []


@pytest.mark.rule(14)
@pytest.mark.parametrize("failpoint", ["after_sending", "after_accept", "after_drafted"])
def test_a_cancel_between_the_kill_and_the_recovery_holds(house: House, failpoint: str) -> None:
    box = house.hostile()
    seq = start(house, box)
    assert house.drain(failpoint=failpoint) == -9
    left = house.witness(box)
    for n in range(PEOPLE):
        seq.journey(f"p{n}@candidate{n}.example").cancel()
    house.settle(seq)
    assert house.witness(box) == left, "nothing leaves after a committed cancel"
    assert house.provider is not None
    assert not house.provider.draft_keys(), "the drafts of cancelled journeys are taken away"
    late = house.engine.store.rows(
        "SELECT o.id FROM outbox o JOIN journeys j ON j.id = o.journey_id WHERE o.sending_at > j.ended_at"
    )
    assert late == []


@pytest.mark.rule(14)
@pytest.mark.failure("client retries a send after a read time-out")
@pytest.mark.failure("Graph send answered 504, mail delivered four times")
@pytest.mark.parametrize("seed", range(3))
def test_a_hostile_provider_gets_each_message_once(tmp_path: Path, seed: int) -> None:
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'db.sqlite'}")
    box = house.hostile(
        Faults(
            send_rate_limited=0.15,
            retry_after=0.2,
            send_answer_lost=0.2,
            draft_answer_lost=0.1,
            draft_temporary=0.1,
            read_back_lost=0.1,
            read_temporary=0.05,
        ),
        seed=seed,
    )
    seq = house.two_steps(box)
    seq.enroll(house.people(12))
    seq.activate()
    house.settle(seq, seconds=90)
    assert house.witness(box) == expected(12)
    house.close()


@pytest.mark.rule(13)
@pytest.mark.failure("one bad recipient makes the whole batch resend")
def test_one_refused_recipient_pauses_that_journey_alone(house: House) -> None:
    box = house.hostile(Faults(**{**vars_of(Faults.none()), "refused": ("p1@candidate1.example",)}))
    seq = house.two_steps(box)
    seq.enroll(house.people(4))
    seq.activate()
    house.settle(seq)
    assert house.witness(box) == Counter({k: v for k, v in expected(4).items() if not k[0].startswith("p1@")})
    poisoned = seq.journey("p1@candidate1.example")
    assert (poisoned.status, poisoned.reason) == ("paused", "send_failed")
    told = house.engine.store.value("SELECT text FROM notifications WHERE kind = 'send_failed'")
    assert "P1 Li" in told


def vars_of(faults: Faults) -> dict[str, object]:
    import dataclasses

    return dataclasses.asdict(faults)


def test_the_address_is_that_of_the_mailbox(house: House) -> None:
    assert house.hostile().transport.address() == ADDRESS


@pytest.mark.rule(14)
@pytest.mark.parametrize("drafts", ["first", "last"])
def test_a_worker_that_stalled_at_its_draft_takes_only_that_draft_away(house: House, drafts: str) -> None:
    """Its lease ran out meanwhile, and who took over is about to send when it comes back."""
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    engine, clock = house.engine, Clock(house)
    assert house.provider is not None
    provider, sending, stalled_is_back = house.provider, threading.Event(), threading.Event()

    def taken_over() -> Claim:
        clock.on(seconds=engine.lease.total_seconds() + 1)
        [claim] = claim_sends(
            engine.store, engine.now(), limit=1, cap=5, lease=engine.lease, new_key=engine.new_key
        ).items
        return claim

    class Other(HostileTransport):
        def send_draft(self, provider_draft_id: str) -> SentMessage:
            sending.set()
            assert stalled_is_back.wait(30)
            return super().send_draft(provider_draft_id)

    def other() -> None:
        ends.append(outbox.process(engine, taken_over()))
        engine.store.idle()

    ends: list[str] = []
    worker = threading.Thread(target=other)

    class Stalled(HostileTransport):
        def create_draft(self, message: OutgoingMessage, *, send_key: str) -> Draft:
            draft = super().create_draft(message, send_key=send_key) if drafts == "first" else None
            worker.start()
            assert sending.wait(30)
            return draft or super().create_draft(message, send_key=send_key)

    usual = engine.transport
    engine.transport = lambda row: (Other if threading.current_thread() is worker else Stalled)(
        provider, row["address"]
    )
    taken_over()  # one that died at once: from the second claim on, drafts left behind are looked for
    end = outbox.process(engine, taken_over())
    stalled_is_back.set()
    worker.join(30)
    engine.transport = usual
    assert (end, ends) == ("gone", ["sent"])
    assert [a.subject for a in provider.ledger()] == ["Hello P0"]
    assert provider.draft_keys() == []
