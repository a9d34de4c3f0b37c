"""Gmail and Outlook tell of news: only they are believed, and what they tell is looked at, not taken."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from outreach_sdk.engine import dispatch, sync, upkeep, watching
from outreach_sdk.objects.mailbox import Mailbox
from tests.harness import ADDRESS, wait_until
from tests.mail.emulator import google_emulator
from tests.mail.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.mail.graph_emulator import graph_emulator
from tests.mail.graph_proxy import GraphProxy, graph_proxy
from tests.mail.worlds import incoming
from tests.service.conftest import Service
from tests.service.oidc_server import Issuer, issuer
from tests.service.senders import Delivery

ACCOUNT = "pusher@acme.iam.gserviceaccount.com"
AUDIENCE = "https://hooks.acme.example/webhooks/gmail"


class Pushed:
    def __init__(
        self, service: Service, signer: Issuer | None, proxy: Any, emulator: Any, box: Mailbox
    ) -> None:
        self.service, self.signer, self.proxy, self.emulator, self.box = service, signer, proxy, emulator, box
        self.engine = service.house.engine

    def row(self) -> dict[str, Any]:
        found = self.engine.store.one("SELECT * FROM mailboxes WHERE id = ?", self.box.id)
        assert found is not None
        return found

    def rest(self) -> None:
        """As after a poll: the next one is far."""
        later = self.engine.now() + dt.timedelta(hours=1)
        self.engine.store.write("UPDATE mailboxes SET next_poll_at = ?, look_again_at = NULL", later)

    def told(self) -> bool:
        """Whether it is to be read now; and let it rest again."""
        soon = bool(self.row()["next_poll_at"] <= self.engine.now())
        self.rest()
        return soon


@pytest.fixture
def gmail(tmp_path: Path) -> Iterator[Pushed]:
    with google_emulator(ADDRESS) as emulator, fault_proxy(emulator.base_url) as proxy, issuer() as signer:
        env = {
            "OUTREACH_GMAIL_ENDPOINT": proxy.base_url,
            "OUTREACH_GOOGLE_TOKEN_URI": f"{proxy.base_url}/oauth2/token",
            "OUTREACH_GOOGLE_CERTS_URL": signer.certs_url,
            "OUTREACH_GMAIL_PUSH_ACCOUNT": ACCOUNT,
            "OUTREACH_GMAIL_PUSH_TOPIC": "projects/acme/topics/gmail",
            "OUTREACH_PUBLIC_URL": "https://hooks.acme.example",
        }
        service = Service(tmp_path / "home", f"sqlite:///{tmp_path / 'outreach.db'}", env)
        service.start()
        box = Mailbox.from_refresh_token(
            "gmail",
            ADDRESS,
            refresh_token=emulator.refresh_token,
            client_id=emulator.client_id,
            client_secret=emulator.client_secret,
        )
        service.house.trusted(box)
        yield Pushed(service, signer, proxy, emulator, box)
        service.close()


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "azp": "1",
        "email": ACCOUNT,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
        "sub": "1",
    }
    return {k: v for k, v in {**good, **more}.items() if v is not None}


def push(token: str | None, address: str = ADDRESS) -> Delivery:
    data = base64.urlsafe_b64encode(json.dumps({"emailAddress": address, "historyId": 9}).encode()).decode()
    body = json.dumps({"message": {"data": data, "messageId": "1"}, "subscription": "s"}).encode()
    return Delivery("/webhooks/gmail", body, {"Authorization": f"Bearer {token}"} if token else {})


@pytest.mark.rule(16)
def test_gmails_push_is_believed_only_with_googles_own_token(gmail: Pushed) -> None:
    signer, now = gmail.signer, int(time.time())
    assert signer is not None
    gmail.rest()
    right = signer.token(**claims())
    head, payload, _ = right.split(".")
    kid = jwt.get_unverified_header(right)["kid"]
    wrong = [
        None,
        "x.y.z",
        signer.token(**claims(iss="https://accounts.evil.example")),
        signer.token(**claims(aud="https://else.example/webhooks/gmail")),
        signer.token(**claims(aud=None)),
        signer.token(**claims(email="other@acme.iam.gserviceaccount.com")),
        signer.token(**claims(email=None)),
        signer.token(**claims(email_verified=False)),
        signer.token(**claims(email_verified=None)),
        signer.token(**claims(email_verified="true")),
        signer.token(**claims(iat=now - 7200, exp=now - 3600)),
        signer.token(**claims(exp=None)),
        jwt.encode(claims(), "k" * 40, algorithm="HS256", headers={"kid": kid}),
        jwt.encode(claims(), None, algorithm="none", headers={"kid": kid}),
        f"{head}.{payload}.{'A' * 342}",
        f"{head}.{payload}.",
    ]
    assert [gmail.service.post(push(t)).status_code for t in wrong] == [401] * len(wrong)
    assert not gmail.told()
    assert gmail.service.post(push(right)).status_code == 200
    assert gmail.told()
    assert gmail.service.post(push(right, "nobody@else.example")).status_code == 200
    assert not gmail.told()
    for body in (b"", b"[]", b'{"message": {"data": "e30"}}', b'{"message": 1}', b"{"):
        odd = Delivery("/webhooks/gmail", body, {"Authorization": f"Bearer {right}"})
        assert gmail.service.post(odd).status_code == 200


@pytest.mark.rule(16)
def test_a_push_ahead_of_history_is_looked_for_again(gmail: Pushed) -> None:
    house = gmail.service.house
    seq = house.two_steps(gmail.box, delay=172_800)
    seq.enroll([{"First Name": "Bo", "Email": "bo@candidate.example"}])
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    sync.poll_mailbox(house.engine, gmail.box.id)
    gmail.rest()
    assert watching.news(house.engine, "gmail", ADDRESS) == 1
    sync.poll_mailbox(house.engine, gmail.box.id)  # history doesn't show it yet
    again = gmail.row()["next_poll_at"] - house.engine.now()
    assert dt.timedelta(0) < again <= watching.LOOK_AGAIN
    gmail.emulator.deliver(incoming(at=house.engine.now() + dt.timedelta(seconds=2)))
    sync.poll_mailbox(house.engine, gmail.box.id)
    assert seq.journey("bo@candidate.example").reason == "replied"


def test_gmails_watch_is_renewed_daily_and_its_failure_is_only_shown(gmail: Pushed) -> None:
    engine, proxy = gmail.engine, gmail.proxy
    assert isinstance(proxy, FaultProxy)
    proxy.add(Fault("answer", method="POST", path="/watch", count=1, status=403, reason="forbidden"))
    assert upkeep.run(engine)["watches"] == 0
    listed = Mailbox.list().to_dicts()[0]
    assert listed["status"] == "connected"
    assert "looked for" in listed["detail"]
    assert sync.poll_mailbox(engine, gmail.box.id) == 0
    engine.store.write("UPDATE watches SET renew_at = ?", engine.now())
    assert upkeep.run(engine)["watches"] == 1
    assert upkeep.run(engine)["watches"] == 0
    assert proxy.watched == ["projects/acme/topics/gmail"]
    assert Mailbox.list()["detail"][0] is None
    watch = engine.store.one("SELECT * FROM watches")
    assert watch is not None
    assert watch["renew_at"] <= engine.now() + dt.timedelta(days=1)
    engine.store.write("UPDATE watches SET renew_at = ?", engine.now())
    assert upkeep.run(engine)["watches"] == 1


@pytest.fixture
def outlook(tmp_path: Path) -> Iterator[Pushed]:
    with graph_emulator(ADDRESS) as emulator, graph_proxy(emulator.base_url) as proxy:
        env = {"OUTREACH_GRAPH_ENDPOINT": proxy.base_url, "OUTREACH_MICROSOFT_AUTHORITY": proxy.base_url}
        service = Service(tmp_path / "home", f"sqlite:///{tmp_path / 'outreach.db'}", env)
        service.start()
        service.house.engine.public_url = service.base
        box = Mailbox.from_refresh_token(
            "outlook",
            ADDRESS,
            refresh_token=emulator.refresh_token,
            client_id=emulator.client_id,
            client_secret=emulator.client_secret,
        )
        service.house.trusted(box)
        yield Pushed(service, None, proxy, emulator, box)
        service.close()


def notices(*items: dict[str, Any]) -> Delivery:
    return Delivery("/webhooks/outlook", json.dumps({"value": list(items)}).encode())


def test_the_handshake_is_echoed_as_plain_text(outlook: Pushed) -> None:
    url = f"{outlook.service.base}/webhooks/outlook"
    answer = outlook.service.http.post(
        url, params={"validationToken": "<script>alert(1)</script> a+b"}, timeout=5
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "<script" not in answer.text
    assert "a+b" in answer.text


@pytest.mark.rule(16)
def test_a_forged_client_state_is_dropped_and_the_genuine_one_beside_it_counts(outlook: Pushed) -> None:
    assert isinstance(outlook.proxy, GraphProxy)
    assert upkeep.run(outlook.engine)["watches"] == 1
    (subscription,) = outlook.proxy.subscriptions
    held = outlook.proxy.subscriptions[subscription]["clientState"]
    genuine = outlook.proxy.notice(subscription)
    forged = {**genuine, "clientState": held[:-1] + "?"}
    kept = json.dumps(outlook.service.rows("watches"), default=str)
    assert held not in kept
    outlook.rest()
    assert outlook.service.post(notices(forged)).status_code == 401
    odd = [{}, {"subscriptionId": 1, "clientState": None}, {"subscriptionId": "\x00", "clientState": ""}]
    assert outlook.service.post(notices(forged, *odd)).status_code == 401
    assert outlook.service.post(Delivery("/webhooks/outlook", b"{]")).status_code == 400
    assert not outlook.told()
    assert outlook.service.post(notices(forged, genuine, {"subscriptionId": "none"})).status_code == 200
    assert outlook.told()
    store = outlook.engine.store
    wait_until(lambda: store.value("SELECT SUM(count) FROM refusals WHERE reason = 'forged'") == 7)


def test_each_lifecycle_event_is_answered(outlook: Pushed) -> None:
    engine, proxy = outlook.engine, outlook.proxy
    upkeep.run(engine)
    outlook.rest()
    assert outlook.service.post(notices(proxy.notice("sub-1", lifecycleEvent="missed"))).ok
    assert outlook.told()
    assert outlook.service.post(notices(proxy.notice("sub-1", lifecycleEvent="reauthorizationRequired"))).ok
    assert dispatch.upkeep_due(engine)
    assert upkeep.run(engine)["watches"] == 1
    assert proxy.reauthorised == ["sub-1"]
    removed = proxy.notice("sub-1", lifecycleEvent="subscriptionRemoved")
    assert outlook.service.post(notices(removed)).ok
    assert upkeep.run(engine)["watches"] == 1
    assert set(proxy.subscriptions) == {"sub-1", "sub-2"}
    assert outlook.service.post(notices(removed)).status_code == 401
    del proxy.subscriptions["sub-2"]  # Graph forgot it and never said so
    engine.store.write("UPDATE watches SET renew_at = ?", engine.now())
    assert upkeep.run(engine)["watches"] == 1
    assert outlook.engine.store.value("SELECT external_id FROM watches") in proxy.subscriptions


def test_without_a_public_address_nothing_is_watched(outlook: Pushed) -> None:
    outlook.engine.public_url = None
    assert upkeep.run(outlook.engine)["watches"] == 0
    assert outlook.service.rows("watches") == []
