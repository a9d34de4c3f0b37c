"""The second look at an Outlook mailbox: what came into the inbox since the last one, by delta query
(https://learn.microsoft.com/graph/delta-query-messages).

The list by time of receipt sees every folder, but not a message that shows up long after it was received: released
from quarantine, brought in from another mailbox. Delta sees those, in one folder. So each poll lists, and one an hour
also asks for the inbox's delta.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.errors import MailNotFound, MailRefused
from outreach_sdk.mail.outlook.graph import Graph
from outreach_sdk.mail.outlook.parse import stamp

__all__ = ["EVERY", "sweep"]

EVERY = dt.timedelta(hours=1)
REACH = dt.timedelta(days=7)
"""How long before a round began a message may have been received to be seen by it: Graph keeps the condition a round
began with, and has to go through all that meets it once."""
AGAIN = dt.timedelta(days=1)
FIELDS = "id,conversationId,internetMessageId,receivedDateTime,parentFolderId,isDraft"
INBOX = "me/mailFolders/inbox/messages/delta"


def sweep(
    graph: Graph, link: str, swept: dt.datetime | None, now: dt.datetime
) -> tuple[list[dict[str, Any]], str, bool]:
    """(what was created in the inbox since `link` was given, the next link, whether nothing more waits). The first
    round tells nothing: it says where the next begins. Where Graph has forgotten the link (410) a new round begins,
    which tells what was received since a day before `swept`; some of that was told before."""
    if link:
        try:
            found, link, done = graph.round(link, {})
        except (MailNotFound, MailRefused):  # syncStateNotFound, resyncRequired, syncStateInvalid
            link = ""
        else:
            return _incoming(found), link, done
    start = {
        "changeType": "created",
        "$filter": f"receivedDateTime ge {stamp(now - REACH)}",
        "$select": FIELDS,
    }
    found, link, done = graph.round(INBOX, start)
    if swept is None:
        return [], link, done
    since = stamp(swept - AGAIN)
    return [m for m in _incoming(found) if str(m.get("receivedDateTime")) >= since], link, done


def _incoming(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [m for m in found if "@removed" not in m and not m.get("isDraft")]
