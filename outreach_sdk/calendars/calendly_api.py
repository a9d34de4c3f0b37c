"""Calendly's API (https://developer.calendly.com/api-docs): subscriptions, whose key one chooses, and their state."""

from __future__ import annotations

from typing import Any

from outreach_sdk.calendars.port import JsonApi
from outreach_sdk.domain.hooks import Hook
from outreach_sdk.domain.payload import every, text

__all__ = ["BASE", "Account", "headers"]

BASE = "https://api.calendly.com"
EVENTS = ("invitee.created", "invitee.canceled")


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Account:
    """See `ats.port.Subscribes` and `Checks`."""

    takes_secret = True
    lists_hooks = True
    events_apart: tuple[str, ...] = ()

    def __init__(self, api: JsonApi, key: str = "") -> None:
        self._api = api

    def check(self) -> None:
        self._api.ask("GET", "users/me")

    def subscribe(self, target: str, secret: str, event: str = "") -> Hook:
        body: dict[str, Any] = {
            "url": target,
            "events": list(EVENTS),
            "organization": self._organization(),
            "scope": "organization",
            "signing_key": secret,
        }
        return _hook(self._api.ask("POST", "webhook_subscriptions", body=body).get("resource"))

    def hooks(self) -> list[Hook]:
        query = {"organization": self._organization(), "scope": "organization", "count": "100"}
        listed = self._api.ask("GET", "webhook_subscriptions", query=query)
        return [_hook(one) for one in every(listed, "collection")]

    def unsubscribe(self, external_id: str) -> None:
        self._api.ask("DELETE", f"webhook_subscriptions/{external_id.rpartition('/')[2]}")

    def _organization(self) -> str:
        return text(self._api.ask("GET", "users/me"), "resource.current_organization")


def _hook(one: Any) -> Hook:
    active = text(one, "state") != "disabled"
    since = text(one, "retry_started_at")
    why = f"deliveries have failed since {since}" if since else ""
    return Hook(text(one, "uri"), text(one, "callback_url"), active, why)
