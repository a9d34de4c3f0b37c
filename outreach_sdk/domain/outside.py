"""Addresses outside that a user gives and a worker calls."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from outreach_sdk.errors import InvalidInput

__all__ = ["check_address"]


def check_address(name: str, url: str, *, private_hosts: tuple[str, ...] = ()) -> str:
    """A webhook's address as it is kept. InvalidInput unless it is https to a name or public address, or to one of the
    installation's `private_hosts`."""
    parts = urlsplit(url.strip())
    host = (parts.hostname or "").lower()
    remedy = "Give the incoming webhook's address, https://hooks.slack.com/services/…."
    if host in private_hosts and parts.scheme in ("http", "https"):
        return url.strip()
    if parts.scheme != "https" or not host or parts.username or parts.password:
        raise InvalidInput(name, f"{parts.scheme}://{host}/…", remedy)
    try:
        public = ipaddress.ip_address(host).is_global
    except ValueError:
        public = "." in host and not host.endswith((".local", ".internal", ".localhost", ".home.arpa"))
    if not public:
        raise InvalidInput(name, f"https://{host}/…", f"It leads into a private network. {remedy}")
    return url.strip()
