"""Bullhorn (https://bullhorn.github.io/Getting-Started-with-REST): it sends nothing, so appointments are asked for.

A session is had in three steps (a code, a token, a login) and ends when it likes: a 401 begins anew, once."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from outreach_sdk.ats.http import HttpApi
from outreach_sdk.ats.paging import Pass, entries
from outreach_sdk.ats.port import Found, People, Person, Polled, State
from outreach_sdk.domain.events import Event, InterviewCanceled, InterviewScheduled
from outreach_sdk.domain.payload import at, moment, text
from outreach_sdk.errors import AtsDenied, AtsUnavailable

__all__ = ["BASE", "Account"]

BASE = "https://auth.bullhornstaffing.com"
LOGIN = "https://rest.bullhornstaffing.com"
PAGE = 200
FIELDS = "id,type,subject,dateBegin,dateAdded,dateLastModified,isDeleted,candidateReference(id,email,email2,email3)"
EMAILS = ("email", "email2", "email3")
WHO = f"candidate(id,{','.join(EMAILS)})"
LISTED = {
    "JobSubmission": f"id,status,isDeleted,isHidden,dateLastModified,{WHO}",
    "Placement": f"id,status,dateEnd,dateLastModified,{WHO}",
}
"""What people are listed by, one after the other, with the fields of each."""
REFUSED = ("reject", "declin", "withdr", "not interested", "not qualified", "unqualified", "disqualif")
PLACED = "placed"
CALLED_OFF = ("cancel", "reject", "declin", "fell", "fall")
"""Each company has its own words for the states of submissions and placements, so parts of words are gone by."""


class Account:
    """See `ats.port`. `key` is `client id:client secret:user name:password`."""

    def __init__(self, key: str, *, session: requests.Session, base_url: str | None, timeout: float) -> None:
        self._client, self._secret, self._user, self._password = [*key.split(":", 3), "", "", ""][:4]
        self._session, self._timeout = session, timeout
        # Whoever names another address has both there.
        self._auth, self._login = (base_url, base_url) if base_url else (BASE, LOGIN)
        self._rest: HttpApi | None = None
        self._guard = threading.Lock()

    def check(self) -> None:
        for entity in ("Appointment", *LISTED):
            self._ask(f"query/{entity}", {"fields": "id", "where": "id>0", "count": "1"})

    def interviews(self, cursor: str | None, *, since: dt.datetime, now: dt.datetime) -> Found:
        run = Pass.read(cursor, since=since, now=now)
        start = int(run.page or 0)
        changed = int(dt.datetime.fromisoformat(run.since or run.began).timestamp() * 1000)
        query = {
            "fields": FIELDS,
            "where": f"type='Interview' AND dateLastModified>{changed}",
            "orderBy": "id",
            "count": str(PAGE),
            "start": str(start),
        }
        items = entries(self._ask("query/Appointment", query), "data", "Bullhorn")
        polled = [_polled(one, now) for one in items if text(one, "id")]
        following, more = run.following(str(start + PAGE) if len(items) >= PAGE else "")
        return Found(polled, following, more)

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        run = Pass.read(cursor, since=None, now=now)
        entity, _, first = run.page.partition(":")
        entity, start = entity or next(iter(LISTED)), int(first or 0)
        where = "id>0"
        if run.since:
            where = f"dateLastModified>{int(dt.datetime.fromisoformat(run.since).timestamp() * 1000)}"
        query = {
            "fields": LISTED[entity],
            "where": where,
            "orderBy": "id",
            "count": str(PAGE),
            "start": str(start),
        }
        items = entries(self._ask(f"query/{entity}", query), "data", "Bullhorn")
        found = []
        for one in items:
            name = f"{entity}:{text(one, 'id')}" if text(one, "id") else ""
            state = _submitted(one) if entity == "JobSubmission" else _placed(one, now)
            # Neither says when somebody was refused: no later than it changed last.
            found.append(Person(name, _emails(one, "candidate"), state, moment(one, "dateLastModified")))
        following = f"{entity}:{start + PAGE}" if len(items) >= PAGE else ""
        if not following and entity == "JobSubmission":
            following = "Placement:0"
        cursor, more = run.following(following)
        return People(found, cursor, more)

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()

    # -- sessions ----------------------------------------------------------------------------------
    def _ask(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        with self._guard:
            if self._rest is not None:
                try:
                    return self._rest.ask("GET", path, query=query)
                except AtsDenied:  # the session is over
                    self._rest = None
            self._rest = self._logged_in()
            return self._rest.ask("GET", path, query=query)

    def _logged_in(self) -> HttpApi:
        asked = {
            "client_id": self._client,
            "response_type": "code",
            "action": "Login",
            "username": self._user,
            "password": self._password,
        }
        answer = self._send("POST", f"{self._auth}/oauth/authorize", asked)
        code = dict(parse_qsl(urlsplit(answer.headers.get("Location", "")).query)).get("code")
        if not code:
            if answer.status_code >= 500 or answer.status_code == 429:
                raise AtsUnavailable(f"Bullhorn answered {answer.status_code}.")
            raise AtsDenied("Bullhorn refuses the user name, the password or the application.")
        token = self._json(
            "POST",
            f"{self._auth}/oauth/token",
            {
                "grant_type": "authorization_code",
                "code": code,
                "client_id": self._client,
                "client_secret": self._secret,
            },
        )
        given = {"version": "*", "access_token": text(token, "access_token")}
        session = self._json("POST", f"{self._login}/rest-services/login", given)
        rest, held = text(session, "restUrl"), text(session, "BhRestToken")
        if not rest or not held:
            raise AtsUnavailable("Bullhorn answered something that isn't what it documents.")
        return HttpApi("Bullhorn", rest, {"BhRestToken": held}, session=self._session, timeout=self._timeout)

    def _send(self, method: str, url: str, form: Mapping[str, str]) -> requests.Response:
        try:
            # In the body: an address is logged on the way.
            return self._session.request(
                method, url, data=dict(form), timeout=self._timeout, allow_redirects=False
            )
        except requests.RequestException as exc:
            raise AtsUnavailable(f"Bullhorn can't be reached ({type(exc).__name__}).") from None

    def _json(self, method: str, url: str, form: Mapping[str, str]) -> dict[str, Any]:
        answer = self._send(method, url, form)
        if answer.status_code in (400, 401, 403):
            raise AtsDenied(f"Bullhorn refuses the application's keys ({answer.status_code}).")
        try:
            found = answer.json()
        except (ValueError, RecursionError):
            found = None
        if answer.status_code != 200 or not isinstance(found, dict):
            raise AtsUnavailable(f"Bullhorn answered {answer.status_code}.")
        return found


def _polled(one: Any, now: dt.datetime) -> Polled:
    addresses = _emails(one, "candidateReference")
    changed = moment(one, "dateLastModified") or now
    told: dict[str, Any] = {
        "external_id": f"appointment:{text(one, 'id')}",
        "occurred_at": changed,
        "addresses": addresses,
        "starts_at": moment(one, "dateBegin"),
        "title": text(one, "subject"),
    }
    event: Event
    if at(one, "isDeleted") is True:
        event = InterviewCanceled(**told)
    else:
        event = InterviewScheduled(**told, booked_at=moment(one, "dateAdded"))
    return Polled(f"{text(one, 'id')}:{changed.timestamp():.0f}", event, addresses, told["starts_at"])


def _emails(one: Any, whose: str) -> tuple[str, ...]:
    return tuple(filter(None, (text(one, f"{whose}.{name}") for name in EMAILS)))


def _submitted(one: Any) -> State:
    status = text(one, "status").lower()
    # What became a placement is told of by that, its end too.
    if at(one, "isDeleted") is True or at(one, "isHidden") is True or status == PLACED:
        return "none"
    return "rejected" if any(word in status for word in REFUSED) else "in_process"


def _placed(one: Any, now: dt.datetime) -> State:
    """A placement counts while it lasts: whoever's contract is over may be written to."""
    ends = moment(one, "dateEnd")
    if any(word in text(one, "status").lower() for word in CALLED_OFF):
        return "none"
    return "hired" if ends is None or ends > now else "none"
