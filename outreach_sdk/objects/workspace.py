"""The workspace, and the questions a notebook asks first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.config import Settings
from outreach_sdk.engine import credits, dispatch, hooks, lifecycle, revising
from outreach_sdk.errors import AccessDenied, InvalidInput, NotFound
from outreach_sdk.notebook.card import Card, Note, Shown, Table
from outreach_sdk.objects.cards import with_card
from outreach_sdk.objects.carrying import carried, carried_call
from outreach_sdk.objects.engine import missing
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.looks import workspace_card
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import Session, colleague, current, open_session, use
from outreach_sdk.objects.settings import DEFAULTS, checked_setting, mine
from outreach_sdk.objects.suppressing import SuppressionList
from outreach_sdk.objects.systems import ConnectedSystems
from outreach_sdk.objects.task import Task, TaskList
from outreach_sdk.objects.texting import WorkspaceTexts
from outreach_sdk.storage import wall
from outreach_sdk.storage.fingerprint import fingerprint
from outreach_sdk.storage.transitions import event

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Workspace", "connect", "events", "notifications", "sequences", "tasks", "users", "whoami"]


@carried(here="ai_spend database_role status systems")
class Workspace(SuppressionList, WorkspaceTexts, ConnectedSystems, Shown):
    """Where one works: `outreach.connect()` gives it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def settings(self) -> dict[str, Any]:
        """What was set with `set`, over the defaults."""
        stored = self._session.store.value(
            "SELECT settings FROM workspace WHERE id = ?", self._session.workspace_id
        )
        return {**DEFAULTS, **json.loads(stored or "{}")}

    def set(self, **changes: Any) -> None:
        """Change settings of the workspace:

        colleague_days: days during which someone a colleague wrote to is held back (30). reply_stops: "owner" |
        "workspace", whose journeys a reply stops. window: a SendingWindow outside of which no automatic e-mail
        leaves, or None. holidays: a country ("ES", "DE-BY") whose public holidays are no business days, or None.
        closed: dates of one's own that are none. candidate_per_day, candidate_per_week: how many e-mails a person
        may get at most, from everybody together, or None. overdue_after: how late an e-mail may be that waited
        while nothing was running ("7d", "12h" or a timedelta). ai_replies: whether replies are judged by the model
        where OPENAI_API_KEY is set (True), else by rules alone. ai_passages: whether it writes the
        passages of e-mails (True), else their fallbacks stand. ai_headers: whether it is asked about
        columns of files that the rules leave open (True). ai_monthly_limit: dollars a calendar month (UTC)
        that this may cost (10), or None. booking_url: the page {{ booking_link }} leads to,
        for those who haven't set their own. prefer: "work" | "personal", which of a candidate's addresses a journey
        uses, or None for the one its row names. one_sequence: hold back whoever is in another active sequence
        (False). ats_check: whether connected applicant tracking systems are asked who is in process there before
        somebody is enrolled (True). rejected_days: how long after a rejection there somebody is held back (180).
        off_limits: names and domains of companies whose people are held back. sequences: whether Sequences are there
        at all (True; only an admin changes it, and what runs goes on). enrich_email, enrich_phone, enrich_verify:
        which providers are asked for addresses, for numbers, and to verify, in this order. InvalidInput names what
        it can't take.
        """
        if "sequences" in changes:
            self._only_admins("switches Sequences on or off")
        store = self._session.store
        checked = {name: checked_setting(name, value) for name, value in changes.items()}
        with store.tx():
            store.write(
                "UPDATE workspace SET settings = ? WHERE id = ?",
                json.dumps({**self.settings, **checked}),
                self._session.workspace_id,
            )
        if {"window", "holidays", "closed"} & set(changes):
            revising.hours_changed(self._session.engine, self._session.workspace_id)

    def set_plan(self, *, monthly_credits: int) -> None:
        """Enrichment credits a month; admins only. More than before counts at once, less from the next month on.
        What is left at the month's end (UTC) expires; top-ups never do."""
        session = self._session
        if session.user["role"] != "admin":
            raise NotFound("Only an admin sets the plan: ask yours.")
        credits.set_plan(
            session.store, session.workspace_id, monthly_credits, session.now(), user_id=session.user["id"]
        )

    def ai_spend(self) -> pl.DataFrame:
        """Frame, newest first: day (UTC), calls, tokens, dollars spent on the model; a call under way counts at
        its most."""
        rows = self._session.store.rows(
            "SELECT * FROM ai_spend WHERE workspace_id = ? ORDER BY day DESC", self._session.workspace_id
        )
        for row in rows:
            row["dollars"] = row["cost"] / 1e6
        return frame(rows, day="str", calls="int", tokens="int", dollars="float")

    def give_access(self, user: str, on: bool = True) -> None:
        """Let a user have Sequences, or not: their journeys go on either way. Only an admin may. NotFound."""
        self._only_admins("gives access")
        found = colleague(self._session, user)
        with self._session.store.tx():
            self._session.store.write("UPDATE users SET sequences_access = ? WHERE id = ?", on, found["id"])
            about = {**self._session.user, "owner_id": self._session.user["id"], "journey_id": None}
            event(
                self._session.store,
                about,
                "access_given" if on else "access_taken",
                self._session.now(),
                user,
            )

    def database_role(self, user: str, *, on: bool = True) -> dict[str, str]:
        """A role of PostgreSQL's own for a user, and a new password, shown this once: {"user", "role", "password",
        "database_url"}. A notebook with this DATABASE_URL (and no OUTREACH_API_KEY, no REDIS_URL) reads that
        user's rows and nobody else's, by whatever SQL; what it changes, a worker does (`outreach worker requests`). The
        user's older password ends. `on=False` takes the role away and ends its connections: {"user"}. Admins only, and
        as a role that may make others. NotFound, ConfigError."""
        self._only_admins("gives users a role in the database")
        found, store = colleague(self._session, user), self._session.store
        about = {**self._session.user, "owner_id": self._session.user["id"], "journey_id": None}
        if not on:
            if not wall.drop_role(store, found["id"]):
                raise NotFound(f"{user} has no role in the database.")
            event(store, about, "database_role_taken", self._session.now(), found["name"])
            return {"user": found["name"]}
        role, password = wall.make_role(store, found["id"])
        event(store, about, "database_role_given", self._session.now(), found["name"])
        url = wall.url_of(store.url, role, password)
        return {"user": found["name"], "role": role, "password": password, "database_url": url}

    def _only_admins(self, what: str) -> None:
        if self._session.user["role"] != "admin":
            raise NotFound(f"Only an admin {what}: ask yours.")

    def set_mine(self, **changes: str | None) -> None:
        """Change settings of one's own. booking_url: the page that {{ booking_link }} leads to in one's sequences.
        prefer: "work" | "personal", as in `set`. None: the workspace's. tell: how one is told outside the product of what
        stands in `notifications()`: "each" as it comes, "digest" once a day at tell_at ("08:00") in tell_zone (UTC),
        "off". slack_url: a Slack-compatible incoming webhook to tell it to, beside the mail. InvalidInput."""
        checks = mine(self._session.settings.notice_hosts)
        if wrong := set(changes) - set(checks):
            raise InvalidInput("settings", sorted(wrong), f"Use {', '.join(checks)}.")
        checked = {name: checks[name](name, value) for name, value in changes.items()}
        for name, value in checked.items():
            self._session.store.write(
                f"UPDATE users SET {name} = ? WHERE id = ?", value, self._session.user["id"]
            )

    def halt(self) -> None:
        """Stop all sending in the installation at once, until `resume()`."""
        lifecycle.halt(self._session.engine, self._session.user["name"])

    def resume(self) -> None:
        """Lift the halt; what became due goes out in order and spaced."""
        lifecycle.unhalt(self._session.engine)

    def arm(self) -> None:
        """Let this database send: say so once for a copy or a restored backup that shall take over."""
        self._session.store.write(
            "UPDATE installation SET armed = ?, disarmed_why = NULL, identity = ?, clock_seen_at = ?",
            True,
            fingerprint(self._session.store),
            self._session.now(),
        )

    def status(self) -> dict[str, Any]:
        """Who is alive, what waits: {"alive": {...}, "journeys": {...}, "notice": ...}; "processes" says which of
        this home's engine can't run, and why."""
        counts, denied, waiting = {}, None, 0
        try:
            condition, own = self._session.scope.mine("j", "j.sequence_id")
        except AccessDenied as exc:
            denied = str(exc)
        else:
            rows = self._session.store.rows(
                f"SELECT j.status, COUNT(*) AS n FROM journeys j WHERE {condition} GROUP BY j.status", *own
            )
            counts = {r["status"]: r["n"] for r in rows}
            waiting = int(
                self._session.store.value(
                    "SELECT COUNT(*) FROM journey_steps x JOIN journeys j ON j.id = x.journey_id "
                    f"WHERE {condition} AND x.status = 'waiting'",
                    *own,
                )
            )
        living = dispatch.alive(self._session.engine)
        notice = missing(self._session, living)
        gate = self._session.store.one("SELECT armed, disarmed_why, halted_at FROM installation") or {}
        if gate.get("halted_at") is not None:
            notice = "All sending is halted until ws.resume()."
        elif not gate.get("armed"):
            notice = str(gate.get("disarmed_why"))
        if self._session.walled and not living.get("requests"):
            notice = (
                "Nothing can be changed from here: no worker carries it out (`outreach worker requests`)."
            )
        from outreach_sdk import runtime

        here = runtime.status(self._session.settings)
        ended = hooks.troubles(self._session.store, self._session.workspace_id)
        return {
            "home": str(self._session.settings.home),
            "user": self._session.user["name"],
            "alive": living,
            "journeys": counts,
            "tasks": waiting,
            "unread": self._session.store.value(
                "SELECT COUNT(*) FROM notifications WHERE owner_id = ? AND read_at IS NULL",
                self._session.user["id"],
            ),
            "notice": denied or notice,
            "processes": [f"{c.name}: {c.note}." for c in here.children if c.note and c.state != "running"],
            "webhooks": ended if self._session.user["role"] == "admin" else [],
            "access": denied is None,
        }

    def _line(self) -> str:
        state = self.status()
        told = ", ".join(f"{n} {s}" for s, n in sorted(state["journeys"].items())) or "no journeys yet"
        return f"Workspace({state['user']}: {told})" + (f"\n{state['notice']}" if state["notice"] else "")

    def _card(self) -> Card:
        return workspace_card(self._session, self.status())


