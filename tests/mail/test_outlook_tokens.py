"""Access tokens for Graph: renewed once, rotated ones kept, and what each failure of the sign-in becomes."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from outreach_sdk.errors import ConfigError, MailAuthError, MailError, MailTemporary
from outreach_sdk.mail.outlook.tokens import Grant, Tokens, redeem
from tests.mail.fault_proxy import Fault
from tests.mail.graph_emulator import GraphEmulator, graph_emulator
from tests.mail.graph_proxy import TOKEN, GraphProxy, graph_proxy


@pytest.fixture
def entra() -> Iterator[tuple[GraphEmulator, GraphProxy]]:
    with graph_emulator() as emulator, graph_proxy(emulator.base_url) as proxy:
        yield emulator, proxy


def exchange(entra: tuple[GraphEmulator, GraphProxy], refresh_token: str = "", **more: Any) -> Grant:
    emulator, proxy = entra
    given = {"client_id": emulator.client_id, "client_secret": emulator.client_secret, "timeout": 5.0, **more}
    return redeem(refresh_token or emulator.refresh_token, authority=proxy.base_url, **given)


@pytest.mark.parametrize("secret", ["with a secret", ""])
def test_a_refresh_token_becomes_an_access_token_and_the_next_refresh_token(
    entra: tuple[GraphEmulator, GraphProxy], secret: str
) -> None:
    first = exchange(entra, client_secret=secret)
    assert time.time() + 3000 < first.expires_at < time.time() + 3700
    second = exchange(entra, first.refresh_token, client_secret=secret)
    assert len({entra[0].refresh_token, first.refresh_token, second.refresh_token}) == 3
    with pytest.raises(MailAuthError, match="invalid_grant") as caught:
        exchange(entra)
    assert caught.value.permanent


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("answer", path=TOKEN, status=503, reason="temporarily_unavailable"), MailTemporary),
        (Fault("answer", path=TOKEN, status=429, reason="slow_down"), MailTemporary),
        (Fault("reset", path=TOKEN), MailTemporary),
        (Fault("stall", path=TOKEN, seconds=9), MailTemporary),
        (Fault("answer", path="openid-configuration", status=500), MailTemporary),
        (Fault("answer", path="openid-configuration", status=400), MailTemporary),
        (Fault("answer", path=TOKEN, status=401, reason="invalid_client"), MailAuthError),
        (Fault("answer", path=TOKEN, status=400, reason="interaction_required"), MailAuthError),
    ],
    ids=lambda value: f"{value.kind} {value.status}" if isinstance(value, Fault) else "",
)
def test_what_each_failure_becomes(
    entra: tuple[GraphEmulator, GraphProxy], fault: Fault, expected: type[MailError]
) -> None:
    entra[1].add(fault)
    with pytest.raises(expected) as caught:
        exchange(entra, timeout=0.5)
    assert caught.value.permanent == (expected is MailAuthError)


def test_no_secret_in_any_text(entra: tuple[GraphEmulator, GraphProxy]) -> None:
    emulator, proxy = entra
    secrets = [emulator.refresh_token, emulator.client_secret]
    grant = exchange(entra)
    assert grant.access_token not in repr(grant)
    assert grant.refresh_token not in repr(grant)
    loud = f"AADSTS700082: {emulator.refresh_token} of {emulator.client_secret} has expired"
    proxy.add(
        Fault("answer", path=TOKEN, status=400, reason="invalid_grant", message=loud),
        Fault("answer", path=TOKEN, status=400, reason="server_error", message=loud),
        Fault("answer", path=TOKEN, status=400, reason=emulator.refresh_token, message=loud),
        Fault("lost", path=TOKEN),
    )
    for _ in range(4):
        with pytest.raises(MailError) as caught:
            exchange(entra)
        text = "".join(traceback.format_exception(caught.value))
        assert not any(secret in text for secret in secrets)


@pytest.mark.parametrize("authority", ["http://login.example.com", "http://10.0.0.7:8080", "http://"])
def test_a_refresh_token_never_travels_in_the_clear(authority: str) -> None:
    with pytest.raises(ConfigError, match="OUTREACH_MICROSOFT_AUTHORITY"):
        redeem("refresh", client_id="c", client_secret="s", authority=authority)


class Row:
    """What is kept, with a version, and a sign-in that takes every refresh token once."""

    def __init__(self) -> None:
        self.version, self.kept = 0, {"refresh_token": "r0"}
        self.good = "r0"
        self.asked = self.loaded = 0
        self.lock = threading.Lock()

    def load(self) -> tuple[str, dict[str, Any]]:
        with self.lock:
            self.loaded += 1
            return str(self.version), dict(self.kept)

    def save(self, version: str, tokens: dict[str, Any]) -> bool:
        with self.lock:
            if version != str(self.version):
                return False
            self.version, self.kept = self.version + 1, tokens
            return True

    def exchange(self, tokens: Mapping[str, Any]) -> Grant:
        with self.lock:
            self.asked += 1
            if tokens["refresh_token"] != self.good:
                raise MailAuthError("invalid_grant")
            self.good = f"r{self.asked}"
            return Grant(f"a{self.asked}", self.good, time.time() + 3600)


def test_threads_share_one_renewal_and_so_do_those_whose_token_was_refused() -> None:
    row = Row()
    tokens = Tokens(row.load, row.save, row.exchange)
    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(tokens, [None] * 50)) == {"a1"}
        assert set(pool.map(tokens, ["a1"] * 50)) == {"a2"}
        assert set(pool.map(tokens, ["a1"] * 50)) == {"a2"}
    assert row.asked == 2
    assert row.kept["refresh_token"] == row.good == "r2"
    assert row.loaded == 2, "the row is read for a renewal only"


def test_a_token_about_to_end_is_renewed() -> None:
    row = Row()
    row.kept |= {"access_token": "old", "expires_at": time.time() + 60}
    assert Tokens(row.load, row.save, row.exchange)(None) == "a1"


def test_a_process_that_comes_second_waits_for_what_the_first_writes() -> None:
    row = Row()
    first_asked, second_refused = threading.Event(), threading.Event()

    def slow(tokens: Mapping[str, Any]) -> Grant:
        grant = row.exchange(tokens)
        first_asked.set()
        assert second_refused.wait(10)
        return grant

    def late(tokens: Mapping[str, Any]) -> Grant:
        try:
            return row.exchange(tokens)
        except MailAuthError:
            second_refused.set()
            raise

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(Tokens(row.load, row.save, slow), None)
        assert first_asked.wait(10)
        second = pool.submit(Tokens(row.load, row.save, late, patience=2.0), None)
        assert (first.result(10), second.result(20)) == ("a1", "a1")
    assert row.asked == 2


def test_tokens_saved_by_somebody_else_meanwhile_win() -> None:
    row = Row()

    def reconnected_meanwhile(tokens: Mapping[str, Any]) -> Grant:
        grant = row.exchange(tokens)
        if row.asked == 1:
            row.version, row.kept, row.good = 7, {"refresh_token": "fresh"}, "fresh"
        return grant

    assert Tokens(row.load, row.save, reconnected_meanwhile)(None) == "a2"
    assert row.kept["refresh_token"] == "r2"


def test_a_dead_grant_is_asked_about_once_until_other_tokens_are_kept() -> None:
    row = Row()
    row.good = "another"
    tokens = Tokens(row.load, row.save, row.exchange, patience=0.0)
    for _ in range(3):
        with pytest.raises(MailAuthError, match="invalid_grant"):
            tokens(None)
    assert row.asked == 1
    row.version, row.kept = 1, {"refresh_token": "another"}
    assert tokens(None) == "a2"
