"""Grants that die, mailboxes disconnected and connected again, keys rotated: on both providers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from outreach_sdk.config import Settings
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.errors import ConfigError, MailAuthError
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.vault import Vault, binding, rotate
from tests.acceptance.test_selftest import Live, live
from tests.harness import ADDRESS, ROOT, House, wait_until
from tests.mail.fault_proxy import Fault

__all__ = ["live"]


def reconnect(live: Live) -> None:
    fresh = "refresh-fresh"
    if live.box.provider == "outlook":
        live.emulator.grant(fresh)
    else:
        fresh = live.emulator.refresh_token
    again = Mailbox.from_refresh_token(
        live.box.provider,
        ADDRESS,
        refresh_token=fresh,
        client_id=live.emulator.client_id,
        client_secret=live.emulator.client_secret,
    )
    assert again.id == live.box.id


def started(live: Live) -> Any:
    seq = live.house.two_steps(live.house.trusted(live.box), delay=2.0)
    seq.enroll(live.house.people(2))
    seq.activate()
    while live.house.engine.store.value("SELECT COUNT(*) FROM outbox WHERE state = 'sent'") < 2:
        dispatch.drain_sends(live.house.engine, threads=2)
    return seq


def dead(live: Live) -> Fault:
    """What a consent taken back, a password changed or an administrator's sign-out look like: the access token
    is refused and no other is given."""
    if live.box.provider == "outlook":
        kept = Vault(live.house.settings).open(str(live.row()["credentials"]), bound_to=binding(live.row()))
        live.emulator.revoke(kept["refresh_token"])
    else:
        live.emulator.revoke()
    refusal = Fault(
        "answer", path=r"/gmail/|/v1\.0/", count=None, status=401, reason="InvalidAuthenticationToken"
    )
    live.proxy.add(refusal)
    return refusal


@pytest.mark.rule(1, 12, 14)
@pytest.mark.parametrize("noticed_by", ["the check for answers", "the send"])
def test_a_dead_grant_pauses_visibly_and_resumes_where_it_was(live: Live, noticed_by: str) -> None:
    seq = started(live)
    refusal = dead(live)
    for _ in range(2):
        if noticed_by == "the send":
            live.house.settle(seq)
        elif live.box.status == "connected":
            with pytest.raises(MailAuthError):
                sync.poll_mailbox(live.house.engine, live.box.id)
    assert live.box.status == "reauthorise"
    assert set(seq.candidates()["status"]) == {"paused"}
    assert set(seq.candidates()["reason"]) == {"reauthorise"}
    assert seq.status == "active"
    assert any("connected again" in p for p in seq.problems)
    told = live.house.engine.store.rows("SELECT text FROM notifications WHERE kind = 'reauthorise'")
    assert len(told) == 1
    before = live.to_candidates()
    assert sum(before.values()) == 2
    refusal.count = refusal.struck
    if live.box.provider == "gmail":
        live.emulator.grant_again()
    reconnect(live)
    assert seq.problems == []
    live.house.settle(seq)
    assert sum(live.to_candidates().values()) == 4
    assert set(live.to_candidates().values()) == {1}, "nothing twice"
    assert set(seq.candidates()["status"]) == {"completed"}


@pytest.mark.rule(12, 14)
def test_a_send_cut_off_before_its_mailbox_was_disconnected_is_settled_when_it_is_back(live: Live) -> None:
    seq = live.house.two_steps(live.house.trusted(live.box))
    seq.enroll(live.house.people(1))
    seq.activate()
    assert live.house.drain(failpoint="after_accept") == -9
    live.box.disconnect()
    store = live.house.engine.store

    def looked() -> bool:
        dispatch.drain_sends(live.house.engine, threads=1)
        return bool(store.value("SELECT 1 FROM outbox WHERE state = 'unknown'"))

    wait_until(looked)
    if live.box.provider == "gmail":
        live.emulator.grant_again()
    reconnect(live)
    live.house.settle(seq)
    assert sum(live.to_candidates().values()) == 2
    assert set(live.to_candidates().values()) == {1}, "nothing twice"


@pytest.mark.rule(1, 3, 12)
def test_reconnecting_while_the_sequence_is_inactive_leaves_them_to_activation(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    assert box.disconnect() == "Disconnected."
    journey = seq.journey("p0@candidate0.example")
    assert journey.reason == "mailbox_disconnected"
    seq.deactivate()
    house.local()
    assert seq.journey("p0@candidate0.example").reason == "sequence_deactivated"
    seq.activate()
    assert seq.journey("p0@candidate0.example").status == "active"


@pytest.mark.rule(1, 12)
def test_another_mailbox_repairs_a_sequence_that_lost_its_own(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    box.disconnect()
    assert any("disconnected" in p for p in seq.problems)
    assert set(seq.candidates()["status"]) == {"paused"}
    told = house.engine.store.rows("SELECT 1 FROM notifications WHERE kind = 'mailbox_disconnected'")
    assert len(told) == 1
    seq.set_mailbox(Mailbox.connect_local("second@agency.example"))
    assert seq.problems == []
    assert set(seq.candidates()["status"]) == {"active"}


def _cli(house: House, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    base = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
    return subprocess.run(
        [sys.executable, "-m", "outreach_sdk.cli", *arguments],
        env={**base, **house.env, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.rule(12)
def test_keys_are_rotated_while_tokens_are_renewed(house: House, tmp_path: Path) -> None:
    canary = "canary-refresh"
    box = Mailbox.from_refresh_token("gmail", ADDRESS, refresh_token=canary, client_id="c", client_secret="s")
    made = _cli(house, "key", "new")
    Fernet(made.stdout.strip().encode())
    old = house.env.get("OUTREACH_SECRET_KEYS")
    env = {"OUTREACH_SECRET_KEYS": f"{made.stdout.strip()},{old}"} if old else {}
    before = house.engine.store.value("SELECT credentials FROM mailboxes")
    done = _cli(house, "key", "rotate", "--json", **env)
    assert json.loads(done.stdout) == {"renewed": 1, "lost": []}, done.stderr
    row = house.engine.store.one("SELECT * FROM mailboxes WHERE id = ?", box.id)
    assert row is not None
    assert row["credentials"] != before
    newest = made.stdout.strip() if old else (house.home / "secret.key").read_text().split()[0]
    assert canary in Fernet(newest.encode()).decrypt(row["credentials"].encode()).decode()
    if not old:
        assert (house.home / "secret.key").stat().st_mode & 0o777 == 0o600
        running = Vault(house.settings)
        _cli(house, "key", "rotate")
        row = house.engine.store.one("SELECT * FROM mailboxes WHERE id = ?", box.id) or {}
        opened = running.open(row["credentials"], bound_to=binding(row))
        assert opened["refresh_token"] == canary, "a worker that runs on finds the new key by itself"
    assert canary not in made.stdout + done.stdout + done.stderr


def test_what_no_key_opens_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    Mailbox.from_refresh_token("gmail", ADDRESS, refresh_token="canary", client_id="c", client_secret="s")
    other = Settings.from_env({**house.env, "OUTREACH_SECRET_KEYS": Fernet.generate_key().decode()})
    before = house.engine.store.value("SELECT credentials FROM mailboxes")
    done, lost = rotate(other, house.engine.store)
    assert (done, len(lost)) == (0, 1)
    assert house.engine.store.value("SELECT credentials FROM mailboxes") == before
    failed = _cli(house, "key", "rotate", OUTREACH_SECRET_KEYS=Fernet.generate_key().decode())
    assert failed.returncode == 1
    assert "canary" not in failed.stdout + failed.stderr


def test_a_shared_process_without_keys_says_who_holds_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only the web service and the workers"):
        Vault(
            Settings.from_env({"DATABASE_URL": "postgresql://u@127.0.0.1/x", "OUTREACH_HOME": str(tmp_path)})
        )
    assert not (tmp_path / "secret.key").exists(), "nor does it make one that nobody else would have"


@pytest.mark.rule(12)
def test_connecting_again_keeps_what_was_set(house: House) -> None:
    box = house.local()
    box.spacing = 30
    box.disconnect()
    assert house.local().spacing == 30
