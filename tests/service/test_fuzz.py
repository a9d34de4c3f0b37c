"""Whatever is sent, no fault of ours comes back: signatures and bodies at random, and the description's own word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outreach_sdk import jobs, webhooks
from outreach_sdk.domain.events import Received, Unreadable
from outreach_sdk.engine import deliveries
from outreach_sdk.wiring import ATS, event_reader
from tests.harness import ROOT, House, at
from tests.service import senders
from tests.service.conftest import Service
from tests.service.senders import ENV, VENDORS
from webhook_service.app import create_app
from webhook_service.signatures import CHECKS, Refused

SOURCES = [*ATS, "calendly"]
# Values a header can hold once HTTP has been parsed.
header = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=120)
jsonish: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


class Headers(dict[str, str]):
    """Whatever is looked up is `value`."""

    def __init__(self, value: str) -> None:
        super().__init__()
        self.value = value

    def get(self, key: str, default: Any = None) -> Any:
        return self.value


@settings(max_examples=300, deadline=None)
@given(source=st.sampled_from(SOURCES), body=st.binary(max_size=300), value=header)
def test_no_signature_at_random_is_right_or_breaks_its_check(source: str, body: bytes, value: str) -> None:
    with pytest.raises(Refused):
        CHECKS[source](body, Headers(value), ["secret", "älter"], 1_772_463_845.0)


@settings(max_examples=400, deadline=None)
@given(source=st.sampled_from([*SOURCES, "generic:scheduler"]), data=jsonish, cut=st.integers(0, 40))
def test_no_body_breaks_its_reader(source: str, data: Any, cut: int, all_settings: Any) -> None:
    """Random JSON, and genuine bodies with random values put into them."""
    read = event_reader(all_settings, source)
    assert read is not None
    genuine = VENDORS[source.split(":")[0]]("bo@x.example")
    body: Any = json.loads(genuine.body)
    spot, steps = body, cut
    while isinstance(spot, dict) and spot:
        key = sorted(spot)[steps % len(spot)]
        if not isinstance(spot[key], dict) or steps % 3 == 0:
            spot[key] = data
            break
        spot, steps = spot[key], steps // 2
    for text in (senders.dumps(body), senders.dumps(data), senders.dumps({"payload": data, "event": data})):
        received = Received(
            body=text, received_at=at("2026-03-02 10:00"), headers={"event-name": "interview.created"}
        )
        trouble = ""
        try:
            assert None not in list(read(received))
        except Unreadable as exc:
            trouble = str(exc)
        assert "bo@x.example" not in trouble


@pytest.fixture(scope="module")
def all_settings() -> Any:
    from outreach_sdk.config import Settings

    return Settings.from_env(ENV)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FlaskClient, House]]:
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'outreach.db'}", dict(ENV))
    monkeypatch.setattr(jobs, "_engine", house.engine)
    monkeypatch.setattr(webhooks, "settings", lambda: house.settings)
    behind = webhooks._Behind()
    monkeypatch.setattr(webhooks, "_behind", behind)
    yield create_app().test_client(), house
    behind.count()  # nothing is left for its thread to do when the house is gone
    house.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.sampled_from(sorted(VENDORS)), data=jsonish)
def test_genuine_deliveries_of_nonsense_are_stored_and_dealt_with(
    source: str, data: Any, client: tuple[FlaskClient, House]
) -> None:
    http, house = client
    make = VENDORS[source]
    real = senders.dumps
    try:
        # Signed as it should be, its values anything.
        senders.dumps = lambda found: real(_nonsense(found, data))  # type: ignore[assignment]
        delivery = make("bo@x.example")
    finally:
        senders.dumps = real
    answer = http.post(delivery.path, data=delivery.body, headers=delivery.headers)
    assert answer.status_code in (200, 202, 401), answer.text
    deliveries.drain(house.engine)
    assert not house.engine.store.rows("SELECT * FROM deliveries WHERE lease_until IS NOT NULL")
    dead = house.engine.store.rows("SELECT outcome FROM deliveries WHERE state = 'dead'")
    assert all("can't be read" in row["outcome"] for row in dead), dead


def _nonsense(found: Any, data: Any) -> Any:
    """Every leaf but what is signed or tells the kind of event is `data`."""
    keep = (
        "event",
        "action",
        "event_type",
        "type",
        "hook",
        "token",
        "triggeredAt",
        "signature",
        "event_name",
    )
    if isinstance(found, dict):
        return {k: v if k in keep else _nonsense(v, data) for k, v in found.items()}
    if isinstance(found, list):
        return [_nonsense(v, data) for v in found]
    return data


def test_schemathesis_finds_no_fault_of_ours(tmp_path: Path) -> None:
    service = Service(
        tmp_path / "home", f"sqlite:///{tmp_path / 'outreach.db'}", {"OUTREACH_GMAIL_PUSH_ACCOUNT": "a@b.c"}
    )
    service.start()
    try:
        words = [
            "run",
            f"{service.base}/openapi.json",
            "--max-examples",
            "25",
            "--phases",
            "examples,coverage,fuzzing",
        ]
        words += ["--checks", "not_a_server_error,response_schema_conformance,content_type_conformance"]
        words += ["--exclude-path", "/readyz", "--generation-deterministic", "--suppress-health-check", "all"]
        env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
        done = subprocess.run(
            [str(Path(sys.executable).with_name("st")), *words],
            cwd=tmp_path,
            env={**env, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    finally:
        service.close()