def connect(
    database_url: str | None = None,
    redis_url: str | None = None,
    *,
    user: str | None = None,
    api_key: str | None = None,
    home: str | Path | None = None,
) -> Workspace:
    """Open the workspace; later calls act in it. Arguments win over the environment (README, Settings).
    Raises ConfigError, DatabaseUnavailable, InvalidInput, NotFound (no such user)."""
    if not isinstance(home, (str, Path, type(None))):
        raise InvalidInput("home", home, "Give the engine's folder, or None for OUTREACH_HOME.")
    given = {
        "database_url": database_url,
        "redis_url": redis_url,
        "user": user,
        "api_key": api_key,
        "home": home,
    }
    settings = Settings.from_env(None, **{k: v for k, v in given.items() if v is not None})
    return Workspace(use(open_session(settings)))


def whoami() -> dict[str, Any]:
    """Name, role and workspace of who is acting."""
    session = current()
    name = session.store.value("SELECT name FROM workspace WHERE id = ?", session.workspace_id)
    return {"name": session.user["name"], "role": session.user["role"], "workspace": name}


def users() -> pl.DataFrame:
    """Frame: id, name, email, role; members see themselves."""
    session = current()
    rows = session.store.rows("SELECT * FROM users WHERE workspace_id = ? ORDER BY id", session.workspace_id)
    if session.user["role"] != "admin":
        rows = [r for r in rows if r["id"] == session.user["id"]]
    return frame(rows, id="int", name="str", email="str", role="str")


