"""Signatures against what vendors publish, and secrets in rotation."""

from __future__ import annotations

import time

import pytest

from tests.service import senders
from tests.service.senders import VENDORS
from webhook_service.signatures import CHECKS, Refused

NOW = 1_574_080_897.0
# The worked vector of https://developers.smartrecruiters.com/reference/subscriptionsgeneratesecretkey-1
PUBLISHED = {
    "smartrecruiters-signature": "v1=2e9291f10d44ca10204a4cd81b05d73b6a316b2b605d4e2e0e0b37b40198ce1f",
    "smartrecruiters-timestamp": "1574080897",
    "event-id": "123",
    "link": "<http://smartrecruiters.com/endpoint>; rel=self",
    "event-name": "application.created",
    "event-version": "v201910",
}
BODY = b'{"job_id":"jid","candidate_id":"cid"}'


def test_smartrecruiters_published_vector() -> None:
    CHECKS["smartrecruiters"](BODY, PUBLISHED, ["HeBVky2bccvvkcXPimH8c"], NOW)
    for name in PUBLISHED:
        bent = {**PUBLISHED, name: PUBLISHED[name] + "0"}
        with pytest.raises(Refused):
            CHECKS["smartrecruiters"](BODY, bent, ["HeBVky2bccvvkcXPimH8c"], NOW)
    with pytest.raises(Refused, match="stale"):
        CHECKS["smartrecruiters"](BODY, PUBLISHED, ["HeBVky2bccvvkcXPimH8c"], NOW + 86_400)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_an_old_secret_counts_until_it_is_taken_out(name: str) -> None:
    delivery = VENDORS[name]("bo@x.example")
    CHECKS[name](delivery.body, delivery.headers, ["newest", senders.SECRETS[name]], time.time())
    with pytest.raises(Refused, match="forged"):
        CHECKS[name](delivery.body, delivery.headers, ["newest"], time.time())
