"""The way through a provider's consent page from a notebook or a terminal."""

from __future__ import annotations

import html
import http.server
import json
import os
import queue
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from outreach_sdk.engine import connecting
from outreach_sdk.errors import ConfigError, InvalidInput, NotReady, SignInRefused
from outreach_sdk.mail.port import ByDevice, SignIn
from outreach_sdk.objects.session import Session

__all__ = ["Browser", "by_consent", "by_device", "by_link", "google_client", "permissions"]

Browser = bool | Callable[[str], object] | None
"""True: open the browser of this machine; a callable: it is given the address; False: the address is shown and
the answer pasted; None: whichever fits this machine."""

PATIENCE = 900.0
PASTE_PORT = 53682
REMOTE = ("SSH_CONNECTION", "JUPYTERHUB_USER", "COLAB_RELEASE_TAG", "KUBERNETES_SERVICE_HOST")
HOSTS = {"gmail": "127.0.0.1", "outlook": "localhost"}
"""Google asks for the number, Microsoft for the name, in an application's redirect address on this machine."""


def permissions(gate: SignIn) -> str:
    """What will be asked for, and why."""
    lines = [f"  {scope}: {why}" for scope, why in (*gate.permissions, *gate.optional)]
    who = "Google" if gate.provider == "gmail" else "Microsoft"
    return "\n".join([f"{who} will ask you to allow, and nothing beyond that:", *lines])


def google_client(secrets: str | Path | Mapping[str, Any]) -> tuple[str, str]:
    """(client id, secret) from what Google's console gives for a desktop application: the file's path, its text
    or its content."""
    field, remedy = "client_secrets", "Give the JSON file of a desktop application from Google's console."
    given: Any = secrets
    if not isinstance(secrets, Mapping):
        text = str(secrets)
        try:
            given = json.loads(text if text.lstrip().startswith("{") else Path(text).expanduser().read_text())
        except (OSError, ValueError) as exc:
            shown = "the text given" if text.lstrip().startswith("{") else text
            raise InvalidInput(field, shown, f"It can't be read ({type(exc).__name__}). {remedy}") from None
    inner = given.get("installed") or given.get("web") or given if isinstance(given, Mapping) else {}
    if not isinstance(inner, Mapping) or not inner.get("client_id") or "client_secret" not in inner:
        raise InvalidInput(field, "what was given", f"It has no client_id and client_secret. {remedy}")
    return str(inner["client_id"]), str(inner["client_secret"])


def by_consent(
    gate: SignIn, *, address: str | None, browser: Browser, port: int, ask: Callable[[str], str], show: Callable[[str], None]
) -> dict[str, Any]:  # fmt: skip
    """Tokens, once a person has agreed on the provider's page. SignInRefused, NotReady."""
    show(permissions(gate))
    opener, host = _opener(browser), HOSTS[gate.provider]
    if opener is None:
        # Nothing listens there, here or where the browser is: the answer stays in its address bar.
        url, memo = gate.begin(f"http://{host}:{port or PASTE_PORT}", address=address)
        show(f"Open this address in a browser, on any machine:\n{url}")
        return gate.finish(memo, _pasted(ask, str(memo["state"])))
    with _listening(host, port) as (redirect, answers):
        url, memo = gate.begin(redirect, address=address)
        show("Your browser opens. If it doesn't, open this address on this machine:\n" + url)
        opener(url)
        answer = _came_back(answers, str(memo["state"]))
    return gate.finish(memo, answer)


def by_device(gate: SignIn, show: Callable[[str], None], wait: float) -> dict[str, Any]:
    """Tokens, once the code shown was typed on any device. SignInRefused."""
    if not isinstance(gate, ByDevice):
        raise InvalidInput("device", True, f"{gate.provider} has no such way: leave it out.")
    return gate.by_device(show, patience=wait)


def _opener(browser: Browser) -> Callable[[str], object] | None:
    if callable(browser):
        return browser
    if browser is None:
        browser = _here()
    return webbrowser.open if browser else None


def _here() -> bool:
    """Whether a browser opened here would be in front of the person."""
    remote = any(os.environ.get(v) for v in REMOTE)
    shown = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    return shown and not remote


def _pasted(ask: Callable[[str], str], state: str) -> dict[str, str]:
    """The answer from what a person copied: the whole address that their browser ended at (it shows an error
    there: nothing listens on their machine), or the code alone."""
    text = ask("When the page after that can't be reached, paste its whole address here: ").strip()
    if "://" in text or text.startswith(("?", "code=", "error=")):
        query = urlsplit(text).query if "://" in text else text.lstrip("?")
        return dict(parse_qsl(query))
    if not text:
        raise SignInRefused("Nothing was pasted, so no mailbox was connected. Start again.")
    # The code alone bears no state; that it was given for this sign-in, PKCE proves.
    return {"code": text, "state": state}


def _came_back(answers: queue.SimpleQueue[dict[str, str]], state: str) -> dict[str, str]:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise NotReady("Nobody answered on the provider's page within 15 minutes. Start again.") from None
        if answer.get("state") == state:  # any page may send a browser here
            return answer


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Outreach</title>
<body style="font: 16px/1.5 system-ui; max-width: 32rem; margin: 15vh auto; padding: 0 1rem"><p>{text}</p>"""


@contextmanager
def _listening(host: str, port: int) -> Iterator[tuple[str, queue.SimpleQueue[dict[str, str]]]]:
    """The redirect address, and what comes back to it. On this machine's loopback only."""
    answers: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            answer = dict(parse_qsl(parts.query))
            good = parts.path == "/" and "state" in answer and bool({"code", "error"} & set(answer))
            text = (
                "That was it: go back to your notebook and close this page."
                if good
                else "There is nothing here."
            )
            body = PAGE.format(text=html.escape(text)).encode()
            self.send_response(200 if good else 404)
            for name, value in (
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("Referrer-Policy", "no-referrer"),
                ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            if good:
                answers.put(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the path bears the code."""

    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as exc:
        raise InvalidInput("port", port, f"It can't be listened on ({exc.strerror}). Leave it out.") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="redirect", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}", answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def by_link(
    session: Session,
    provider: str,
    *,
    address: str | None,
    name: str,
    calendar: bool,
    show: Callable[[str], None],
    wait: float,
    put: Callable[[str, str, str | None, str, bool], int],
) -> int:
    """The id of the mailbox connected by way of the web service, which holds the keys; `put` puts the link down,
    known by its digest. ConfigError, SignInRefused, NotReady."""
    url = session.settings.public_url
    if url is None:
        raise ConfigError(
            "OUTREACH_PUBLIC_URL: not set. In a shared set-up mailboxes are connected on the web service's page; "
            "say where it is, as your admin knows."
        )
    secret, digest = connecting.new_secret()
    link = put(digest, provider, address, name, calendar)
    show(
        f"Open this address within 15 minutes. It works once, and is for you alone:\n{url}/connect/{provider}?link={secret}"
    )
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        row = session.store.one("SELECT mailbox_id, error FROM connect_links WHERE id = ?", link)
        if row is None or row["error"]:
            raise SignInRefused(str(row["error"]) if row else "The link is gone. Start again.")
        if row["mailbox_id"] is not None:
            return int(row["mailbox_id"])
        time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
    raise NotReady(
        "Nobody has opened the link to its end yet; Mailbox.list() shows the mailbox when it is there."
    )
