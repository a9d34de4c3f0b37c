"""Credits: the ledger always sums to the balance, which never falls below zero."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from outreach_sdk.engine import credits
from outreach_sdk.errors import InvalidInput
from outreach_sdk.storage.migrations import migrate
from outreach_sdk.storage.store import Store, open_store
from tests.harness import at

NOW = at("2026-03-10 12:00")


def opened(url: str) -> tuple[Store, int]:
    store = open_store(url)
    migrate(store, NOW)
    return store, store.insert("workspace", {"name": "Acme", "settings": "{}", "created_at": NOW})


def ledger_sum(store: Store, workspace: int) -> int:
    return int(
        store.value("SELECT COALESCE(SUM(amount), 0) FROM credit_ledger WHERE workspace_id = ?", workspace)
    )


class Ledger(RuleBasedStateMachine):
    """Anything in any order, beside a model that knows nothing of ledgers."""

    held = Bundle("held")

    @initialize()
    def open(self) -> None:
        self.folder = TemporaryDirectory()
        self.store, self.workspace = opened(f"sqlite:///{Path(self.folder.name) / 'l.db'}")
        self.store.db.pragma("synchronous", "off", permanent=True)
        self.store.writer.pragma("synchronous", "off", permanent=True)
        self.now = NOW
        self.allowance = self.bought = self.monthly = self.granted = 0
        self.numbers = itertools.count()
        self.paid: set[int] = set()
        self.references: dict[str, int] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(monthly=st.integers(0, 30))
    def plan(self, monthly: int) -> None:
        credits.set_plan(self.store, self.workspace, monthly, self.now, user_id=1)
        more = max(0, monthly - self.granted)
        self.monthly, self.granted, self.allowance = monthly, self.granted + more, self.allowance + more

    @rule(amount=st.integers(1, 20), reference=st.sampled_from([None, "A-1", "A-2"]))
    def buy(self, amount: int, reference: str | None) -> None:
        if reference in self.references and self.references[reference] != amount:
            with pytest.raises(InvalidInput, match="reference"):
                credits.top_up(self.store, self.workspace, amount, self.now, user_id=1, reference=reference)
            return
        credits.top_up(self.store, self.workspace, amount, self.now, user_id=1, reference=reference)
        if reference not in self.references:
            self.bought += amount
        if reference is not None:
            self.references[reference] = amount

    @rule(target=held, cost=st.sampled_from([3, 10]), person=st.integers(1, 4))
    def hold(self, cost: int, person: int) -> Any:
        key = f"r{next(self.numbers)}"
        with self.store.tx():
            got = credits.reserve(
                self.store,
                self.workspace,
                cost,
                self.now,
                reservation=key,
                candidate_id=person,
                field="email",
            )
        assert got == (self.allowance + self.bought >= cost)
        if not got:
            return multiple()
        first = min(self.allowance, cost)
        self.allowance -= first
        self.bought -= cost - first
        return key, person, first, cost - first, f"{self.now:%Y-%m}"

    def _back(self, first: int, second: int, period: str) -> None:
        self.bought += second
        if period == f"{self.now:%Y-%m}":
            self.allowance += first

    @rule(one=consumes(held))
    def keep(self, one: Any) -> None:
        key, person, first, second, period = one
        with self.store.tx():
            kept = credits.settle(self.store, self.workspace, self.now, reservation=key, provider="hunter")
        assert kept == (person not in self.paid)
        self.paid.add(person)
        if not kept:
            self._back(first, second, period)
        with self.store.tx():
            assert credits.release(self.store, self.workspace, self.now, reservation=key) == 0

    @rule(one=consumes(held), again=st.booleans())
    def give_back(self, one: Any, again: bool) -> None:
        key, _, first, second, period = one
        with self.store.tx():
            assert credits.release(self.store, self.workspace, self.now, reservation=key) == first + second
            if again:
                assert credits.release(self.store, self.workspace, self.now, reservation=key) == 0
        self._back(first, second, period)

    @rule()
    def next_month(self) -> None:
        self.now = (self.now.replace(day=1) + dt.timedelta(days=40)).replace(day=10)
        self.allowance = self.granted = self.monthly

    @invariant()
    def sums(self) -> None:
        if not hasattr(self, "store"):
            return
        shown = credits.balance(self.store, self.workspace, self.now)
        assert shown.balance == ledger_sum(self.store, self.workspace) == self.allowance + self.bought
        assert shown.allowance == self.allowance >= 0
        assert shown.top_ups == self.bought >= 0


TestLedger = pytest.mark.rule(25)(Ledger.TestCase)
TestLedger.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


@pytest.mark.rule(25)
def test_fifty_at_once_never_spend_what_is_not_there(database_url: str) -> None:
    store, workspace = opened(database_url)
    credits.set_plan(store, workspace, 20, NOW, user_id=1)
    credits.top_up(store, workspace, 25, NOW, user_id=1)
    got: list[str] = []
    lowest: list[int] = []
    start = threading.Barrier(50)

    def one(n: int) -> None:
        start.wait()
        for turn in range(3):
            key = f"{n}-{turn}"

            def take(key: str = key, person: int = n * 10 + turn) -> bool:
                return credits.reserve(
                    store, workspace, 3, NOW, reservation=key, candidate_id=person, field="email"
                )

            if store.run(take):
                got.append(key)
                if n % 2:
                    store.run(lambda key=key: credits.release(store, workspace, NOW, reservation=key))
                    got.remove(key)
            lowest.append(ledger_sum(store, workspace))
        store.idle()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shown = credits.balance(store, workspace, NOW)
    assert min(lowest) >= 0
    assert shown.balance == ledger_sum(store, workspace) == 45 - 3 * len(got)
    store.close()


@pytest.mark.rule(25)
def test_one_purchase_told_by_many_counts_once(database_url: str) -> None:
    store, workspace = opened(database_url)
    start = threading.Barrier(8)

    def one() -> None:
        start.wait()
        credits.top_up(store, workspace, 100, NOW, user_id=1, reference="INV-7")
        store.idle()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert credits.balance(store, workspace, NOW).balance == 100
    store.close()
