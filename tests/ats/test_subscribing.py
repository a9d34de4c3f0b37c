"""Webhooks subscribed to by API, watched, and told of when they end; keys tried."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from outreach_sdk.cli import outreach
from outreach_sdk.errors import AtsDenied, ConfigError, InvalidInput, NotFound
from outreach_sdk.objects.workspace import Workspace, notifications
from tests.ats.conftest import poll
from tests.ats.vendors import KEYS, Vendors
from tests.harness import House

Connect = Callable[..., House]
URL = "https://outreach.example"
SOURCES = ("calendly", "lever", "ashby", "workable", "smartrecruiters")


def there(vendors: Vendors) -> set[str]:
    return {h["callback_url"] for h in vendors.hooks.values()}


@pytest.mark.parametrize("source", SOURCES)
def test_a_system_is_told_where_to_send_and_asked_again_changes_nothing(
    tmp_path: Path, connect: Connect, vendors: Vendors, source: str
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", source, OUTREACH_PUBLIC_URL=URL)
    workspace = Workspace(house.session)
    made = workspace.subscribe_webhooks(source)
    target = URL + ("/webhooks/calendly" if source == "calendly" else f"/webhooks/ats/{source}")
    assert there(vendors) == {target}
    assert {m["target"] for m in made} == {target}
    if source in ("calendly", "ashby"):
        (key,) = {h.get("signing_key") or h.get("secretToken") for h in vendors.hooks.values()}
        assert key == f"newest-{source}"
    count = len(vendors.hooks)
    workspace.subscribe_webhooks(source)
    assert len(vendors.hooks) == count
    if source in ("lever", "ashby"):  # one for each event: what is missing is made
        vendors.hooks.pop("h2")
        house.engine.store.write("DELETE FROM hooks WHERE external_id = 'h2'")
        workspace.subscribe_webhooks(source)
        assert len(vendors.hooks) == count
    poll(house)
    assert workspace.status()["webhooks"] == []


def test_one_that_calendly_disabled_is_told_of_and_made_again(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "calendly", OUTREACH_PUBLIC_URL=URL)
    workspace = Workspace(house.session)
    workspace.subscribe_webhooks("calendly")
    (hook,) = vendors.hooks.values()
    hook["retry_started_at"] = "2026-11-24T09:00:00Z"
    poll(house)
    assert "have failed since 2026-11-24" in workspace.status()["webhooks"][0]
    assert notifications().height == 0
    hook["state"] = "disabled"
    poll(house)
    poll(house)
    (told,) = notifications().iter_rows(named=True)
    assert told["kind"] == "webhook_ended"
    assert "outreach webhooks subscribe calendly" in told["text"]
    assert workspace.status()["webhooks"] == [told["text"]]
    assert any(not c["ok"] and c["check"] == "webhooks" for c in workspace.check_systems())
    workspace.subscribe_webhooks("calendly")
    assert [h["state"] for h in vendors.hooks.values()] == ["active"]
    assert workspace.status()["webhooks"] == []
    vendors.hooks.clear()
    poll(house)
    assert "isn't there any more" in workspace.status()["webhooks"][0]


def test_one_made_by_hand_is_watched_too_and_others_are_nobodys_business(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "calendly", OUTREACH_PUBLIC_URL=URL)
    for name, url in (("h1", f"{URL}/webhooks/calendly"), ("h2", "https://elsewhere.example/x")):
        vendors.hooks[name] = {"uri": name, "callback_url": url, "state": "active"}
    poll(house)
    for hook in vendors.hooks.values():
        hook["state"] = "disabled"
    poll(house)
    assert notifications().height == 1


def test_what_is_missing_is_named_and_members_may_not(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "calendly", OUTREACH_CALENDLY_WEBHOOK_SECRETS="")
    workspace = Workspace(house.session)
    with pytest.raises(ConfigError, match="OUTREACH_PUBLIC_URL"):
        workspace.subscribe_webhooks("calendly")
    with pytest.raises(InvalidInput, match="consoles"):
        workspace.subscribe_webhooks("merge")
    house.session.settings.__dict__["public_url"] = URL
    with pytest.raises(ConfigError, match="OUTREACH_CALENDLY_WEBHOOK_SECRETS"):
        workspace.subscribe_webhooks("calendly")
    house.session.user["role"] = "member"
    with pytest.raises(NotFound):
        workspace.subscribe_webhooks("calendly")
    assert vendors.asked == []


def test_a_refusal_is_said(database_url: str, connect: Connect, vendors: Vendors) -> None:
    house = connect(database_url, "calendly", OUTREACH_PUBLIC_URL=URL)
    vendors.faults = [("users/me", (401, {}, b""))]
    with pytest.raises(AtsDenied, match="Calendly refuses the key"):
        Workspace(house.session).subscribe_webhooks("calendly")


def test_doctor_tries_every_key(
    tmp_path: Path, connect: Connect, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", *KEYS, OUTREACH_LEVER_API_KEY="wrong")
    checks = {c["check"]: c for c in Workspace(house.session).check_systems()}
    assert len(checks) == len(KEYS)
    assert {n for n, c in checks.items() if not c["ok"]} == {"key of lever"}
    assert "refuses the key" in checks["key of lever"]["say"]
    poll(house)
    asked = Workspace(house.session).systems()
    assert asked.filter(asked["error"].is_not_null())["system"].unique().to_list() == ["lever"]
    assert asked.filter(asked["complete_at"].is_not_null())["system"].n_unique() >= 5
    for name, value in house.env.items():
        monkeypatch.setenv(name, value)
    done: Any = CliRunner().invoke(outreach, ["doctor", "--json"])
    said = {c["check"]: c["ok"] for c in json.loads(done.stdout)}
    assert said["key of lever"] is False
    assert said["key of bullhorn"] is True
    assert done.exit_code == 1
    done = CliRunner().invoke(outreach, ["webhooks", "subscribe", "merge"])
    assert done.exit_code == 2
