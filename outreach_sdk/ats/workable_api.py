"""Workable's API (https://workable.readme.io/reference): subscriptions. What it signs with is the token itself."""

from __future__ import annotations

from urllib.parse import quote

from outreach_sdk.ats.port import Api
from outreach_sdk.domain.hooks import Hook
from outreach_sdk.domain.payload import every, text

__all__ = ["BASE", "Account", "headers"]

BASE = "https://{account}.workable.com/spi/v3"


def headers(key: str) -> dict[str, str]:
    """`key` is `subdomain:token`."""
    return {"Authorization": f"Bearer {key.partition(':')[2]}"}


class Account:
    """See `ats.port`."""

    takes_secret = False
    lists_hooks = True
    events_apart: tuple[str, ...] = ()

    def __init__(self, api: Api, key: str = "") -> None:
        self._api, self._account = api, key.partition(":")[0]

    def check(self) -> None:
        self._api.ask("GET", "jobs", query={"limit": "1"})

    def subscribe(self, target: str, secret: str, event: str = "") -> Hook:
        args = {"account_id": self._account, "job_shortcode": "", "stage_slug": ""}
        body = {"target": target, "event": "candidate_moved", "args": args}
        return Hook(text(self._api.ask("POST", "subscriptions", body=body), "id"), target)

    def hooks(self) -> list[Hook]:
        listed = every(self._api.ask("GET", "subscriptions"), "subscriptions")
        return [Hook(text(one, "id"), text(one, "target")) for one in listed]

    def unsubscribe(self, external_id: str) -> None:
        self._api.ask("DELETE", f"subscriptions/{quote(external_id, safe='')}")
