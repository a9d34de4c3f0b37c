"""Callbacks of enrichment providers: signed ones hasten what would be asked for anyway, others change nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from outreach_sdk import Candidate, Enrichment
from outreach_sdk.engine import enrich
from tests.enrichment.vendors import KEYS, Known, serving
from tests.service.conftest import Service


def signed(body: bytes, key: str) -> dict[str, str]:
    return {
        "X-Signature-SHA1": hmac.new(key.encode(), body, hashlib.sha1).hexdigest(),
        "Content-Type": "application/json",
    }


@pytest.mark.rule(25)
def test_a_signed_callback_has_the_answer_asked_for_at_once(tmp_path: Path) -> None:
    with serving() as world:
        (tmp_path / "home").mkdir()
        env = {**world.env("fullenrich"), "OUTREACH_PUBLIC_URL": "https://hooks.agency.example"}
        service = Service(tmp_path / "home", f"sqlite:///{tmp_path / 'outreach.db'}", env)
        engine = service.house.engine
        world.rounds = 0
        world.people["fullenrich"]["pat-1-li"] = Known("pat@acme.example")
        Enrichment.top_up(10)
        run = Enrichment.run(Candidate.create(linkedin_url="linkedin.com/in/pat-1-li"), wait=False)
        enrich.drain(engine)
        asked = world.asked("fullenrich")[0].json
        assert asked["webhook_url"] == "https://hooks.agency.example/webhooks/enrichment/fullenrich"
        assert not enrich.waiting(engine)  # not for another minute
        service.start()
        try:
            url = f"{service.base}/webhooks/enrichment"
            body = json.dumps(
                {"enrichment_id": "req-0", "status": "FINISHED", "data": [{"email": "pat@acme.example"}]}
            ).encode()
            forged = service.http.post(
                f"{url}/fullenrich", data=body, headers=signed(body, "wrong"), timeout=9
            )
            assert forged.status_code == 401
            assert service.http.post(f"{url}/fullenrich", data=body, timeout=9).status_code == 401
            assert service.http.post(f"{url}/apollo", data=body, timeout=9).status_code == 404
            assert service.act() == 0
            assert not enrich.waiting(engine)
            for _ in range(2):  # told twice, acted on once
                right = service.http.post(
                    f"{url}/fullenrich", data=body, headers=signed(body, KEYS["fullenrich"]), timeout=9
                )
                assert right.status_code == 200
            kept = bytes(engine.store.value("SELECT body FROM deliveries"))
            assert json.loads(kept) == {"enrichment_id": "req-0"}  # nothing of whom it found
            assert service.act() == 1
            assert enrich.waiting(engine)
            enrich.drain(engine)
            assert (run.status, run.cost) == ("done", 3)
            unknown = json.dumps({"enrichment_id": "req-99"}).encode()
            service.http.post(
                f"{url}/fullenrich", data=unknown, headers=signed(unknown, KEYS["fullenrich"]), timeout=9
            )
            assert service.act() == 1
            assert not enrich.waiting(engine)
        finally:
            assert service.process is not None
            service.process.terminate()
            service.process.wait(10)
            service.http.close()
            service.house.close()
        assert KEYS["fullenrich"] not in service.log.read_text()