def notifications(*, unread: bool = False) -> pl.DataFrame:
    """Frame, newest first: id, at, kind, text, read_at, with a card in a notebook. One's own, also for admins."""
    session = current()
    rows = session.store.rows(
        "SELECT * FROM notifications WHERE owner_id = ? AND (read_at IS NULL OR ?) ORDER BY id DESC",
        session.user["id"],
        not unread,
    )
    for row in rows:
        row["at"] = row["created_at"]
    table = frame(rows, id="int", at="time", kind="str", text="str", read_at="time")
    new = sum(r["read_at"] is None for r in rows)
    shown = [(r["at"], str(r["kind"]).replace("_", " "), r["text"]) for r in rows[:50]]
    more = f"{len(rows) - 50:,} more are in the frame." if len(rows) > 50 else None
    empty = None if rows else "Nothing has happened yet."
    card = Card("Notices", f"{new:,} unread", [Table(["when", "what", ""], shown), Note(empty), Note(more)])
    return with_card(table, card.html())


@carried_call
def read_notification(notification_id: int) -> None:
    """Mark one as read."""
    session = current()
    if not session.store.write(
        "UPDATE notifications SET read_at = ? WHERE id = ? AND owner_id = ?",
        session.now(),
        notification_id,
        session.user["id"],
    ):
        raise NotFound("There is no such notification.")


def tasks() -> TaskList:
    """Open tasks, the soonest to skip themselves first."""
    return Task.list()


def sequences() -> pl.DataFrame:
    """`Sequence.list()`."""
    return Sequence.list()


def events(limit: int = 1000) -> pl.DataFrame:
    """Frame of what happened, newest first: at, kind, journey_id, detail."""
    from outreach_sdk.storage.fields import from_us

    session = current()
    rows = session.scope.find("events", tail=f"ORDER BY x.id DESC LIMIT {int(limit)}")
    for row in rows:
        row["at"] = from_us(row["at"])
    return frame(rows, at="time", kind="str", journey_id="int", detail="str")
