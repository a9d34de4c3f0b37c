"""Seeded defects: take one safeguard away, and the witness must notice. A test that stays green here would
mean that the fault matrix proves nothing."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.domain.journey import OutboxState
from outreach_sdk.engine import dispatch, draining, outbox, recover, send
from outreach_sdk.errors import MailOutcomeUnknown
from outreach_sdk.storage.claims import Claim, Claims, claim_sends
from outreach_sdk.storage.store import Store
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


def barrier_instead_of_claim(patch: pytest.MonkeyPatch) -> None:
    """Everybody reads what is due, waits for the others, and takes it: no row count decides."""
    barrier = threading.Barrier(2, timeout=10)

    def claim(store: Store, now: dt.datetime, *, limit: int, new_key: Callable[[], str], **_: Any) -> Claims:
        due = store.rows("SELECT * FROM journeys WHERE next_due_at <= ? ORDER BY id LIMIT ?", now, limit)
        if due:
            barrier.wait()
        items = []
        for journey in due:
            with store.tx():
                store.write("UPDATE journeys SET next_due_at = NULL WHERE id = ?", journey["id"])
                mine = {k: journey[k] for k in ("workspace_id", "owner_id", "candidate_id")}
                step = {**mine, "journey_id": journey["id"], "step_id": journey["next_step_id"]}
                known = store.value(
                    "SELECT COUNT(*) FROM outbox WHERE journey_id = ? AND step_id = ?",
                    journey["id"],
                    journey["next_step_id"],
                )
                if not known:
                    store.insert("journey_steps", {**step, "kind": "email", "rank": 1024.0, "status": "due"})
                entry = {
                    **step,
                    "attempt": known + 1,
                    "send_key": new_key(),
                    "state": "claimed",
                    "generation": 1,
                    "journey_generation": journey["generation"],
                    "lease_until": now + dt.timedelta(minutes=5),
                    "priority": 2,
                    "mailbox_id": journey["lane"],
                    "recipient": journey["email"],
                    "cc": "[]",
                    "bcc": "[]",
                    "tries": 0,
                    "looks": 0,
                    "due_at": now,
                    "claimed_at": now,
                }
                number = store.insert("outbox", entry)
            items.append(
                Claim(
                    number,
                    1,
                    journey["id"],
                    step["step_id"],
                    entry["mailbox_id"],
                    OutboxState.CLAIMED,
                    False,
                )
            )
        return Claims(items)

    patch.setattr(draining, "claim_sends", claim)


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


def two_workers(house: House) -> list[str]:
    """Two drains of the same due e-mails at once; what the witness holds against us."""
    box = house.hostile(Faults.none())
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(5))
    seq.activate()

    def drain() -> None:
        dispatch.drain_sends(house.engine, threads=5)
        house.engine.store.idle()

    workers = [threading.Thread(target=drain) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    counts = house.witness(box)
    complaints = [f"{who} got {n}" for (who, _), n in counts.items() if n > 1]
    return complaints + [
        f"p{n} got none" for n in range(5) if not counts[f"p{n}@candidate{n}.example", f"Hello P{n}"]
    ]


@pytest.mark.rule(14)
@pytest.mark.failure("two workers claim one step")
@pytest.mark.parametrize(("defect", "noticed"), [(healthy, None), (barrier_instead_of_claim, "got 2")])
def test_a_barrier_is_no_claim(
    house: House, monkeypatch: pytest.MonkeyPatch, defect: Patch, noticed: str | None
) -> None:
    defect(monkeypatch)
    complaints = two_workers(house)
    assert complaints == [] if noticed is None else any(noticed in c for c in complaints), complaints
