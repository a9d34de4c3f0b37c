"""Unsubscribing: the page changes nothing until its button is pressed, since whatever looks at links ahead of people
opens it too; a mail program's own button posts at once (RFC 8058)."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, g

from outreach_sdk import webhooks
from outreach_sdk.errors import NotFound, OutreachError
from webhook_service.body import read_body
from webhook_service.pages import page

__all__ = ["leaving"]

leaving = Blueprint("unsubscribe", __name__)

ASK = """<p>Press the button and no more e-mails are sent to you from here.</p>
<form method="post"><button>Unsubscribe</button></form>"""
DONE = "<p>No more e-mails are sent to you from here.</p>"
UNKNOWN = "<p>This link isn't one of ours, or it was cut off. Answer the e-mail with the word “unsubscribe” instead.</p>"
LATER = "<p>Please try again in a moment.</p>"


@leaving.get("/unsubscribe/<token>")
def ask(token: str) -> Response:
    """A page with a button."""
    g.source = "unsubscribe"
    return _answer(lambda: webhooks.unsubscribe_known(token), "Unsubscribe?", ASK)


@leaving.post("/unsubscribe/<token>")
def leave(token: str) -> Response:
    """Suppressed when this is answered, whoever posts: a person's button, or a mail program's one click."""
    g.source = "unsubscribe"
    read_body()
    return _answer(lambda: webhooks.unsubscribe(token), "You are unsubscribed", DONE)


def _answer(do: Callable[[], None], title: str, text: str) -> Response:
    try:
        do()
    except NotFound:
        g.outcome = "unknown"
        return page("That link doesn't work", UNKNOWN, 404)
    except OutreachError:
        return page("One moment", LATER, 503)
    return page(title, text)
