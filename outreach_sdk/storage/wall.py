"""The second wall: PostgreSQL's row-level security, with a role of its own for each user.

A notebook that connects as such a role reads its user's rows and nobody else's, whatever SQL it runs, and writes
nothing but requests (storage/requests.py). The tables' owner, as which web and workers connect, isn't touched by it.
https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from urllib.parse import urlsplit

from outreach_sdk.errors import ConfigError, NotReady, StorageError
from outreach_sdk.storage.store import Store

__all__ = ["ROWS", "VIEWS", "behind", "build", "drop_role", "make_role", "stands", "url_of"]

SCHEMA = "notebook"
"""Functions and views for those roles; first on their search path."""

HERE = "workspace_id = (SELECT notebook.workspace())"
ALL = "(SELECT notebook.admin())"
ME = "(SELECT notebook.me())"
ACCESS = "(SELECT notebook.access())"
OWN = f"{HERE} AND ({ALL} OR owner_id = {ME})"
ADMINS = f"{HERE} AND {ALL}"


def _of_sequence(sequence: str) -> str:
    """Rows of sequences one owns, or that were shared with one."""
    return f"{HERE} AND {ACCESS} AND ({ALL} OR owner_id = {ME} OR {sequence} IN (SELECT notebook.shared()))"


def _seen(table: str, column: str, via: str, key: str = "id") -> str:
    """Rows that belong to a row one sees of another table."""
    return f"EXISTS (SELECT 1 FROM {via} v WHERE v.{key} = {table}.{column})"


ROWS: dict[str, str] = {
    "ai_spend": HERE,
    "ats_polls": HERE,
    "booking_people": f"{HERE} AND ({ALL} OR {_seen('booking_people', 'candidate_id', 'candidates')})",
    "bookings": f"{HERE} AND ({ALL} OR {_seen('bookings', 'id', 'booking_people', 'booking_id')})",
    "calendars": OWN,
    "candidate_emails": f"{HERE} AND {_seen('candidate_emails', 'candidate_id', 'candidates')}",
    "candidate_phones": f"{HERE} AND {_seen('candidate_phones', 'candidate_id', 'candidates')}",
    "candidates": (
        f"{HERE} AND {ACCESS} AND ({ALL} OR owner_id = {ME} OR EXISTS (SELECT 1 FROM known_to k WHERE "
        f"k.candidate_id = candidates.id AND k.user_id = {ME}) OR EXISTS (SELECT 1 FROM journeys j WHERE "
        "j.candidate_id = candidates.id))"
    ),
    "contacted": OWN,
    "credit_accounts": HERE,
    "deliveries": ADMINS,
    "enrichment_asks": _seen("enrichment_asks", "run_id", "enrichment_runs"),
    "enrichment_gates": "TRUE",
    "enrichment_items": OWN,
    "enrichment_runs": OWN,
    "events": OWN,
    "grants": (
        f"{HERE} AND (user_id IS NULL OR user_id = {ME} OR {ALL} OR mailbox_id IN (SELECT notebook.own_mailboxes()))"
    ),
    "heartbeats": "TRUE",
    "hooks": ADMINS,
    "import_rows": _seen("import_rows", "import_id", "imports"),
    "imports": _of_sequence("sequence_id"),
    "inbound": f"{HERE} AND ({ALL} OR {_seen('inbound', 'journey_id', 'journeys')})",
    "journey_steps": f"{HERE} AND {_seen('journey_steps', 'journey_id', 'journeys')}",
    "journeys": _of_sequence("sequence_id"),
    "known_to": f"{HERE} AND ({ALL} OR user_id = {ME})",
    "notifications": f"{HERE} AND owner_id = {ME}",
    "outages": "TRUE",
    "outbox": f"{HERE} AND {_seen('outbox', 'journey_id', 'journeys')}",
    "passages": f"{HERE} AND {_seen('passages', 'step_id', 'steps')} AND {_seen('passages', 'candidate_id', 'candidates')}",
    "refusals": ALL,
    "requests": f"{HERE} AND owner_id = {ME}",
    "schema_migrations": "TRUE",
    "sequence_shares": (
        f"{HERE} AND (user_id = {ME} OR {ALL} OR sequence_id IN (SELECT notebook.own_sequences()))"
    ),
    "sequences": _of_sequence("id"),
    "shortlist_links": f"{HERE} AND {_seen('shortlist_links', 'shortlist_id', 'shortlists')}",
    "shortlist_members": f"{HERE} AND {_seen('shortlist_members', 'shortlist_id', 'shortlists')}",
    "shortlists": OWN,
    "snippets": f"{HERE} AND ({ALL} OR owner_id = {ME} OR shared)",
    "steps": _of_sequence("sequence_id"),
    "suppressions": HERE,
    "templates": HERE,
    "test_sends": OWN,
    "workspace": "id = (SELECT notebook.workspace())",
    "write_backs": f"{HERE} AND {_seen('write_backs', 'sequence_id', 'sequences')}",
}
"""Which rows a user's role reads, by table. A table that is in neither of these two isn't read at all: the ledger
and answers of colleagues' enrichment, bytes of files, digests of whoever was erased or is in process elsewhere."""

