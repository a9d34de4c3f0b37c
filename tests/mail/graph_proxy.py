"""A loopback HTTP proxy in front of an Outlook stand-in that makes it answer as Graph does.

Added to the stand-in: extended properties (set, filtered by, expanded), `$value`, `$select`, times in whole
seconds, a send that is answered with 202 and no body and works once, deleted drafts that stay drafts,
refusal of headers that aren't X-, of orders that don't match their filter, and of more than four requests
at a time. Faults are asked for with `Fault`, whose `reason` is Graph's error code.
"""

from __future__ import annotations

import email
import html
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.utils import formataddr
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import requests

from tests.mail.fault_proxy import Fault, FaultProxy

Answer = tuple[int, list[tuple[str, str]], bytes]

SEND = r"/messages/[^/]+/send$"
CREATE = r"/me/messages$"
REPLY = r"/createReply$"
POLL = r"/me/messages\?"
TOKEN = r"/oauth2/v2.0/token$"
LOGIN = "https://login.microsoftonline.com"

ANY = re.compile(
    r"singleValueExtendedProperties/Any\(ep: ep/id eq '([^']*)' and ep/value eq '((?:[^']|'')*)'\)"
)
EXPANDED = re.compile(r"singleValueExtendedProperties\(\$filter=(id eq '[^']*'(?: or id eq '[^']*')*)\)")
FLAGS = "Integer 0x0E07"
HEADERS = {"String 0x1042": "In-Reply-To", "String 0x1039": "References", "String 0x1045": "List-Unsubscribe"}


def throttled(path: str = SEND, *, retry_after: str | None = "7", count: int | None = 1) -> Fault:
    headers = {"Retry-After": retry_after} if retry_after is not None else {}
    return Fault(
        "answer",
        path=path,
        count=count,
        status=429,
        reason="ApplicationThrottled",
        message="Application is over its MailboxConcurrency limit.",
        headers=headers,
    )


