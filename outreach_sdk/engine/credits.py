"""Credits: a ledger that is only added to, and always sums to the balance.

What may be spent is taken before a provider is asked (`reserve`), and either kept (`settle`) or given back
(`release`). Every function runs in the caller's transaction, or makes its own where it has a `store.run`; all of
them lock the workspace's account first, so that they happen one after the other.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from outreach_sdk.errors import InvalidInput, StorageError
from outreach_sdk.storage.store import Store

__all__ = [
    "Balance",
    "balance",
    "entries",
    "hold",
    "release",
    "renew_due",
    "reserve",
    "resume_runs",
    "set_plan",
    "settle",
    "top_up",
]

MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Balance:
    """`allowance` is what is left of this month's, `monthly` what the plan gives; `renews_at` in UTC."""

    balance: int
    allowance: int
    top_ups: int
    monthly: int
    renews_at: dt.datetime

    def __getitem__(self, name: str) -> Any:
        """Also by name, as from a row."""
        if name not in self.__slots__:
            raise KeyError(name)
        return getattr(self, name)


def _month(now: dt.datetime) -> str:
    return f"{now.astimezone(dt.UTC):%Y-%m}"


def _renewal(now: dt.datetime) -> dt.datetime:
    first = now.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + dt.timedelta(days=32)).replace(day=1)


class _Account:
    """A workspace's account, locked until the transaction ends, its month begun where that was due."""

    def __init__(self, store: Store, workspace_id: int, now: dt.datetime) -> None:
        self.store, self.workspace_id, self.now = store, workspace_id, now
        store.write(
            "INSERT INTO credit_accounts (workspace_id, monthly, period, allowance, top_ups) VALUES (?, 0, ?, 0, 0) "
            "ON CONFLICT (workspace_id) DO NOTHING",
            workspace_id,
            _month(now),
        )
        row = store.one(
            f"SELECT * FROM credit_accounts WHERE workspace_id = ?{store.for_update}", workspace_id
        )
        if row is None:  # what was just inserted is there
            raise StorageError("The credit account can't be read.")
        self.monthly, self.period = int(row["monthly"]), str(row["period"])
        self.allowance, self.top_ups = int(row["allowance"]), int(row["top_ups"])
        if self.period < _month(now):
            self._begin_month()

    def _begin_month(self) -> None:
        if self.allowance:
            self.append("expire", -self.allowance, "allowance")
        self.period = _month(self.now)
        self.store.write(
            "UPDATE credit_accounts SET period = ? WHERE workspace_id = ?", self.period, self.workspace_id
        )
        if self.monthly:
            self.append("allowance", self.monthly, "allowance")
            resume_runs(self.store, self.workspace_id, self.now)

    def append(self, kind: str, amount: int, bucket: str, *, period: str | None = None, **more: Any) -> None:
        """One more entry, the account moved with it."""
        if bucket == "allowance":
            self.allowance += amount
        elif bucket == "top_up":
            self.top_ups += amount
        values = {
            "workspace_id": self.workspace_id,
            "kind": kind,
            "amount": amount,
            "bucket": bucket,
            "period": (period or self.period) if bucket == "allowance" else None,
            "at": self.now,
            **more,
        }
        self.store.insert("credit_ledger", values)
        self.store.write(
            "UPDATE credit_accounts SET allowance = ?, top_ups = ? WHERE workspace_id = ?",
            self.allowance,
            self.top_ups,
            self.workspace_id,
        )

    def shown(self) -> Balance:
        return Balance(
            self.allowance + self.top_ups, self.allowance, self.top_ups, self.monthly, _renewal(self.now)
        )


def resume_runs(store: Store, workspace_id: int, now: dt.datetime) -> int:
    """Let runs that ran out of credits go on; how many. In a transaction."""
    moved = store.rows(
        "UPDATE enrichment_runs SET state = 'running', reason = NULL WHERE workspace_id = ? AND state = 'paused' "
        "AND reason = 'no_credits' RETURNING id",
        workspace_id,
    )
    for run in moved:
        store.write(
            "UPDATE enrichment_items SET next_at = ? WHERE run_id = ? AND state = 'waiting'", now, run["id"]
        )
    return len(moved)


def hold(store: Store, workspace_id: int, now: dt.datetime) -> None:
    """Lock the account until the transaction ends: before runs and people are locked, as everybody does."""
    _Account(store, workspace_id, now)


def balance(store: Store, workspace_id: int, now: dt.datetime) -> Balance:
    """What a workspace has now; a month that is over is closed on the way."""
    return store.run(lambda: _Account(store, workspace_id, now).shown())


def renew_due(store: Store, now: dt.datetime) -> list[int]:
    """Workspaces whose new month hasn't begun in the books although a run waits for it."""
    rows = store.rows(
        "SELECT a.workspace_id FROM credit_accounts a WHERE a.monthly > 0 AND a.period < ? AND EXISTS (SELECT 1 "
        "FROM enrichment_runs r WHERE r.workspace_id = a.workspace_id AND r.state = 'paused' "
        "AND r.reason = 'no_credits')",
        _month(now),
    )
    return [int(r["workspace_id"]) for r in rows]


