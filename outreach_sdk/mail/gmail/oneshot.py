"""HTTP that asks once: httplib2 repeats a request whose connection closed without an answer, sends included."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Any, TypeVar

import httplib2

__all__ = ["OneShotHttp"]

T = TypeVar("T")


class OneShotHttp(httplib2.Http):  # type: ignore[misc]
    """httplib2 that asks once. By itself it repeats a request, POST or not, whose connection was closed
    without an answer, and would so create a second draft; RETRIES doesn't govern that case. It also would
    carry the token along a redirect.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self.follow_redirects = False

    def request(self, uri: str, *args: Any, **kwargs: Any) -> Any:
        kwargs["connection_type"] = _PlainOnce if uri.startswith("http://") else _SecureOnce
        return super().request(uri, *args, **kwargs)


class _PlainOnce(httplib2.HTTPConnectionWithTimeout):  # type: ignore[misc]
    def getresponse(self) -> Any:
        return _answer(super().getresponse)


class _SecureOnce(httplib2.HTTPSConnectionWithTimeout):  # type: ignore[misc]
    def getresponse(self) -> Any:
        return _answer(super().getresponse)


def _answer(getresponse: Callable[[], T]) -> T:
    try:
        return getresponse()
    except (http.client.BadStatusLine, http.client.ResponseNotReady) as exc:
        raise ConnectionAbortedError("the connection closed without an answer") from exc
