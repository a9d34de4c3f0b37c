"""Posts short notices to Slack-compatible incoming webhooks
(https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks; Mattermost and Rocket.Chat take the same).

The address is whatever a user gave, so it mustn't lead into the network the workers stand in: the connection's far end
is looked at once it is there, which no name that resolves anew can get round, and no redirect is followed.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from outreach_sdk.domain.http_answers import retry_after
from outreach_sdk.domain.outside import check_address
from outreach_sdk.errors import InvalidInput, MailOutcomeUnknown, MailRateLimited, MailRefused, MailTemporary

__all__ = ["SlackNotices"]

TIMEOUT = 15.0
MAX_TEXT = 8_000


class _Private(OSError):
    """The far end is no public address."""


def _looked_at(sock: socket.socket) -> socket.socket:
    if not ipaddress.ip_address(sock.getpeername()[0]).is_global:
        sock.close()
        raise _Private("a private address")
    return sock


class _Http(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _looked_at(super()._new_conn())


class _Https(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _looked_at(super()._new_conn())


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Public(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class SlackNotices:
    """`private_hosts` may lie in the workers' own network (OUTREACH_NOTICE_HOSTS)."""

    def __init__(self, *, private_hosts: tuple[str, ...] = ()) -> None:
        self._private = private_hosts

    def send(self, to: str, subject: str, text: str, *, key: str) -> None:
        """One notice; Slack knows no way to tell it from one sent before. Raises MailRefused, MailRateLimited,
        MailTemporary (it didn't arrive) and MailOutcomeUnknown; none of them says the address."""
        try:
            check_address("slack_url", to, private_hosts=self._private)
        except InvalidInput as exc:
            raise MailRefused(f"The Slack webhook can't be used. {exc.remedy}") from None
        escaped = f"*{subject}*\n{text}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        with requests.Session() as session:
            session.trust_env = False
            if (urlsplit(to).hostname or "").lower() not in self._private:
                for scheme in ("https://", "http://"):
                    session.mount(scheme, _Public(max_retries=0))
            try:
                answer = session.post(
                    to, json={"text": escaped[:MAX_TEXT]}, timeout=TIMEOUT, allow_redirects=False
                )
            except requests.exceptions.ConnectionError as exc:
                if "a private address" in str(exc):
                    raise MailRefused("The Slack webhook leads into a private network.") from None
                unsent = "NewConnectionError" in str(exc) or "ConnectTimeout" in type(exc).__name__
                kind = MailTemporary if unsent else MailOutcomeUnknown
                raise kind("The Slack webhook can't be reached.") from None
            except requests.RequestException:
                raise MailOutcomeUnknown("The Slack webhook didn't answer.") from None
        if answer.status_code == 429:
            wait = retry_after(answer.headers, dt.datetime.now(dt.UTC))
            raise MailRateLimited("Slack says: not now.", retry_after=wait or 60.0)
        if answer.status_code >= 500:
            raise MailTemporary(f"The Slack webhook is out of order ({answer.status_code}).")
        if answer.status_code != 200:
            raise MailRefused(f"The Slack webhook takes nothing any more ({answer.status_code}).")