VIEWS: dict[str, tuple[str, dict[str, str]]] = {
    "connect_links": (
        f"{HERE} AND owner_id = {ME}",
        dict.fromkeys(("token_hash", "state_hash", "browser_hash", "memo"), "NULL"),
    ),
    # Links in a preview behind it lead nowhere: who held the real key could unsubscribe anybody.
    "installation": ("TRUE", {"identity": "NULL", "link_key": "repeat('0', 64)"}),
    "mailboxes": (
        f"{HERE} AND ({ALL} OR owner_id = {ME} OR EXISTS (SELECT 1 FROM {{tables}}.grants g WHERE g.mailbox_id = x.id "
        f"AND g.ended_at IS NULL AND (g.user_id IS NULL OR g.user_id = {ME})))",
        dict.fromkeys(("credentials", "revoking"), "NULL"),
    ),
    "users": (
        HERE,
        {
            "api_key_hash": "NULL",
            "slack_url": f"CASE WHEN id = {ME} THEN slack_url END",
            **{
                c: f"CASE WHEN id = {ME} OR {ALL} THEN {c} END"
                for c in ("email", "booking_url", "prefer", "tell", "tell_at", "tell_zone", "db_role")
            },
        },
    ),
    "watches": (
        f"{HERE} AND mailbox_id IN (SELECT id FROM {{tables}}.mailboxes WHERE owner_id = {ME} OR {ALL})",
        {"secret_hash": "NULL"},
    ),
}
"""Tables with columns that no notebook may read, as views: which rows (the table is `x`), and what stands in for
those columns."""

_ASKING = "FROM users u WHERE u.db_role = session_user"

_FUNCTIONS = {
    "walled": ("boolean", f"SELECT EXISTS (SELECT 1 {_ASKING})"),
    "me": ("bigint", f"SELECT u.id {_ASKING}"),
    "workspace": ("bigint", f"SELECT u.workspace_id {_ASKING}"),
    "admin": ("boolean", f"SELECT COALESCE((SELECT u.role = 'admin' {_ASKING}), FALSE)"),
    "access": (
        "boolean",
        "SELECT COALESCE((SELECT u.sequences_access AND COALESCE((SELECT (w.settings::json->>'sequences')::boolean FROM "
        f"workspace w WHERE w.id = u.workspace_id), TRUE) {_ASKING}), FALSE)",
    ),
    "shared": (
        "SETOF bigint",
        f"SELECT s.sequence_id FROM sequence_shares s WHERE s.user_id IN (SELECT u.id {_ASKING})",
    ),
    "own_sequences": (
        "SETOF bigint",
        f"SELECT s.id FROM sequences s WHERE s.owner_id IN (SELECT u.id {_ASKING})",
    ),
    "own_mailboxes": (
        "SETOF bigint",
        f"SELECT m.id FROM mailboxes m WHERE m.owner_id IN (SELECT u.id {_ASKING})",
    ),
}
"""Who is asking, by the role they signed in as: SET ROLE doesn't change that."""


