"""Connecting a mailbox by consent, with a real browser on the providers' stand-ins; nobody's secrets shown."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Error

from outreach_sdk.errors import InvalidInput, MailAuthError, OutreachError, SignInRefused
from outreach_sdk.objects.mailbox import Mailbox
from tests.harness import ADDRESS, House, wait_until
from tests.mail.consent import Person, agree, deny
from tests.mail.emulator import GoogleEmulator, google_emulator
from tests.mail.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.mail.graph_emulator import GraphEmulator, graph_emulator
from tests.mail.graph_proxy import GraphProxy, graph_proxy

OTHER = "eve@elsewhere.example"


def free_port() -> int:
    """Below those that the kernel gives to whoever asks for any, so that nobody else's connection takes it first."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.randrange(20_000, 30_000)
            probe.bind(("127.0.0.1", port))
            return port


class Consent:
    """A house, a provider with two accounts, and a way to connect."""

    def __init__(
        self,
        house: House,
        provider: str,
        emulator: GoogleEmulator | GraphEmulator,
        proxy: FaultProxy,
        port: int,
    ) -> None:
        self.house, self.provider, self.emulator, self.proxy, self.port = (
            house,
            provider,
            emulator,
            proxy,
            port,
        )
        self.said: list[str] = []

    def connect(self, person: Any, **more: Any) -> Mailbox:
        given = {"address": ADDRESS, "browser": person, "port": self.port, "show": self.said.append, **more}
        if self.provider == "outlook":
            secret = self.emulator.client_secret
            return Mailbox.connect_outlook(self.emulator.client_id, client_secret=secret, **given)
        client = {
            "installed": {"client_id": self.emulator.client_id, "client_secret": self.emulator.client_secret}
        }
        return Mailbox.connect_gmail(client, **given)

    def rows(self) -> list[dict[str, Any]]:
        return self.house.engine.store.rows("SELECT * FROM mailboxes")

    def tokens_given(self) -> int:
        return self.proxy.count("POST", r"/oauth2(/v2\.0)?/token$")

    def everything(self) -> str:
        """All that this ever stored or said."""
        tables = ("mailboxes", "notifications", "events", "connect_links", "users")
        rows = [str(r) for t in tables for r in self.house.engine.store.rows(f"SELECT * FROM {t}")]
        return "\n".join([*rows, *self.said, repr(self.house.settings), repr(self.house.session)])


