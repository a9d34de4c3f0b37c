"""A mailbox connected by way of the web service: the notebook holds no keys, the browser is a real one."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from outreach_sdk.config import Settings
from outreach_sdk.errors import ConfigError, InvalidInput, NotReady, SignInRefused
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.session import Session
from tests.acceptance.test_connecting import OTHER, free_port
from tests.harness import ADDRESS, ROOT, House, wait_until
from tests.mail.consent import Person, agree, deny, page
from tests.mail.emulator import google_emulator
from tests.mail.fault_proxy import fault_proxy
from tests.mail.graph_emulator import graph_emulator
from tests.mail.graph_proxy import graph_proxy


class Shared:
    """A PostgreSQL installation: a web service with keys, a notebook without."""

    def __init__(self, house: House, provider: str, url: str, proxy: Any) -> None:
        self.house, self.provider, self.url, self.proxy = house, provider, url, proxy
        without = {k: v for k, v in house.env.items() if k != "OUTREACH_SECRET_KEYS" and "CLIENT" not in k}
        self.notebook: Session = sessions.use(sessions.open_session(Settings.from_env(without)))
        self.said: list[str] = []

    def connect(self, **more: Any) -> Mailbox:
        call = Mailbox.connect_gmail if self.provider == "gmail" else Mailbox.connect_outlook
        return call(**{"address": ADDRESS, "show": self.said.append, "wait": 30.0, **more})

    def link(self) -> str:
        with pytest.raises(NotReady):
            self.connect(wait=0.0)
        return self.said[-1].splitlines()[-1]

    def boxes(self) -> list[dict[str, Any]]:
        return self.house.engine.store.rows("SELECT * FROM mailboxes")


@pytest.fixture(params=["gmail", "outlook"])
def shared(tmp_path: Path, postgres_url: str, request: pytest.FixtureRequest) -> Iterator[Shared]:
    port, provider = free_port(), request.param
    public = f"http://127.0.0.1:{port}"
    extra: dict[str, Any] = {"others": [OTHER], "redirects": [f"{public}/oauth/{provider}/callback"]}
    google = provider == "gmail"
    family = "GOOGLE" if google else "MICROSOFT"
    emulated = google_emulator(ADDRESS, **extra) if google else graph_emulator(ADDRESS, **extra)
    with emulated as emulator:
        proxied: Any = fault_proxy(emulator.base_url) if google else graph_proxy(emulator.base_url)
        with proxied as proxy:
            env = {
                "OUTREACH_PUBLIC_URL": public,
                "OUTREACH_WEB_PORT": str(port),
                "OUTREACH_GMAIL_ENDPOINT": proxy.base_url,
                "OUTREACH_GOOGLE_TOKEN_URI": f"{proxy.base_url}/oauth2/token",
                "OUTREACH_GOOGLE_AUTH_URI": f"{proxy.base_url}/o/oauth2/v2/auth",
                "OUTREACH_GRAPH_ENDPOINT": proxy.base_url,
                "OUTREACH_MICROSOFT_AUTHORITY": proxy.base_url,
                f"OUTREACH_{family}_CLIENT_ID": emulator.client_id,
                f"OUTREACH_{family}_CLIENT_SECRET": emulator.client_secret,
            }
            house = House(tmp_path / "home", postgres_url, env)
            base = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
            command = [sys.executable, "-m", "outreach_sdk.cli", "web"]
            log = (tmp_path / "web.log").open("w")
            web = subprocess.Popen(
                command, cwd=ROOT, env={**base, **house.env, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
            )
            try:
                wait_until(lambda: _alive(public))
                made = Shared(house, provider, public, proxy)
                yield made
                made.notebook.engine.transport.close()  # type: ignore[attr-defined]
                made.notebook.store.close()
            finally:
                web.terminate()
                web.wait(20)
                log.close()
                shown = (tmp_path / "web.log").read_text()
                assert emulator.client_secret not in shown
                assert "code=" not in shown
                house.close()


def _alive(public: str) -> bool:
    try:
        return requests.get(f"{public}/healthz", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.mark.rule(10, 26)
def test_a_notebook_without_keys_connects_by_a_link(shared: Shared) -> None:
    seen: list[str] = []

    def act(view: Any) -> None:
        seen.append(view.inner_text("body"))
        view.click("button")
        agree(view, ADDRESS)

    person = Person(act)
    box = shared.connect(show=lambda text: person(text.splitlines()[-1]), name="Ada")
    person.done()
    assert "made by ada" in seen[0]
    assert ADDRESS in seen[0]
    assert f"{ADDRESS} is connected" in person.saw
    assert (box.address, box.status, box.provider) == (ADDRESS, "connected", shared.provider)
    (row,) = shared.boxes()
    assert row["owner_id"] == shared.notebook.user["id"]
    with pytest.raises(ConfigError, match="only the web service and the workers hold"):
        box.transport.address()
    assert shared.house.engine.transport(row).address() == ADDRESS, "a worker, which holds the keys, can"


@pytest.mark.rule(10)
@pytest.mark.parametrize("way", ["denied", "another account"])
def test_a_link_that_ends_without_a_mailbox_tells_page_and_notebook(shared: Shared, way: str) -> None:
    def act(view: Any) -> None:
        view.click("button")
        deny(view) if way == "denied" else agree(view, OTHER)

    person = Person(act)
    wanted = "denied" if way == "denied" else OTHER
    with pytest.raises(SignInRefused, match=wanted):
        shared.connect(show=lambda text: person(text.splitlines()[-1]))
    person.done()
    assert "Nothing was connected" in person.saw
    assert wanted in person.saw
    assert shared.boxes() == []


def test_a_link_works_once_for_a_quarter_of_an_hour_and_looking_at_it_uses_nothing_up(shared: Shared) -> None:
    link, session = shared.link(), requests.Session()
    for _ in range(2):
        assert session.get(link, timeout=10).status_code == 200
    secret, page_of = link.split("link=")[1], link.split("?")[0]
    begun = [
        session.post(page_of, data={"link": secret}, allow_redirects=False, timeout=10) for _ in range(2)
    ]
    assert [b.status_code for b in begun] == [303, 404]
    assert session.get(link, timeout=10).status_code == 404
    late = shared.link()
    shared.house.engine.store.write(
        "UPDATE connect_links SET expires_at = ? WHERE started_at IS NULL",
        shared.house.engine.now() - dt.timedelta(seconds=1),
    )
    assert session.get(late, timeout=10).status_code == 404
    other = "outlook" if shared.provider == "gmail" else "gmail"
    assert requests.get(shared.link().replace(shared.provider, other), timeout=10).status_code == 404


def test_another_browser_cant_end_what_one_began(shared: Shared) -> None:
    link = shared.link()
    with page() as mine:
        mine.goto(link)
        mine.click("button")
        form = mine.locator("form").first
        state = form.locator("input[name=state]").get_attribute("value")
        back = f"{shared.url}/oauth/{shared.provider}/callback"
        theirs = requests.get(back, params={"state": state, "code": "x"}, timeout=10)
        assert theirs.status_code == 404
        agree(mine, ADDRESS)
        assert "is connected" in mine.inner_text("body")
        mine.reload()
        assert "That doesn't work any more" in mine.inner_text("body")
    assert len(shared.boxes()) == 1


def test_pages_run_no_script_are_escaped_and_readable_in_the_dark(shared: Shared) -> None:
    shared.house.engine.store.write("UPDATE users SET name = ?", "<script>alert(1)</script>")
    link = shared.link()
    answer = requests.get(link, timeout=10)
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    colours = []
    for scheme in ("light", "dark"):
        with page(scheme) as view:
            view.goto(link)
            colours.append(view.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]
    assert re.fullmatch(r"rgb\(\d+, \d+, \d+\)", colours[1])


def test_what_a_shared_notebook_may_not_give_is_said(shared: Shared) -> None:
    with pytest.raises(InvalidInput, match="web service has its own"):
        shared.connect(**({"client_secrets": {}} if shared.provider == "gmail" else {"client_id": "x"}))
    with pytest.raises(ConfigError, match="OUTREACH_SECRET_KEYS"):
        Mailbox.from_refresh_token(
            shared.provider, ADDRESS, refresh_token="r", client_id="c", client_secret="canary"
        )
    assert shared.boxes() == []