def behind(store: Store) -> bool:
    """Whether this connection is a user's role, behind the wall."""
    if store.dialect != "postgresql":
        return False
    return bool(store.value("SELECT 1 FROM users WHERE db_role = session_user"))


def stands(store: Store) -> bool:
    """Whether it was ever built here."""
    return store.dialect == "postgresql" and bool(
        store.value("SELECT 1 FROM pg_namespace WHERE nspname = ?", SCHEMA)
    )


def build(store: Store) -> None:
    """Build it, or bring it up to date: after this no role of a user's sees what isn't theirs. Idempotent."""
    tables = f'"{store.value("SELECT current_schema()")}"'
    group = _group(store)
    with store.tx():
        store.claim_lock()
        if not store.value("SELECT 1 FROM pg_roles WHERE rolname = ?", group):
            store.write(f'CREATE ROLE "{group}" NOLOGIN')
        store.write(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        store.write(f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC")
        store.write(f"GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC")  # for notebook.walled() alone
        store.write(f"REVOKE CREATE ON SCHEMA {tables} FROM PUBLIC")
        store.write(f'GRANT CONNECT ON DATABASE "{store.value("SELECT current_database()")}" TO "{group}"')
        store.write(f'GRANT USAGE ON SCHEMA {SCHEMA}, {tables} TO "{group}"')
        for name, (gives, body) in _FUNCTIONS.items():
            store.write(
                f"CREATE OR REPLACE FUNCTION {SCHEMA}.{name}() RETURNS {gives} LANGUAGE sql STABLE SECURITY DEFINER "
                f"SET search_path = {tables}, pg_temp AS $$ {body} $$"
            )
        store.write(f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {SCHEMA} FROM PUBLIC")
        store.write(f"GRANT EXECUTE ON FUNCTION {SCHEMA}.walled() TO PUBLIC")
        store.write(f'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO "{group}"')
        store.write(f'REVOKE ALL ON ALL TABLES IN SCHEMA {tables} FROM "{group}"')
        for name in _all_tables(store):
            store.write(f"ALTER TABLE {tables}.{name} ENABLE ROW LEVEL SECURITY")
            for policy in ("notebook_read", "notebook_ask", "notebook_withdraw", "others"):
                store.write(f"DROP POLICY IF EXISTS {policy} ON {tables}.{name}")
            # Any other role that was given a table by hand goes on as before. A user's role is told by its group and by
            # its name in `users`: a database that was renamed, or restored to an earlier day, knows only one of them.
            outside = f"NOT pg_has_role('{group}', 'member') AND NOT (SELECT {SCHEMA}.walled())"
            store.write(f"CREATE POLICY others ON {tables}.{name} USING ({outside})")
            if name in ROWS:
                store.write(
                    f'CREATE POLICY notebook_read ON {tables}.{name} FOR SELECT TO "{group}" USING ({ROWS[name]})'
                )
                store.write(f'GRANT SELECT ON {tables}.{name} TO "{group}"')
        for name, (where, instead) in VIEWS.items():
            _view(store, tables, group, name, where.format(tables=tables), instead)
        own, on = f"{HERE} AND owner_id = {ME} AND state =", f"ON {tables}.requests FOR"
        store.write(f"CREATE POLICY notebook_ask {on} INSERT TO \"{group}\" WITH CHECK ({own} 'asked')")
        store.write(
            f"CREATE POLICY notebook_withdraw {on} UPDATE TO \"{group}\" USING ({own} 'asked') "
            f"WITH CHECK ({own} 'withdrawn')"
        )
        asked = "workspace_id, owner_id, call, payload, state, created_at"
        store.write(f'GRANT INSERT ({asked}), UPDATE (state) ON {tables}.requests TO "{group}"')
        store.write(f'GRANT USAGE ON SEQUENCE {tables}.requests_id_seq TO "{group}"')


def _view(store: Store, tables: str, group: str, name: str, where: str, instead: dict[str, str]) -> None:
    columns = [
        (str(r["column_name"]), str(r["data_type"]))
        for r in store.rows(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema() AND "
            "table_name = ? ORDER BY ordinal_position",
            name,
        )
    ]
    shown = ", ".join(
        f"CAST({instead[column]} AS {kind}) AS {column}" if column in instead else f"x.{column}"
        for column, kind in columns
    )
    store.write(f"DROP VIEW IF EXISTS {SCHEMA}.{name}")
    store.write(
        f"CREATE VIEW {SCHEMA}.{name} WITH (security_barrier) AS SELECT {shown} FROM {tables}.{name} x WHERE {where}"
    )
    store.write(f'GRANT SELECT ON {SCHEMA}.{name} TO "{group}"')


def make_role(store: Store, user_id: int) -> tuple[str, str]:
    """A role for this user, and a new password for it: (name, password). Whoever had the old one is out.
    ConfigError where the database doesn't let this connection make roles."""
    if store.dialect != "postgresql":
        raise ConfigError(
            "DATABASE_URL: only PostgreSQL has roles. An embedded home is its owner's, by its files' modes."
        )
    if behind(store):
        raise NotReady("Roles are made where the engine runs, not from a notebook behind the wall.")
    may = store.value(
        "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user",
    )
    if not may:
        raise ConfigError(
            f"DATABASE_URL: {store.value('SELECT current_user')} may not make roles. Let your database's administrator "
            "run: ALTER ROLE … CREATEROLE."
        )
    build(store)
    group, password = _group(store), secrets.token_urlsafe(24)
    name = f"{group}_{user_id}"
    with store.tx():
        # What the server is told, and may log, is a verifier that nobody signs in with (RFC 5803).
        held = (
            store.connection()
            .pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
            .decode()
        )
        there = store.one("SELECT rolsuper OR rolbypassrls AS above FROM pg_roles WHERE rolname = ?", name)
        if there is not None and there["above"]:
            raise ConfigError(
                f"The role {name} is there already, and is above every wall: drop or rename it."
            )
        # What a new role may not do is PostgreSQL's default; saying so takes a superuser.
        verb = "ALTER" if there else "CREATE"
        store.write(f"{verb} ROLE \"{name}\" LOGIN INHERIT CONNECTION LIMIT 20 PASSWORD '{held}'")
        store.write(f'GRANT "{group}" TO "{name}"')
        schema, database = store.value("SELECT current_schema()"), store.value("SELECT current_database()")
        store.write(
            f'ALTER ROLE "{name}" IN DATABASE "{database}" SET search_path = {SCHEMA}, "{schema}", pg_temp'
        )
        store.write("UPDATE users SET db_role = ? WHERE id = ?", name, user_id)
    return name, password


def url_of(url: str, role: str, password: str) -> str:
    """The same database's address, as this role."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


def drop_role(store: Store, user_id: int) -> bool:
    """Take a user's role away, and end its connections; False where there was none."""
    name = store.value("SELECT db_role FROM users WHERE id = ?", user_id)
    if not name:
        return False
    with store.tx():
        store.write("UPDATE users SET db_role = NULL WHERE id = ?", user_id)
        if store.value("SELECT 1 FROM pg_roles WHERE rolname = ?", name):
            store.write(f'ALTER ROLE "{name}" NOLOGIN')
    with suppress(
        StorageError
    ):  # whose members alone may end its connections; without that they read nothing more
        store.write(f'GRANT "{name}" TO CURRENT_USER')
        store.value("SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = ?", name)
    if store.value("SELECT 1 FROM pg_roles WHERE rolname = ?", name):
        store.write(f'DROP ROLE "{name}"')
    return True


def _group(store: Store) -> str:
    """All users' roles of this database are in it. Roles are the server's, so it is called after the database."""
    database = re.sub(r"[^a-z0-9_]", "_", str(store.value("SELECT current_database()")).lower())
    return f"{database[:40]}_notebook"


def _all_tables(store: Store) -> list[str]:
    return [
        str(r["tablename"])
        for r in store.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    ]
