"""Connecting a mailbox in a shared set-up: the page a one-time link opens, and where the provider comes back to.

No page runs a script, and none is kept or framed. Begin and end are tied together by a cookie of this browser
beside the state, so that nobody can end a sign-in that another browser began.
"""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template_string, request
from werkzeug.wrappers import Response as AnyResponse

from outreach_sdk import consent
from outreach_sdk.errors import ConfigError, MailError, NotFound, OutreachError
from webhook_service.pages import page

__all__ = ["pages"]

pages = Blueprint("connect", __name__)

COOKIE = "outreach_connect"

OPENING = """
<p>This link was made by <strong>{{ opening.maker }}</strong>{% if opening.address %} for the mailbox
<strong>{{ opening.address }}</strong>{% endif %}. Go on only if that is you and you made it yourself: e-mails of
{{ opening.maker }} will leave from the account you choose.</p>
<p>{{ provider }} will ask you to allow, and nothing beyond that:</p>
<ul>{% for scope, why in opening.permissions %}<li>{{ why }} <code class="soft">{{ scope }}</code></li>{% endfor %}</ul>
<form method="post"><input type="hidden" name="link" value="{{ link }}"><button>Go on to {{ provider }}</button></form>
<p class="soft">It works once, until {{ opening.expires_at.strftime("%H:%M") }} UTC.</p>"""


def _page(
    title: str, status: int = 200, *, template: str = "<p>{{ text }}</p>", **values: object
) -> Response:
    # Where forms lead isn't limited: the answer to this one is the provider.
    return page(title, render_template_string(template, **values), status, forms="*")


def _sorry(error: OutreachError) -> Response:
    if isinstance(error, NotFound):
        return _page("That doesn't work any more", 404, text=str(error))
    if isinstance(error, MailError):
        again = "Then make another link in your notebook."
        return _page("Nothing was connected", 400 if error.permanent else 503, text=f"{error} {again}")
    if isinstance(error, ConfigError):
        return _page("This service isn't set up for that", 503, text=str(error))
    return _page("Try again in a moment", 503, text="The service can't reach what it needs right now.")


@pages.get("/connect/<provider>")
def show(provider: str) -> Response:
    """What is about to be asked; changes nothing."""
    secret = request.args.get("link", "")
    try:
        opening = consent.opening(provider, secret)
    except OutreachError as exc:
        return _sorry(exc)
    name = consent.PROVIDERS[provider]
    return _page("Connect a mailbox", template=OPENING, opening=opening, provider=name, link=secret)


@pages.post("/connect/<provider>")
def begin(provider: str) -> AnyResponse:
    """Use the link up and go to the provider. Its secret, in the form, is what no other site can know."""
    try:
        url, browser = consent.begin(provider, request.form.get("link", ""))
        secure = consent.redirect_uri(provider).startswith("https:")
    except OutreachError as exc:
        return _sorry(exc)
    answer = redirect(url, 303)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.set_cookie(
        COOKIE, browser, max_age=900, path=f"/oauth/{provider}", secure=secure, httponly=True, samesite="Lax"
    )
    return answer


@pages.get("/oauth/<provider>/callback")
def back(provider: str) -> Response:
    """Where the provider sends the browser back to."""
    try:
        address = consent.finish(provider, request.args.to_dict(), request.cookies.get(COOKIE, ""))
    except OutreachError as exc:
        answer = _sorry(exc)
    else:
        answer = _page(
            "Connected", text=f"{address} is connected. Go back to your notebook and close this page."
        )
    answer.delete_cookie(COOKIE, path=f"/oauth/{provider}")
    return answer