def set_plan(store: Store, workspace_id: int, monthly: int, now: dt.datetime, *, user_id: int) -> Balance:
    """Credits a month from now on. More than before counts at once, less from the next month on."""
    if isinstance(monthly, bool) or not isinstance(monthly, int) or not 0 <= monthly <= MOST:
        raise InvalidInput("monthly_credits", monthly, f"Give a whole number from 0 to {MOST:,}.")

    def work() -> Balance:
        account = _Account(store, workspace_id, now)
        account.monthly = monthly
        store.write("UPDATE credit_accounts SET monthly = ? WHERE workspace_id = ?", monthly, workspace_id)
        granted = store.value(
            "SELECT COALESCE(SUM(amount), 0) FROM credit_ledger WHERE workspace_id = ? AND kind = 'allowance' "
            "AND period = ?",
            workspace_id,
            account.period,
        )
        if monthly > int(granted):
            account.append("allowance", monthly - int(granted), "allowance", user_id=user_id)
            resume_runs(store, workspace_id, now)
        return account.shown()

    return store.run(work)


def top_up(
    store: Store,
    workspace_id: int,
    credits: int,
    now: dt.datetime,
    *,
    user_id: int,
    reference: str | None = None,
) -> Balance:
    """Add credits that never expire; runs that waited for them go on. One `reference` is one purchase, however
    often it is told; InvalidInput where it was another number of credits before."""
    if isinstance(credits, bool) or not isinstance(credits, int) or not 1 <= credits <= MOST:
        raise InvalidInput("credits", credits, f"Give a whole number from 1 to {MOST:,}.")
    if reference is not None and (not isinstance(reference, str) or not 1 <= len(reference.strip()) <= 200):
        raise InvalidInput("reference", reference, "Give the purchase's reference, at most 200 characters.")
    known_as = None if reference is None else reference.strip()

    def work() -> Balance:
        account = _Account(store, workspace_id, now)
        known = None
        if known_as is not None:
            known = store.value(
                "SELECT amount FROM credit_ledger WHERE workspace_id = ? AND kind = 'top_up' AND reference = ?",
                workspace_id,
                known_as,
            )
        if known is None:
            account.append("top_up", credits, "top_up", user_id=user_id, reference=known_as)
            resume_runs(store, workspace_id, now)
        elif int(known) != credits:
            raise InvalidInput("reference", known_as, f"It is known for {known} credits, not {credits}.")
        return account.shown()

    return store.run(work)


def reserve(
    store: Store, workspace_id: int, credits: int, now: dt.datetime, *, reservation: str, **about: Any
) -> bool:
    """Take `credits` for what is about to be asked, the allowance first; False, and nothing taken, where there
    aren't as many. In a transaction."""
    account = _Account(store, workspace_id, now)
    if account.allowance + account.top_ups < credits:
        return False
    first = min(account.allowance, credits)
    for bucket, part in (("allowance", first), ("top_up", credits - first)):
        if part:
            account.append("reserve", -part, bucket, reservation=reservation, **about)
    return True


def settle(store: Store, workspace_id: int, now: dt.datetime, *, reservation: str, provider: str) -> bool:
    """Keep what was reserved: something was found. False, and it is given back, where this field of this
    candidate was paid for before. In a transaction."""
    _Account(store, workspace_id, now)
    settled = store.write(
        "INSERT INTO credit_ledger (workspace_id, kind, amount, bucket, reservation, run_id, candidate_id, field, "
        "provider, user_id, at) SELECT workspace_id, 'settle', 0, 'both', reservation, run_id, candidate_id, field, ?, "
        "user_id, CAST(? AS BIGINT) FROM (SELECT * FROM credit_ledger WHERE workspace_id = ? AND reservation = ? "
        "AND kind = 'reserve' ORDER BY id LIMIT 1) AS q WHERE TRUE ON CONFLICT DO NOTHING",
        provider,
        now,
        workspace_id,
        reservation,
    )
    if settled != 1:
        release(store, workspace_id, now, reservation=reservation)
    return settled == 1


def release(store: Store, workspace_id: int, now: dt.datetime, *, reservation: str) -> int:
    """Give back what was reserved, where it came from; how much. Once, and never after it was settled. Allowance
    of a month that is over expires on its way back. In a transaction."""
    account = _Account(store, workspace_id, now)
    steps = store.rows(
        "SELECT * FROM credit_ledger WHERE workspace_id = ? AND reservation = ? ORDER BY id",
        workspace_id,
        reservation,
    )
    if any(s["kind"] in ("settle", "release") for s in steps):
        return 0
    back = 0
    for step in steps:
        amount = -int(step["amount"])
        about = {k: step[k] for k in ("reservation", "run_id", "candidate_id", "field", "user_id")}
        account.append("release", amount, step["bucket"], period=step["period"], **about)
        if step["bucket"] == "allowance" and step["period"] != account.period:
            account.append("expire", -amount, "allowance", period=step["period"], **about)
        back += amount
    return back


def entries(store: Store, workspace_id: int) -> list[dict[str, Any]]:
    """The ledger, oldest first, each entry with the balance after it."""
    rows = store.rows(
        "SELECT l.*, u.name AS user_name FROM credit_ledger l LEFT JOIN users u ON u.id = l.user_id "
        "WHERE l.workspace_id = ? ORDER BY l.id",
        workspace_id,
    )
    total = 0
    for row in rows:
        total += int(row["amount"])
        row["balance"] = total
    return rows
