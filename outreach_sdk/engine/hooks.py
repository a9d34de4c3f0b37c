"""Webhook subscriptions at vendors: made by API, and watched, since some end by themselves (Calendly's after 24 hours
of errors) and then nothing tells any more."""

from __future__ import annotations

from typing import Any

from outreach_sdk.ats.port import Subscribes, system_name
from outreach_sdk.domain.hooks import Hook
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import AtsUnavailable, InvalidInput
from outreach_sdk.storage.store import Store

__all__ = ["path_of", "subscribe", "troubles", "watch"]


def path_of(source: str) -> str:
    """Where the web service takes a source's deliveries."""
    return "/webhooks/calendly" if source == "calendly" else f"/webhooks/ats/{source}"


def subscribe(engine: Engine, source: str, target: str, secret: str) -> list[Hook]:
    """Have a system tell `target` of everything that is read here; what stands there then. What was disabled is made
    anew, what stands already is left, so it can be asked for as often as one likes. InvalidInput, AtsError."""
    account = engine.asker(source)
    if not isinstance(account, Subscribes):
        raise InvalidInput(
            "source", source, "It has no key here, or no API for this: set it up in its console."
        )
    store = engine.store
    if account.lists_hooks:
        held = [h for h in account.hooks() if h.target == target]
    else:
        rows = store.rows("SELECT * FROM hooks WHERE source = ? AND target = ?", source, target)
        held = [Hook(r["external_id"], target, bool(r["active"]), r["why"]) for r in rows]
    for dead in (h for h in held if not h.active):
        account.unsubscribe(dead.external_id)
    store.write("DELETE FROM hooks WHERE source = ?", source)
    standing = [h for h in held if h.active]
    told_of = {h.why for h in standing}
    missing = [e for e in account.events_apart if e not in told_of]
    if not account.events_apart and not standing:
        missing = [""]
    for hook in standing:
        _keep(engine, source, hook)
    for event in missing:  # one by one: what was made before a failure is known
        made = account.subscribe(target, secret, event)
        if not made.external_id:
            raise AtsUnavailable(f"{system_name(source)} answered something that isn't what it documents.")
        _keep(engine, source, made)
        standing.append(made)
    return standing


def _keep(engine: Engine, source: str, hook: Hook) -> None:
    now = engine.now()
    engine.store.write(
        "INSERT INTO hooks (workspace_id, source, external_id, target, active, why, made_at, seen_at) SELECT id, "
        "?, ?, ?, ?, ?, CAST(? AS BIGINT), CAST(? AS BIGINT) FROM workspace WHERE id = (SELECT MIN(id) FROM "
        "workspace) ON CONFLICT (source, external_id) DO NOTHING",
        source,
        hook.external_id,
        hook.target,
        hook.active,
        hook.why,
        now,
        now,
    )


def watch(engine: Engine, source: str) -> int:
    """Look how a system's subscriptions to this installation stand, and tell the admins of one that has ended; how
    many stand. AtsError."""
    account, store, now = engine.asker(source), engine.store, engine.now()
    if engine.public_url is None:
        return 0
    target = engine.public_url + path_of(source)
    there = {h.external_id: h for h in account.hooks() if h.target == target}
    known = {r["external_id"]: r for r in store.rows("SELECT * FROM hooks WHERE source = ?", source)}

    def work() -> None:
        for name, hook in there.items():
            if name not in known:
                store.write(
                    "INSERT INTO hooks (workspace_id, source, external_id, target, active, why, made_at) SELECT id, ?, ?, "
                    "?, ?, '', CAST(? AS BIGINT) FROM workspace WHERE id = (SELECT MIN(id) FROM workspace) "
                    "ON CONFLICT (source, external_id) DO NOTHING",
                    source,
                    name,
                    target,
                    True,
                    now,
                )
            _stands(engine, source, name, active=hook.active, why=hook.why)
        for name in known.keys() - there.keys():
            _stands(engine, source, name, active=False, why="it isn't there any more")

    store.run(work)
    return sum(h.active for h in there.values())


def _stands(engine: Engine, source: str, name: str, *, active: bool, why: str) -> None:
    """In a transaction."""
    store, now = engine.store, engine.now()
    ended = store.write(
        "UPDATE hooks SET active = ? WHERE source = ? AND external_id = ? AND active <> ?",
        active,
        source,
        name,
        active,
    )
    why = why if active or why else "it was disabled"
    store.write(
        "UPDATE hooks SET why = ?, seen_at = ? WHERE source = ? AND external_id = ?", why, now, source, name
    )
    if ended and not active:
        row = store.one("SELECT * FROM hooks WHERE source = ? AND external_id = ?", source, name)
        assert row is not None  # noqa: S101
        for admin in store.rows(
            "SELECT id FROM users WHERE workspace_id = ? AND role = 'admin'", row["workspace_id"]
        ):
            notify(
                store,
                workspace_id=row["workspace_id"],
                owner_id=admin["id"],
                kind="webhook_ended",
                text=_trouble(row),
                dedupe=f"hook:{row['id']}:{admin['id']}:{now:%Y%m%d%H%M}",
                now=now,
            )


def troubles(store: Store, workspace_id: int) -> list[str]:
    """What is wrong with subscriptions, a sentence each."""
    rows = store.rows("SELECT * FROM hooks WHERE workspace_id = ? ORDER BY source, id", workspace_id)
    standing = {r["source"] for r in rows if r["active"]}
    return list(
        dict.fromkeys(
            _trouble(r) if not r["active"] else f"{system_name(r['source'])}'s webhook: {r['why']}."
            for r in rows
            if (not r["active"] and r["source"] not in standing) or (r["active"] and "failed" in r["why"])
        )
    )


def _trouble(row: dict[str, Any]) -> str:
    name = system_name(row["source"])
    return (
        f"{name} tells of nothing any more: its webhook has ended ({row['why']}). `outreach webhooks subscribe "
        f"{row['source']}` makes it again; {name} is to be looked through for what happened meanwhile."
    )
