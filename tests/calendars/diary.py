"""One person's calendar on loopback, served as Google's and as Graph's contracts say, with the faults put in front.

Google: https://developers.google.com/workspace/calendar/api/guides/sync (a sync token goes with no time window, a used
up one is 410, what was deleted comes as an id with `cancelled`). Graph: https://learn.microsoft.com/graph/api/event-delta
(`@removed`, occurrences that say less than their series, 410 for a forgotten delta link).
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, dict[str, str], bytes]
PAGE = 2


def good(data: Any) -> Answer:
    return 200, {}, json.dumps(data).encode()


def refusal(status: int, reason: str, **headers: str) -> Answer:
    body = {"error": {"code": status, "errors": [{"reason": reason}], "message": "no"}}
    return status, headers, json.dumps(body).encode()


class Diary:
    """Runs in threads from construction to `close()`. Events are told in our own words: `guests` are addresses, or
    (address, answer)."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.events: dict[str, dict[str, Any]] = {}
        self.changes: list[str] = []
        self.forgotten = 0
        """Tokens of before this many changes are unknown."""
        self.faults: list[Answer] = []
        self.asked: list[str] = []
        self.token = "token"
        diary = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                diary._reply(self, diary.answer(self.path, self.headers))

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                diary._reply(self, good({"access_token": diary.token, "expires_in": 3600}))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def _reply(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        status, headers, data = answer
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    # -- the owner's hands -------------------------------------------------------------------------
    def put(self, name: str, starts: dt.datetime | None, *guests: Any, **more: Any) -> None:
        """An event, new or changed. Without `starts` it lasts all day, five days from now."""
        now = dt.datetime.now(dt.UTC)
        kept = {"name": name, "starts": starts, "guests": guests, "updated": now, **more}
        self.events[name] = {**self.events.get(name, {}), **kept}
        self.changes.append(name)

    def drop(self, name: str) -> None:
        del self.events[name]
        self.changes.append(name)

    # -- what is answered --------------------------------------------------------------------------
    def answer(self, path: str, headers: Any) -> Answer:
        self.asked.append(path)
        if self.faults:
            return self.faults.pop(0)
        if headers.get("Authorization") != f"Bearer {self.token}":
            return refusal(401, "authError")
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        if parts.path == "/calendar/v3/calendars/primary/events":
            return self._google(query)
        if parts.path == "/v1.0/me/calendarView/delta":
            if 'outlook.timezone="UTC"' not in headers.get("Prefer", ""):
                return refusal(400, "ErrorInvalidRequest")
            return self._graph(query)
        if parts.path.startswith("/v1.0/me/events/"):
            name = parts.path.rsplit("/", 1)[1].removeprefix("master-")
            return good(self._as_graph(name, "seriesMaster"))
        return refusal(404, "notFound")

    def _window(self, low: str, high: str) -> list[str]:
        first, last = dt.datetime.fromisoformat(low), dt.datetime.fromisoformat(high)
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=5)
        return [n for n, e in self.events.items() if first <= (e["starts"] or soon) <= last]

    def _google(self, query: dict[str, str]) -> Answer:
        if query.get("singleEvents") != "true":
            return refusal(400, "badRequest")
        if (token := query.get("syncToken")) is not None:
            if {"timeMin", "timeMax", "updatedMin", "orderBy", "q"} & set(query):
                return refusal(400, "syncTokenWithRequestedParam")
            if int(token) < self.forgotten:
                return refusal(410, "fullSyncRequired")
            names = list(dict.fromkeys(self.changes[int(token) :]))
        else:
            names = self._window(query["timeMin"], query["timeMax"])
        start = int(query.get("pageToken", 0))
        page: dict[str, Any] = {"items": [self._as_google(n) for n in names[start : start + PAGE]]}
        if start + PAGE < len(names):
            page["nextPageToken"] = str(start + PAGE)
        else:
            page["nextSyncToken"] = str(len(self.changes))
        return good(page)

    def _as_google(self, name: str) -> dict[str, Any]:
        if name not in self.events:
            return {"id": f"g-{name}", "status": "cancelled"}
        event = self.events[name]
        day = f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=5):%Y-%m-%d}"
        made = {
            "id": f"g-{name}",
            "iCalUID": f"{event.get('series', name)}@cal.example",
            "status": "confirmed",
            "summary": event.get("title", name),
            "htmlLink": f"https://calendar.example/{name}",
            "updated": event["updated"].isoformat(),
            "start": {"dateTime": event["starts"].isoformat()} if event["starts"] else {"date": day},
            "attendees": [
                {"email": self.owner, "self": True, "responseStatus": event.get("mine", "accepted")},
                *({"email": a, "responseStatus": r} for a, r in self._guests(event)),
            ],
        }
        if "organizer" in event:
            made["organizer"] = {"email": event["organizer"]}
        if event.get("hidden"):
            made["guestsCanSeeOtherGuests"] = False
        if "series" in event:
            made["originalStartTime"] = {"dateTime": event["starts"].isoformat()}
        return made

    @staticmethod
    def _guests(event: dict[str, Any]) -> list[tuple[str, str]]:
        return [g if isinstance(g, tuple) else (g, "needsAction") for g in event["guests"]]

    def _graph(self, query: dict[str, str]) -> Answer:
        if (token := query.get("$deltatoken")) is not None:
            if int(token) < self.forgotten:
                return refusal(410, "SyncStateNotFound")
            names = list(dict.fromkeys(self.changes[int(token) :]))
        elif (skip := query.get("$skiptoken")) is not None:
            names = skip.split(",")
        else:
            names = self._window(query["startDateTime"], query["endDateTime"])
        items = []
        for name in names[:PAGE]:
            if name not in self.events:
                items.append({"id": f"o-{name}", "@removed": {"reason": "deleted"}})
            else:
                repeated = "series" in self.events[name]
                items.append(self._as_graph(name, "occurrence" if repeated else "singleInstance"))
        page: dict[str, Any] = {"value": items}
        base = f"{self.url}/v1.0/me/calendarView/delta"
        if names[PAGE:]:
            page["@odata.nextLink"] = f"{base}?$skiptoken={','.join(names[PAGE:])}"
        else:
            page["@odata.deltaLink"] = f"{base}?$deltatoken={len(self.changes)}"
        return good(page)

    def _as_graph(self, name: str, kind: str) -> dict[str, Any]:
        event = self.events[name]
        starts = event["starts"] or dt.datetime.now(dt.UTC) + dt.timedelta(days=5)
        start = {"dateTime": f"{starts.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}
        if kind == "occurrence":
            return {"id": f"o-{name}", "type": kind, "seriesMasterId": f"master-{name}", "start": start}
        answer = event.get("mine", "organizer")
        return {
            "id": f"o-{name}" if kind != "seriesMaster" else f"master-{name}",
            "type": kind,
            "iCalUId": f"{event.get('series', name)}@cal.example",
            "subject": event.get("title", name),
            "webLink": f"https://calendar.example/{name}",
            "lastModifiedDateTime": event["updated"].isoformat(),
            "isAllDay": event["starts"] is None,
            "isCancelled": False,
            "hideAttendees": event.get("hidden", False),
            "isOrganizer": answer == "organizer",
            "organizer": {
                "emailAddress": {
                    "address": self.owner if answer == "organizer" else event.get("organizer", "x@x.example")
                }
            },
            "responseStatus": {"response": answer},
            "start": start,
            "attendees": [
                {"type": "required", "emailAddress": {"address": a}, "status": {"response": r}}
                for a, r in self._guests(event)
            ],
        }