@pytest.fixture(params=["gmail", "outlook"])
def consent(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Consent]:
    port = free_port()
    redirects = [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
    url = f"sqlite:///{tmp_path / 'outreach.db'}"
    if request.param == "gmail":
        with (
            google_emulator(ADDRESS, others=[OTHER], redirects=redirects) as google,
            fault_proxy(google.base_url) as proxy,
        ):
            env = {
                "OUTREACH_GMAIL_ENDPOINT": proxy.base_url,
                "OUTREACH_GOOGLE_TOKEN_URI": f"{proxy.base_url}/oauth2/token",
                "OUTREACH_GOOGLE_AUTH_URI": f"{proxy.base_url}/o/oauth2/v2/auth",
                "OUTREACH_SEND_TIMEOUT": "5",
            }
            house = House(tmp_path / "home", url, env)
            yield Consent(house, "gmail", google, proxy, port)
            house.close()
        return
    with (
        graph_emulator(ADDRESS, others=[OTHER], redirects=redirects) as graph,
        graph_proxy(graph.base_url) as proxy,
    ):
        env = {
            "OUTREACH_GRAPH_ENDPOINT": proxy.base_url,
            "OUTREACH_MICROSOFT_AUTHORITY": proxy.base_url,
            "OUTREACH_SEND_TIMEOUT": "5",
        }
        house = House(tmp_path / "home", url, env)
        yield Consent(house, "outlook", graph, proxy, port)
        house.close()


@pytest.mark.rule(10)
def test_a_mailbox_is_connected_in_the_browser_and_can_be_used(consent: Consent) -> None:
    person = Person(lambda view: agree(view, ADDRESS))
    box = consent.connect(person, name="Ada")
    person.done()
    assert (box.address, box.provider, box.status) == (ADDRESS, consent.provider, "connected")
    assert box.transport.address() == ADDRESS
    assert "go back to your notebook" in person.saw
    named = consent.said[0]
    scopes = (
        ("gmail.compose", "gmail.readonly") if consent.provider == "gmail" else ("Mail.Send", "User.Read")
    )
    assert all(scope in named for scope in scopes), "what is asked for is explained before the browser opens"
    query = parse_qs(urlsplit(person.opened[0]).query)
    assert query["code_challenge_method"] == ["S256"]
    asked = set(query["scope"][0].split())
    assert len([s for s in asked if "mail" in s.lower()]) == 2, asked
    assert len([s for s in asked if "calendar" in s.lower()]) == 1, asked
    assert "which ends their e-mails" in named


@pytest.mark.rule(10)
def test_a_calendar_that_isnt_to_be_read_isnt_asked_for(consent: Consent) -> None:
    person = Person(lambda view: agree(view, ADDRESS))
    consent.connect(person, calendar=False)
    person.done()
    assert "alendar" not in person.opened[0]
    assert "alendar" not in consent.said[0]


@pytest.mark.rule(10)
@pytest.mark.parametrize("way", ["denied", "another account", "the code is too old"])
def test_what_ends_without_a_mailbox_writes_nothing_and_says_why(consent: Consent, way: str) -> None:
    if way == "the code is too old":
        message = "AADSTS70008: The code canary-in-an-answer has expired"
        consent.proxy.add(
            Fault(
                "answer", path=r"/oauth2(/v2\.0)?/token$", status=400, reason="invalid_grant", message=message
            )
        )
    person = Person(
        deny if way == "denied" else lambda v: agree(v, OTHER if way == "another account" else ADDRESS)
    )
    wanted = {
        "denied": "denied",
        "another account": f"{OTHER} gave consent",
        "the code is too old": "too old",
    }
    with pytest.raises(SignInRefused, match=wanted[way]) as caught:
        consent.connect(person)
    person.done()
    assert consent.rows() == []
    assert "canary" not in str(caught.value)
    if way == "another account" and consent.provider == "gmail":
        assert consent.proxy.count("POST", "/oauth2/revoke") == 1, "the grant just given is given back"


@pytest.mark.rule(12)
def test_a_grant_of_an_account_that_is_connected_isnt_taken_back_with_it(consent: Consent) -> None:
    person = Person(lambda view: agree(view, ADDRESS))
    box = consent.connect(person)
    person.done()
    again = Person(lambda view: agree(view, ADDRESS))
    with pytest.raises(SignInRefused):
        consent.connect(again, address=OTHER)
    again.done()
    assert consent.proxy.count("POST", "/oauth2/revoke") == 0, "Google would end the first grant with it"
    assert box.transport.address() == ADDRESS


@pytest.mark.rule(10)
@pytest.mark.parametrize("what", ["the whole address", "the code"])
def test_a_remote_notebook_pastes_what_came_back(consent: Consent, what: str) -> None:
    ended: list[str] = []

    def ask(prompt: str) -> str:
        address = consent.said[-1].splitlines()[-1]
        assert address.startswith("http")
        # On the person's own machine nothing listens at the redirect address.
        person = Person(lambda view: _stopped_before_redirect(view, ended))
        person(address)
        person.done()
        return ended[0] if what == "the whole address" else parse_qs(urlsplit(ended[0]).query)["code"][0]

    box = consent.connect(False, ask=ask)
    assert box.address == ADDRESS


def _stopped_before_redirect(view: Any, ended: list[str]) -> None:
    view.on("request", lambda request: ended.append(request.url) if "code=" in request.url else None)
    with contextlib.suppress(Error):
        agree(view, ADDRESS)
    wait_until(lambda: ended or view.wait_for_timeout(50))


@pytest.mark.rule(10)
@pytest.mark.parametrize("typed", ["the code", "authorization_declined", "expired_token"])
def test_outlook_by_a_code_typed_on_another_device(consent: Consent, typed: str) -> None:
    if consent.provider == "gmail":
        return
    assert isinstance(consent.proxy, GraphProxy)
    proxy, emulator = consent.proxy, consent.emulator

    def show(text: str) -> None:
        consent.said.append(text)
        if "ABC123" in text:
            proxy.typed = emulator.refresh_token if typed == "the code" else typed

    def call() -> Mailbox:
        return Mailbox.connect_outlook(emulator.client_id, address=ADDRESS, device=True, show=show)

    if typed == "the code":
        assert call().transport.address() == ADDRESS
        assert "Mail.Send" in consent.said[0]
        assert "https://login.example/device" in consent.said[1]
        return
    with pytest.raises(SignInRefused, match="denied" if typed == "authorization_declined" else "too old"):
        call()
    assert consent.rows() == []


def test_an_answer_to_another_sign_in_is_refused(consent: Consent) -> None:
    with pytest.raises(SignInRefused, match="another sign-in"):
        consent.connect(False, ask=lambda _: f"http://127.0.0.1:{consent.port}/?code=stolen&state=another")
    with pytest.raises(SignInRefused, match="Nothing was pasted"):
        consent.connect(False, ask=lambda _: "  ")
    assert consent.tokens_given() == 0
    assert consent.rows() == []


def test_only_loopback_and_only_the_right_state_are_listened_to(consent: Consent) -> None:
    import requests

    def act(view: Any) -> None:
        url = f"http://127.0.0.1:{consent.port}"
        assert requests.get(f"{url}/favicon.ico", timeout=5).status_code == 404
        assert requests.get(f"{url}/?code=x&state=forged", timeout=5).status_code == 200
        agree(view, ADDRESS)

    person = Person(act)
    assert consent.connect(person).address == ADDRESS
    person.done()


@pytest.mark.rule(12)
def test_no_secret_is_shown_anywhere(consent: Consent, caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    caplog.set_level(logging.DEBUG)
    person = Person(lambda view: agree(view, ADDRESS))
    box = consent.connect(person)
    person.done()
    from outreach_sdk.vault import Vault, binding

    row = consent.rows()[0]
    kept = Vault(consent.house.settings).open(row["credentials"], bound_to=binding(row))
    assert consent.provider == "gmail" or kept["access_token"]
    box.transport.address()
    out = capsys.readouterr()
    shown = "\n".join([consent.everything(), caplog.text, out.out, out.err, repr(box), repr(box.transport)])
    canaries = [kept[n] for n in ("refresh_token", "client_secret", "access_token") if kept.get(n)]
    assert len(canaries) >= 2
    assert not [c for c in canaries if c in shown]


@pytest.mark.rule(12)
def test_a_copied_ciphertext_opens_nothing_in_another_row(consent: Consent) -> None:
    person = Person(lambda view: agree(view, ADDRESS))
    box = consent.connect(person)
    person.done()
    store = consent.house.engine.store
    bea = store.insert(
        "users",
        {
            "workspace_id": 1,
            "name": "bea",
            "role": "member",
            "sequences_access": True,
            "created_at": store_now(consent),
        },
    )
    row = consent.rows()[0]
    thief = {k: v for k, v in row.items() if k != "id"} | {"owner_id": bea, "is_default": False}
    copied = store.insert("mailboxes", thief)
    with pytest.raises(MailAuthError, match="another mailbox"):
        consent.house.engine.transport(
            dict(store.one("SELECT * FROM mailboxes WHERE id = ?", copied) or {})
        ).address()
    assert box.transport.address() == ADDRESS


def store_now(consent: Consent) -> Any:
    return consent.house.engine.now()


@pytest.mark.rule(12)
def test_disconnecting_tells_google_and_says_that_microsoft_cant_be_told(consent: Consent) -> None:
    person = Person(lambda view: agree(view, ADDRESS))
    box = consent.connect(person)
    person.done()
    if consent.provider == "gmail":
        consent.proxy.add(Fault("answer", path="/oauth2/revoke", status=503))
        assert "tried again" in box.disconnect()
        from outreach_sdk.wiring import revoke_pending

        assert consent.rows()[0]["revoking"] is not None
        assert revoke_pending(consent.house.settings, consent.house.engine.store) == 1
        assert consent.proxy.count("POST", "/oauth2/revoke") == 2
    else:
        assert "Microsoft has no call" in box.disconnect()
    row = consent.rows()[0]
    assert (row["status"], row["credentials"], row["revoking"]) == ("disconnected", None, None)
    with pytest.raises(OutreachError, match="Reconnect"):
        box.transport.address()


@pytest.mark.parametrize("given", ["/nowhere/client.json", '{"web": {}}', "{", None])
def test_an_unusable_client_file_is_named(house: House, given: Any) -> None:
    with pytest.raises(InvalidInput, match="client_secrets"):
        Mailbox.connect_gmail(given, browser=False)


def test_a_client_files_secret_isnt_in_the_error(tmp_path: Path, house: House) -> None:
    path = tmp_path / "client.json"
    path.write_text(json.dumps({"installed": {"client_secret": "canary"}}))
    for given in (path, path.read_text(), json.loads(path.read_text())):
        with pytest.raises(InvalidInput) as caught:
            Mailbox.connect_gmail(given)
        assert "canary" not in str(caught.value) + repr(caught.value)