class GraphProxy(FaultProxy):
    """Runs in threads from construction to `close()`. The attributes say which of the behaviours nobody
    has promised it shows."""

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        self.properties: dict[str, dict[str, str]] = {}
        self.headers: dict[str, list[tuple[str, str]]] = {}
        self.raw: dict[str, bytes] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.reauthorised: list[str] = []
        self.rounds: dict[str, dict[str, Any]] = {}
        self.forgets_rounds = False
        self.binned: set[str] = set()
        self.leaving: set[str] = set()
        """Messages that were accepted but still show as drafts, flagged as submitted."""
        self.sends_leave_slowly = False
        self.sends_change_ids = False
        self.reply_takes_properties: bool | None = True
        """None: it refuses them."""
        self.renamed: dict[str, str] = {}
        self.second_send = (404, "ErrorItemNotFound")
        self.typed: str | None = None
        self.without_immutable_ids: list[str] = []
        self._state = threading.RLock()
        super().__init__(upstream, seed=seed, replace_message_ids=False)

    def error_body(self, fault: Fault) -> bytes:
        if "oauth2" in fault.path:
            return super().error_body(fault)
        return json.dumps({"error": {"code": fault.reason, "message": fault.message}}).encode()

    def pick(self, method: str, path: str) -> Fault | None:
        found = super().pick(method, path)
        return found or (throttled(".*", retry_after="1") if self.at_once > 4 else None)

    def forward(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        parts = urlsplit(path)
        if not parts.path.startswith("/v1.0/"):
            return self._login(method, path, body, headers)
        if not str(headers.get("Prefer")).startswith('IdType="ImmutableId"'):
            self.without_immutable_ids.append(path)
        fields = dict(parse_qsl(parts.query))
        below = parts.path.removeprefix("/v1.0").removeprefix("/me")
        steps = [unquote(p) for p in below.strip("/").split("/")]
        with self._state:
            if len(steps) > 1 and steps[0] == "messages":
                if steps[1] in self.renamed:
                    return _error(
                        404, "ErrorItemNotFound", "The specified object was not found in the store."
                    )
                for old, new in self.renamed.items():
                    if steps[1] == new:
                        steps[1], path = old, path.replace(quote(new, safe=""), quote(old, safe=""))
            match method, steps:
                case "GET", ["messages"] | ["mailFolders", _, "messages"]:
                    return self._list(parts.path, fields, headers)
                case "GET", ["mailFolders", folder, "messages", "delta"]:
                    return self._delta(parts.path, folder, fields, headers)
                case "GET", ["messages", message_id, "$value"]:
                    return self._value(message_id, headers)
                case "GET", ["messages", message_id]:
                    status, found = self._get(message_id, headers)
                    return _json(status, self._shown(found, fields) if status == 200 else found)
                case "POST", ["messages"]:
                    return self._create(path, json.loads(body), headers)
                case "POST", ["messages", _, "createReply"]:
                    return self._reply(path, json.loads(body or b"{}"), headers)
                case "PATCH", ["messages", message_id]:
                    return self._patch(message_id, json.loads(body), headers)
                case "POST", ["messages", message_id, "send"]:
                    return self._send(message_id, path, headers)
                case _, ["subscriptions", *rest]:
                    return self._subscriptions(method, rest, json.loads(body or b"{}"))
                case "DELETE", ["messages", message_id]:
                    if self._get(message_id, headers)[1].get("isDraft"):
                        self.binned.add(message_id)
        return self._ask(method, path, body, headers)

    def _subscriptions(self, method: str, rest: list[str], given: dict[str, Any]) -> Answer:
        """https://learn.microsoft.com/graph/api/resources/subscription, the handshake included."""
        if method == "POST" and not rest:
            for name in ("notificationUrl", "lifecycleNotificationUrl"):
                token = "Validation: Testing client <application> & reachability"
                answer = requests.post(given[name], params={"validationToken": token}, timeout=10)
                plain = answer.headers.get("Content-Type", "").startswith("text/plain")
                if answer.status_code != 200 or not plain or html.unescape(answer.text) != token:
                    return _error(400, "ValidationError", "Subscription validation request failed.")
            made = {**given, "id": f"sub-{len(self.subscriptions) + 1}"}
            self.subscriptions[made["id"]] = made
            return _json(201, made)
        found = self.subscriptions.get(rest[0])
        if found is None:
            return _error(404, "ResourceNotFound", "The object was not found.")
        if rest[1:] == ["reauthorize"]:
            self.reauthorised.append(rest[0])
            return 204, [], b""
        found.update(given)
        return _json(200, found)

    def notice(self, subscription: str, **more: Any) -> dict[str, Any]:
        """A notification as Graph would send it for a subscription."""
        held = self.subscriptions[subscription]
        base = {"subscriptionId": subscription, "clientState": held["clientState"], "tenantId": "t"}
        return {**base, "changeType": "created", "resource": "me/messages/AAMk", **more}

    def leave(self) -> None:
        """What was accepted and lingered appears in Sent Items."""
        with self._state:
            self.leaving.clear()

    def mime(self, message_id: str, found: dict[str, Any]) -> bytes:
        """The message as RFC 5322 bytes: as it came, or as Exchange would write it."""
        if message_id in self.raw:
            return self.raw[message_id]
        made = EmailMessage(policy=SMTP.clone(max_line_length=998))
        for name, key in (
            ("From", "from"),
            ("To", "toRecipients"),
            ("Cc", "ccRecipients"),
            ("Bcc", "bccRecipients"),
        ):
            entries = found.get(key) or []
            people = [e["emailAddress"] for e in (entries if isinstance(entries, list) else [entries])]
            if people:
                made[name] = ", ".join(formataddr((p.get("name") or "", p["address"])) for p in people)
        made["Subject"] = found["subject"]
        made["Message-ID"] = found["internetMessageId"]
        for name, value in self.headers.get(message_id, []):
            made[name] = value
        for name, value in self.properties.get(message_id, {}).items():
            if name in HEADERS:
                made[HEADERS[name]] = value
        made.set_content(
            found["body"]["content"], subtype={"html": "html"}.get(found["body"]["contentType"], "plain")
        )
        return made.as_bytes()

    # -- one call each -----------------------------------------------------------------------------
    def _login(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if path.endswith("/devicecode"):
            code = {"device_code": "d", "user_code": "ABC123", "expires_in": 900, "interval": 1}
            return _json(
                200, {**code, "verification_uri": "https://login.example/device", "message": "Type it."}
            )
        if path.endswith("/token") and (told := self._device(body, headers)) is not None:
            return told
        status, given, content = self._ask(method, re.sub(r"^/[^/]+(/oauth2/)", r"\1", path), body, headers)
        if path.endswith("/openid-configuration"):
            here = re.sub(
                rb'http://localhost:\d+(/[^/"]+)?/oauth2', LOGIN.encode() + rb"/common/oauth2", content
            )
            told = json.loads(re.sub(rb"http://localhost:\d+", LOGIN.encode(), here))
            return _json(
                status, {"device_authorization_endpoint": f"{LOGIN}/common/oauth2/v2.0/devicecode", **told}
            )
        return status, given, content

    def _device(self, body: bytes, headers: dict[str, str]) -> Answer | None:
        """Signing in by a code typed elsewhere, which the stand-in lacks: pending until `typed` is the refresh
        token of whoever typed it, or an error."""
        given = dict(parse_qsl(body.decode()))
        if given.get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code":
            return None
        if self.typed is None or self.typed in ("authorization_declined", "expired_token"):
            return _json(
                400, {"error": self.typed or "authorization_pending", "error_description": "Not given."}
            )
        fields = {"grant_type": "refresh_token", "refresh_token": self.typed, "client_id": given["client_id"]}
        return self._ask("POST", "/oauth2/v2.0/token", urlencode(fields).encode(), headers)

    def _get(self, message_id: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        status, _, content = self._ask("GET", f"/v1.0/me/messages/{quote(message_id, safe='')}", b"", headers)
        found = json.loads(content)
        return status, self._as_graph(found) if status == 200 else found

    def _as_graph(self, found: dict[str, Any]) -> dict[str, Any]:
        for name in ("receivedDateTime", "sentDateTime", "createdDateTime"):
            if found.get(name):
                found[name] = re.sub(r"\.\d+", "", found[name])
        found["isDraft"] = found["isDraft"] or found["id"] in self.binned | self.leaving
        if found["id"] in self.leaving:
            found["parentFolderId"] = "drafts"
        found["id"] = self.renamed.get(found["id"], found["id"])
        return found

    def _shown(self, found: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
        names = {"id", *fields["$select"].split(",")} if "$select" in fields else set(found)
        shown = {"@odata.etag": 'W/"1"', **{k: v for k, v in found.items() if k in names}}
        if "internetMessageHeaders" in names and found["id"] in self.raw:
            shown["internetMessageHeaders"] = [
                {"name": k, "value": str(v)} for k, v in self._received(found["id"]).items()
            ]
        if wanted := EXPANDED.fullmatch(fields.get("$expand", "")):
            flags = 0x8 | 0x4 * (found["id"] in self.leaving) if found["isDraft"] else 0x1
            there = {**self.properties.get(found["id"], {}), FLAGS: str(flags)}
            ids = re.findall(r"'([^']*)'", wanted[1])
            entries = [{"id": i.replace("0x0E07", "0xe07"), "value": there[i]} for i in ids if i in there]
            if entries:
                shown["singleValueExtendedProperties"] = entries
        else:
            assert "$expand" not in fields, fields
        return shown

    def _list(self, path: str, fields: dict[str, str], headers: dict[str, str]) -> Answer:
        condition, order = fields.get("$filter", ""), fields.get("$orderby", "")
        if condition and order and not condition.startswith(order.split()[0]):
            return _error(400, "InefficientFilter", "The restriction or sort order is too complex.")
        by_property = ANY.fullmatch(condition)
        asked = {"$orderby": order, "$top": "100000", "$filter": "" if by_property else condition}
        query = "&".join(f"{k}={quote(v)}" for k, v in asked.items() if v)
        status, _, content = self._ask("GET", f"{path}?{query}", b"", headers)
        if status != 200:
            return _json(status, json.loads(content))
        found = [self._as_graph(m) for m in json.loads(content)["value"]]
        if "sentitems" in path:
            found = [m for m in found if m["id"] not in self.leaving]
        if by_property:
            name, value = by_property[1], by_property[2].replace("''", "'").lower()
            found = [m for m in found if self.properties.get(m["id"], {}).get(name, "\0").lower() == value]
        skip, top = int(fields.get("$skip", 0)), int(fields.get("$top", 10))
        answer: dict[str, Any] = {"value": [self._shown(m, fields) for m in found[skip : skip + top]]}
        if skip + top < len(found):
            following = "&".join(f"{k}={quote(v)}" for k, v in {**fields, "$skip": str(skip + top)}.items())
            answer["@odata.nextLink"] = f"{self.base_url}{path}?{following}"
        return _json(200, answer)

    def _delta(self, path: str, folder: str, fields: dict[str, str], headers: dict[str, str]) -> Answer:
        """https://learn.microsoft.com/graph/delta-query-messages: what was created in a folder since a link, by pages of
        the size asked for, under the condition that the round began with."""
        given = fields.get("$deltatoken") or fields.get("$skiptoken")
        kept = self.rounds.get(given or "")
        if given and (kept is None or self.forgets_rounds):
            return _error(410, "SyncStateNotFound", "The sync state generation is not found; resyncRequired.")
        if kept is None:
            assert set(fields) <= {"changeType", "$filter", "$select"}, "what delta takes"
            assert fields["changeType"] == "created"
            kept = {"filter": fields["$filter"], "select": fields["$select"], "told": []}
        asked = {"$filter": kept["filter"], "$select": kept["select"], "$top": "100000"}
        status, _, content = self._list(path.removesuffix("/delta"), asked, headers)
        if status != 200:
            return status, [], content
        size = int(re.findall(r"odata.maxpagesize=(\d+)", headers["Prefer"])[0])
        left = [m for m in json.loads(content)["value"] if m["id"] not in kept["told"]]
        token = f"round-{len(self.rounds) + 1}"
        self.rounds[token] = {**kept, "told": [*kept["told"], *(m["id"] for m in left[:size])]}
        kind = "deltaLink", "$deltatoken"
        if len(left) > size:
            kind = "nextLink", "$skiptoken"
        link = f"{self.base_url}{path}?{kind[1]}={token}"
        return _json(200, {"value": left[:size], f"@odata.{kind[0]}": link})

    def _received(self, message_id: str) -> Message:
        return email.message_from_bytes(self.raw[message_id], policy=SMTP)

    def _value(self, message_id: str, headers: dict[str, str]) -> Answer:
        status, found = self._get(message_id, headers)
        if status != 200:
            return _json(status, found)
        return 200, [("Content-Type", "text/plain")], self.mime(message_id, found)

    def _create(self, path: str, given: dict[str, Any], headers: dict[str, str]) -> Answer:
        for header in given.get("internetMessageHeaders", []):
            if not header["name"].lower().startswith("x-"):
                return _error(
                    400, "InvalidInternetMessageHeader", f"{header['name']} should start with 'x-'."
                )
        status, _, content = self._ask("POST", path, json.dumps(given).encode(), headers)
        made = json.loads(content)
        self._mark(made["id"], given)
        return _json(status, self._as_graph(made))

    def _mark(self, message_id: str, given: dict[str, Any]) -> None:
        entries = {p["id"]: p["value"] for p in given.get("singleValueExtendedProperties", [])}
        self.properties.setdefault(message_id, {}).update(entries)
        custom = [(h["name"], h["value"]) for h in given.get("internetMessageHeaders", [])]
        self.headers.setdefault(message_id, []).extend(custom)

    def _reply(self, path: str, given: dict[str, Any], headers: dict[str, str]) -> Answer:
        original = unquote(path.split("/")[-2])
        found, answered_to = self._get(original, headers)
        if found == 200 and answered_to["isDraft"]:
            return _error(
                400, "ErrorInvalidReferenceItem", "The reference item does not support the operation."
            )
        message = given.get("message", {})
        if "singleValueExtendedProperties" in message and self.reply_takes_properties is None:
            return _error(400, "RequestBodyRead", "The property can't be given here.")
        status, _, content = self._ask("POST", path, b"{}", headers)
        made = json.loads(content)
        if status == 201:
            known = self._received(original) if original in self.raw else dict(self.headers.get(original, []))
            earlier = str(known.get("References", ""))
            self.headers[made["id"]] = [
                ("In-Reply-To", answered_to["internetMessageId"]),
                ("References", f"{earlier} {answered_to['internetMessageId']}".strip()),
            ]
            taken = {"internetMessageHeaders"} | (
                {"singleValueExtendedProperties"} if self.reply_takes_properties else set()
            )
            self._mark(made["id"], {k: v for k, v in message.items() if k in taken})
            made = self._as_graph(made)
        return _json(status, made)

    def _patch(self, message_id: str, given: dict[str, Any], headers: dict[str, str]) -> Answer:
        if "internetMessageHeaders" in given:
            return _error(400, "ErrorInvalidPropertySet", "Headers can be set at creation only.")
        path = f"/v1.0/me/messages/{quote(message_id, safe='')}"
        status, _, content = self._ask("PATCH", path, json.dumps(given).encode(), headers)
        if status != 200:
            return _json(status, json.loads(content))
        self._mark(message_id, given)
        return _json(200, self._as_graph(json.loads(content)))

    def _send(self, message_id: str, path: str, headers: dict[str, str]) -> Answer:
        status, found = self._get(message_id, headers)
        if status == 200 and (not found["isDraft"] or message_id in self.leaving):
            return _error(*self.second_send, "The specified object was not found in the store.")
        status, given, content = self._ask("POST", path, b"", headers)
        if status != 200:
            return status, given, content
        if self.sends_leave_slowly:
            self.leaving.add(message_id)
        if self.sends_change_ids:
            new = self.renamed[message_id] = f"{message_id}-sent"
            self.properties[new], self.headers[new] = self.properties[message_id], self.headers[message_id]
        return 202, [], b""


def _json(status: int, content: dict[str, Any]) -> Answer:
    return status, [("Content-Type", "application/json")], json.dumps(content).encode()


def _error(status: int, code: str, message: str) -> Answer:
    return _json(status, {"error": {"code": code, "message": message}})


@contextmanager
def graph_proxy(upstream: str, *, seed: int = 0) -> Iterator[GraphProxy]:
    proxy = GraphProxy(upstream, seed=seed)
    try:
        yield proxy
    finally:
        proxy.close()
