"""Seeded defects: take one safeguard away, and the witness must notice. A test that stays green here would
mean that the fault matrix proves nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.domain.journey import OutboxState
from outreach_sdk.engine import outbox, recover, send
from outreach_sdk.errors import MailOutcomeUnknown
from outreach_sdk.storage.claims import claim_sends
from tests.harness import House
from tests.mail.hostile import Faults, HostileTransport

Patch = Callable[[pytest.MonkeyPatch], None]


def fence_removed(patch: pytest.MonkeyPatch) -> None:
    def fence(engine: Any, entry: dict[str, Any]) -> tuple[str, None]:
        engine.store.write(
            "UPDATE outbox SET state = 'sending', sending_at = ? WHERE id = ?", engine.now(), entry["id"]
        )
        return "ok", None

    patch.setattr(send, "fence", fence)


def start_over(engine: Any, entry: dict[str, Any], *_: Any) -> str:
    """Forget the draft and let the step be sent afresh."""
    engine.store.write(
        "UPDATE outbox SET state = ?, provider_draft_id = NULL, lease_until = NULL WHERE id = ?",
        OutboxState.PLANNED,
        entry["id"],
    )
    engine.store.write("UPDATE journeys SET next_due_at = ? WHERE id = ?", engine.now(), entry["journey_id"])
    return "started over"


def blind_retry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(send, "left_unknown", start_over)


def recreate_on_absent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HostileTransport, "find_sent", lambda self, **_: None)
    patch.setattr(recover, "_look_again", start_over)


def looked_up_by_our_message_id(patch: pytest.MonkeyPatch) -> None:
    # The provider replaces Message-IDs, so this never finds what was sent.
    patch.setattr(HostileTransport, "find_sent", lambda self, **_: None)


def healthy(patch: pytest.MonkeyPatch) -> None:
    """No defect: the scenario itself is green."""


def scenario(house: House) -> list[str]:
    """A cancel while a message is drafted, and answers lost after acceptance; what the witness holds
    against us."""
    box = house.hostile(Faults.none())
    assert house.provider is not None
    provider = house.provider
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(3))
    seq.activate()
    engine = house.engine
    first, *rest = claim_sends(
        engine.store, engine.now(), limit=3, cap=50, lease=engine.lease, new_key=engine.new_key
    ).items
    transport = engine.transport

    class CancelledMeanwhile(HostileTransport):
        def create_draft(self, *args: Any, **kwargs: Any) -> Any:
            draft = super().create_draft(*args, **kwargs)
            seq.journey("p0@candidate0.example").cancel()
            return draft

    engine.transport = lambda row: CancelledMeanwhile(provider, row["address"], timeout=1.0)
    outbox.process(engine, first)

    lost: list[str] = []

    class AnswerLost(HostileTransport):
        def send_draft(self, provider_draft_id: str) -> Any:
            sent = super().send_draft(provider_draft_id)
            if len(lost) < 2:
                lost.append(provider_draft_id)
                raise MailOutcomeUnknown("the answer was lost")
            return sent

    engine.transport = lambda row: AnswerLost(provider, row["address"], timeout=1.0)
    for claim in rest:
        outbox.process(engine, claim)
    base = engine.now
    for minutes in (1, 3, 10, 40):
        engine.now = lambda minutes=minutes: base() + dt.timedelta(minutes=minutes)  # type: ignore[misc]
        for claim in claim_sends(
            engine.store, engine.now(), limit=10, cap=50, lease=engine.lease, new_key=engine.new_key
        ).items:
            outbox.process(engine, claim)
    engine.now, engine.transport = base, transport
    counts = house.witness(box)
    complaints = [f"{who} got {n}" for (who, subject), n in counts.items() if n > 1]
    complaints += ["p0 was written to after the cancel"] * counts["p0@candidate0.example", "Hello P0"]
    for n in (1, 2):
        state = seq.journey(f"p{n}@candidate{n}.example").steps["status"][0]
        if state != "sent":
            complaints.append(f"p{n} was sent to, and the database says {state}")
    return complaints


@pytest.mark.rule(14)
@pytest.mark.parametrize(
    ("defect", "noticed"),
    [
        (healthy, None),
        (fence_removed, "after the cancel"),
        (blind_retry, "got 2"),
        (recreate_on_absent, "got 2"),
        (looked_up_by_our_message_id, "the database says"),
    ],
)
def test_each_seeded_defect_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: Patch, noticed: str | None
) -> None:
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'db.sqlite'}")
    defect(monkeypatch)
    complaints = scenario(house)
    house.close()
    if noticed is None:
        assert complaints == []
    else:
        assert any(noticed in c for c in complaints), complaints
