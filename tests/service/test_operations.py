"""What an operator sees: logs and metrics that name nobody, the dead letters and what they would do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import ROOT, wait_until
from tests.service import senders
from tests.service.conftest import Service
from tests.service.senders import Delivery

BO = "p0@candidate0.example"


def command(service: Service, *words: str) -> tuple[int, Any]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | service.house.env
    done = subprocess.run(
        [sys.executable, "-m", "outreach_sdk.cli", *words],
        cwd=ROOT,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout or done.stderr


def test_logs_and_metrics_say_what_happened_and_to_whom_not(service: Service) -> None:
    service.enrolled()
    given = senders.calendly(BO)
    given.headers["X-Request-ID"] = "abcdef12345"
    service.post(given)
    service.post(senders.calendly(BO, secret="guessed"))
    service.http.get(f"{service.base}/unsubscribe/secret-token-of-somebody", timeout=5)
    wait_until(lambda: service.rows("refusals"))
    service.act()
    lines = [json.loads(x) for x in service.log.read_text().splitlines() if x.startswith("{")]
    stored = next(line for line in lines if line.get("outcome") == "stored")
    assert (stored["request"], stored["route"], stored["status"]) == (
        "abcdef12345",
        "/webhooks/calendly",
        200,
    )
    assert stored["delivery"] == service.rows()[0]["id"]
    text = service.http.get(f"{service.base}/metrics", timeout=5).text
    found = {
        (s.name, *sorted(s.labels.values())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert found["outreach_deliveries", "calendly", "done"] == 1
    assert found["outreach_deliveries_refused", "calendly", "forged"] == 1
    assert found["outreach_http_requests_total", "/webhooks/calendly", "401"] == 1
    assert found["outreach_database_up",] == 1
    for said in (text, service.log.read_text()):
        assert not re.search(r"candidate0|secret-token|Bo Li", said)


def test_dead_letters_are_listed_explained_and_replayed(service: Service) -> None:
    seq = service.enrolled()
    service.post(senders.generic(BO))
    store = service.house.engine.store
    store.write("UPDATE deliveries SET state = 'dead', lease_until = NULL, outcome = 'It failed.'")
    code, text = command(service, "webhooks", "list", "--state", "dead", "--json")
    assert code == 0, text
    (row,) = json.loads(text)
    assert (row["source"], row["outcome"]) == ("generic:scheduler", "It failed.")
    code, text = command(service, "webhooks", "replay", str(row["id"]), "--dry-run", "--json")
    assert code == 0, text
    assert json.loads(text)[0]["stopped"] == 1
    assert seq.journey(BO).status == "active"
    assert service.rows()[0]["state"] == "dead"
    code, text = command(service, "webhooks", "replay", "--dead")
    assert (code, seq.journey(BO).status) == (0, "cancelled"), text
    assert command(service, "webhooks", "replay", "999")[0] == 1
    assert command(service, "webhooks", "replay")[0] == 2
    service.post(senders.calendly("waits@else.example"))
    service.act()
    code, text = command(service, "webhooks", "waiting", "--json")
    assert (code, json.loads(text)[0]["address"]) == (0, "waits@else.example")


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_url: str) -> Iterator[Service]:
    made = Service(tmp_path / "home", postgres_url, {})
    made.start()
    yield made
    made.close()


def test_a_database_that_is_away_makes_them_send_it_again(on_postgres: Service, postgres_server: str) -> None:
    name = urlsplit(on_postgres.house.url).path.strip("/")
    delivery = senders.calendly(BO)
    assert on_postgres.post(delivery).status_code == 200
    on_postgres.house.engine.store.close()
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        for _ in range(3):
            answer = on_postgres.post(senders.calendly(BO))
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert on_postgres.http.get(f"{on_postgres.base}/readyz", timeout=5).status_code == 503
        metrics = on_postgres.http.get(f"{on_postgres.base}/metrics", timeout=5)
        assert (metrics.status_code, "outreach_database_up 0.0" in metrics.text) == (200, True)
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    assert on_postgres.post(senders.calendly(BO)).status_code == 200
    assert len(on_postgres.rows()) == 2


def test_the_tick_acts_on_what_came_while_redis_was_away(service: Service) -> None:
    seq = service.enrolled()
    assert service.post(senders.calendly(BO)).status_code == 200
    code, text = command(service, "clock", "--once")
    assert (code, seq.journey(BO).status) == (0, "cancelled"), text


def test_a_wrong_body_for_a_known_route_is_no_traceback(service: Service) -> None:
    for body in (b"", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 20_000, b"null", b"1" * 5000):
        for path in ("/webhooks/calendly", "/webhooks/ats/lever", "/webhooks/ats/teamtailor"):
            assert service.post(Delivery(path, body)).status_code == 401
