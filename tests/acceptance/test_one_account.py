"""One account that several colleagues have connected: the provider counts its calls together."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from contextlib import suppress
from typing import Any

import pytest

from outreach_sdk.domain.pacing import PROVIDER_LIMITS, Limit
from outreach_sdk.engine import dispatch, limits
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.session import use
from outreach_sdk.storage.store import Store
from tests.acceptance.scenarios import colleague, provider_of
from tests.acceptance.test_limits import one_step
from tests.harness import ADDRESS, House, wait_until
from tests.mail.hostile import Faults


def two_of_one_account(house: House, *, spacing: float, people: int, faults: Faults | None = None) -> None:
    """Two colleagues who connected the same account, each with so many e-mails due."""
    ada, bea = house.session, colleague(house, "bea")
    known = {"path": str(house.home / "provider.sqlite"), "timeout": 1}
    boxes = [house.hostile(faults), Mailbox._save(bea, "hostile", ADDRESS, "Bea", known, None)]
    for number, (session, box) in enumerate(zip((ada, bea), boxes, strict=True)):
        use(session)
        box.spacing = spacing
        seq = one_step(house, box, f"Of {number}")
        seq.enroll(house.people(people, start=10 * number))
        seq.activate()
    use(ada)


@pytest.mark.rule(7, 11)
def test_two_colleagues_who_connected_one_account_keep_its_spacing_together(house: House) -> None:
    two_of_one_account(house, spacing=0.8, people=2)
    wait_until(lambda: dispatch.drain_sends(house.engine, threads=4) == {}, seconds=30)
    at = sorted(accepted.at for accepted in provider_of(house).ledger())
    assert len(at) == 4
    assert min(later - before for before, later in itertools.pairwise(at)).total_seconds() >= 0.76


@pytest.mark.rule(7, 11)
def test_two_calls_to_one_account_that_come_at_the_same_moment_are_still_apart(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_of_one_account(house, spacing=1.2, people=1, faults=Faults(send_stall=1, stall_seconds=0.5))
    both, asked, full = threading.Barrier(2), itertools.count(), limits.mailbox_full

    def full_once_both_ask(store: Store, box: dict[str, Any], *args: Any, **options: Any) -> Any:
        # The last decision before the call: both find the account's slot free, unless one waits for the other.
        if "armed" in box and next(asked) < 2:
            with suppress(threading.BrokenBarrierError):
                both.wait(0.3)
        return full(store, box, *args, **options)

    monkeypatch.setattr(limits, "mailbox_full", full_once_both_ask)
    wait_until(lambda: dispatch.drain_sends(house.engine, threads=4) == {}, seconds=30)
    first, second = sorted(accepted.at for accepted in provider_of(house).ledger())
    assert second - first >= dt.timedelta(seconds=1.15)


@pytest.mark.rule(7, 11)
def test_an_account_that_a_colleague_just_wrote_from_is_spaced_from_its_first_call(house: House) -> None:
    known, hers = {"path": str(house.home / "provider.sqlite"), "timeout": 1}, colleague(house, "bea")
    boxes = [house.hostile()]
    for number in range(2):
        boxes[-1].spacing = 1.0
        seq = one_step(house, boxes[-1], f"Of {number}")
        seq.enroll(house.people(1, start=10 * number))
        seq.activate()
        if number == 0:
            dispatch.drain_sends(house.engine, threads=1)
            use(hers)
            boxes.append(Mailbox._save(hers, "hostile", ADDRESS, "Bea", known, None))
    wait_until(lambda: dispatch.drain_sends(house.engine, threads=1) == {}, seconds=30)
    first, second = sorted(accepted.at for accepted in provider_of(house).ledger())
    assert second - first >= dt.timedelta(seconds=0.95)


@pytest.mark.rule(7, 11)
def test_an_account_has_one_spacing_whoever_set_it(house: House) -> None:
    box, bea = house.hostile(), colleague(house, "bea")
    box.spacing = 7
    known = {"path": str(house.home / "provider.sqlite"), "timeout": 1}
    hers = Mailbox._save(bea, "hostile", ADDRESS, "Bea", known, None)
    assert hers.spacing == 7
    hers.spacing = 2
    assert box.spacing == 2


@pytest.mark.rule(13)
def test_a_providers_limit_is_the_accounts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    three = Limit(dt.timedelta(days=1), 3, "the provider's limit of 3 a day")
    monkeypatch.setitem(PROVIDER_LIMITS, "hostile", (three,))
    two_of_one_account(house, spacing=0, people=3)
    for _ in range(3):
        dispatch.drain_sends(house.engine, threads=4)
    assert len(provider_of(house).ledger()) == 3


@pytest.mark.rule(13)
def test_a_providers_own_time_to_wait_is_the_accounts(house: House) -> None:
    two_of_one_account(house, spacing=0, people=2, faults=Faults(send_rate_limited=1, retry_after=600))
    dispatch.drain_sends(house.engine, threads=1)
    calls = provider_of(house).calls("send_draft")
    for _ in range(3):
        dispatch.drain_sends(house.engine, threads=1)
    assert (calls, provider_of(house).calls("send_draft")) == (1, 1)
