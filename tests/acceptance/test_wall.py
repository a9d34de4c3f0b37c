"""PostgreSQL's own wall: what a user's role reads by any SQL, and what it can't change."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import sql

import outreach_sdk as outreach
from outreach_sdk import (
    Mailbox,
    Sequence,
)
from outreach_sdk.errors import (
    AccessDenied,
    ConfigError,
    NotFound,
    NotReady,
    StorageError,
)
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage import wall
from outreach_sdk.storage.migrations import PARTS
from tests.acceptance.scenarios import address, colleague
from tests.acceptance.walls import behind, by_sql, carrying, two_users
from tests.harness import House

pytestmark = pytest.mark.rule(26)

SECRETS = (
    "p0@candidate0.example",
    "Adas plan",
    "Hello P0",
    "Let's talk",
    "Adas list",
    "ada@agency.example",
    "Adas words",
)
SHUT = {
    "ats_people",
    "calendar_entries",
    "credit_ledger",
    "erased",
    "erasing",
    "import_parts",
}
"""Tables that no user's role reads at all."""


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def world(house: House) -> Iterator[SimpleNamespace]:
    with two_users(house) as made:
        yield made


def every_table(house: House) -> list[str]:
    return [
        str(r["name"])
        for r in house.engine.store.rows(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname = 'public' "
            "UNION ALL SELECT schemaname || '.' || viewname FROM pg_views WHERE schemaname = 'notebook' ORDER BY 1"
        )
    ]


def test_every_table_is_behind_it() -> None:
    tables = {str(t._meta.table_name) for part in PARTS for t in part.TABLES} | {"schema_migrations"}
    assert set(wall.ROWS) | set(wall.VIEWS) | SHUT == tables
    assert not set(wall.ROWS) & set(wall.VIEWS)
    assert not SHUT & (set(wall.ROWS) | set(wall.VIEWS))


def test_no_sql_reads_what_is_somebody_elses(house: House, world: SimpleNamespace) -> None:
    read, shut = {}, set()
    with by_sql(world.bea) as link:
        for table in every_table(house):
            try:
                read[table] = link.execute(f"SELECT * FROM {table}").fetchall()
            except psycopg.errors.InsufficientPrivilege:
                shut.add(table)
        told = json.dumps(read, default=str)
        assert [s for s in SECRETS if s in told] == []
        assert shut == {f"public.{t}" for t in SHUT | set(wall.VIEWS)}
        for table in (
            "sequences",
            "journeys",
            "outbox",
            "inbound",
            "candidates",
            "candidate_emails",
            "events",
            "deliveries",
        ):
            assert read[f"public.{table}"] == [], table
        for question in (
            "SELECT string_agg(subject, ',') FROM public.outbox",
            "SELECT count(*) FROM public.journeys WHERE email LIKE 'p0%'",
            "SELECT * FROM notebook.mailboxes WHERE id IS NOT NULL OR TRUE",
            "WITH x AS MATERIALIZED (SELECT * FROM candidates) SELECT * FROM x",
            "SELECT query FROM pg_stat_activity",
            "SELECT * FROM pg_stats WHERE schemaname = 'public' AND tablename = 'candidate_emails'",
        ):
            found = json.dumps(link.execute(question).fetchall(), default=str)
            assert [s for s in SECRETS if s in found] == [], question
    users = world.bea.store.rows("SELECT * FROM users ORDER BY id")
    assert [(u["name"], u["api_key_hash"], u["email"]) for u in users] == [
        ("ada", None, None),
        ("bea", None, "bea@agency.example"),
    ]


def test_the_same_sql_reads_all_where_the_wall_is_taken_down(house: House, world: SimpleNamespace) -> None:
    """That the test above can fail."""
    for table in ("outbox", "candidate_emails", "sequences"):
        house.engine.store.write(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    with by_sql(world.bea) as link:
        told = json.dumps(
            [link.execute(f"SELECT * FROM public.{t}").fetchall() for t in ("outbox", "sequences")],
            default=str,
        )
    assert "Adas plan" in told
    assert "Hello P0" in told


def test_no_sql_changes_anything_but_to_ask(house: House, world: SimpleNamespace) -> None:
    ada, bea = world.ada.user["id"], world.bea.user["id"]
    tables = [t for t in every_table(house) if t != "public.requests"]
    tries = [
        f"{verb} {t}" for t in tables for verb in ("DELETE FROM", "TRUNCATE", "DROP TABLE", "ALTER TABLE")
    ]
    tries = [t + " DISABLE ROW LEVEL SECURITY" if t.startswith("ALTER") else t for t in tries]
    tries += [f"INSERT INTO {t} DEFAULT VALUES" for t in tables]
    asked = (
        "INSERT INTO requests (workspace_id, owner_id, call, state, created_at) VALUES (1, {}, 'x', '{}', 0)"
    )
    tries += [
        asked.format(ada, "asked"),
        asked.format(bea, "done"),
        "INSERT INTO requests (workspace_id, owner_id, call, state, created_at, result) VALUES (1, 2, 'x', 'asked', 0, '1')",
        "UPDATE requests SET state = 'done'",
        "UPDATE requests SET payload = '[]'",
        "DELETE FROM requests",
        "CREATE TABLE public.mine (id int)",
        "CREATE VIEW notebook.mine AS SELECT 1",
        "CREATE OR REPLACE FUNCTION notebook.me() RETURNS bigint LANGUAGE sql AS $$ SELECT 1::bigint $$",
        "CREATE ROLE mine",
        "SET SESSION AUTHORIZATION postgres",
        "SET ROLE postgres",
        f"ALTER ROLE {wall._group(house.engine.store)} BYPASSRLS",
        "SET row_security = off; SELECT * FROM public.outbox",
        "COPY public.outbox TO PROGRAM 'cat'",
        "SELECT lo_import('/etc/passwd')",
    ]
    before = {t: house.engine.store.rows(f"SELECT * FROM {t}") for t in every_table(house)}
    with by_sql(world.bea) as link:
        for statement in tries:
            try:
                changed = link.execute(sql.SQL(statement)).rowcount  # type: ignore[arg-type]
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.WrongObjectType):
                continue
            except psycopg.errors.ObjectNotInPrerequisiteState:  # INSERT into a view
                continue
            if not (statement.startswith("UPDATE") and changed == 0):
                pytest.fail(statement)
    assert {t: house.engine.store.rows(f"SELECT * FROM {t}") for t in every_table(house)} == before


def test_what_a_link_in_a_preview_shows_opens_nothing(house: House, world: SimpleNamespace) -> None:
    assert len(house.engine.store.value("SELECT COALESCE(link_key, '') FROM installation")) in (0, 64)
    assert world.bea.store.value("SELECT link_key FROM installation") == "0" * 64
    with pytest.raises(StorageError, match="doesn't let you"):
        world.bea.store.write("UPDATE installation SET armed = FALSE")
    sessions.use(world.bea)
    seq = Sequence.create("Beas", mailbox=Mailbox.connect_local("bea@agency.example"), timezone="UTC")
    seq.add_email("Hi", "Book: {{ booking_link }}")
    Workspace(world.bea).set_mine(booking_url="https://book.example/bea")
    seq.enroll(house.people(1, start=30))
    assert "https://book.example/bea?" in seq.editor().seen.value


def test_nobody_passes_for_somebody_else(house: House, world: SimpleNamespace) -> None:
    """Neither by a search path of one's own nor by another role of the same kind."""
    mine = f"SELECT notebook.me() = {world.bea.user['id']}"
    with by_sql(world.bea) as link:
        for trick in (
            "SET search_path = pg_temp, public",
            "CREATE TEMP TABLE users AS SELECT 1 AS id, session_user::text AS db_role, 1 AS workspace_id",
            f"SET ROLE {wall._group(house.engine.store)}",
        ):
            link.execute(sql.SQL(trick))  # type: ignore[arg-type]
            assert link.execute(mine).fetchone() == (True,), trick
            assert link.execute("SELECT COUNT(*) FROM public.sequences").fetchone() == (0,), trick


@pytest.mark.rule(5)
def test_taking_access_away_holds_for_sql_too(house: House, world: SimpleNamespace) -> None:
    sessions.use(world.bea)
    Sequence.create("Beas", timezone="UTC")
    Workspace(world.ada).give_access("bea", False)
    with pytest.raises(AccessDenied, match="Ask ada"):
        Sequence.list()
    with by_sql(world.bea) as link:
        assert link.execute("SELECT COUNT(*) FROM sequences").fetchone() == (0,)
    Workspace(world.ada).give_access("bea")
    assert Sequence.list()["name"].to_list() == ["Beas"]


def test_what_is_shared_is_read_and_an_admins_role_reads_the_workspace(
    house: House, world: SimpleNamespace
) -> None:
    world.seq.share("bea")
    sessions.use(world.bea)
    assert Sequence.list()["name"].to_list() == ["Adas plan"]
    assert Sequence.get("Adas plan").journey(address(0)).messages.height == 2
    with by_sql(world.bea) as link:
        assert link.execute("SELECT COUNT(*) FROM outbox").fetchone() == (2,)
    admin = behind(house, "ada")
    sessions.use(admin)
    assert set(Sequence.list()["name"]) == {"Adas plan"}
    with pytest.raises(NotReady):
        Workspace(admin).database_role("bea")
    admin.engine.store.close()


def test_a_role_that_is_taken_away_ends_at_once(house: House, world: SimpleNamespace) -> None:
    link = by_sql(world.bea)
    assert Workspace(world.ada).database_role("bea", on=False) == {"user": "bea"}
    with pytest.raises(psycopg.OperationalError):
        link.execute("SELECT 1")
    link.close()
    with pytest.raises(psycopg.OperationalError):
        by_sql(world.bea)
    with pytest.raises(NotFound, match="no role"):
        Workspace(world.ada).database_role("bea", on=False)
    sessions.use(world.ada)
    assert set(outreach.events()["kind"]) >= {"database_role_given", "database_role_taken"}


def test_a_role_forgotten_by_the_database_reads_nothing(house: House, world: SimpleNamespace) -> None:
    """As after a restore to the day before it was made; and one that its group forgot, as after a renaming."""
    store, role = house.engine.store, world.bea.user["db_role"]
    world.seq.share("bea")
    with by_sql(world.bea) as link:
        assert link.execute("SELECT COUNT(*) FROM public.sequences").fetchone() == (1,)
        store.write("UPDATE users SET db_role = NULL")
        assert link.execute("SELECT COUNT(*) FROM public.sequences").fetchone() == (0,)
        store.write("UPDATE users SET db_role = ? WHERE name = 'bea'", role)
        store.write(f'REVOKE "{wall._group(store)}" FROM "{role}"')
        store.write(f'GRANT SELECT ON sequences TO "{role}"')
        assert link.execute("SELECT COUNT(*) FROM public.sequences").fetchone() == (0,)
        store.write(f'GRANT "{wall._group(store)}" TO "{role}"')
        store.write(f'REVOKE SELECT ON sequences FROM "{role}"')


def test_the_tables_owner_need_be_no_superuser(postgres_server: str, tmp_path: Path) -> None:
    """As a hosted PostgreSQL gives it: one who owns the tables and may make roles, and one who may not."""
    for may, told in (("CREATEROLE", None), ("NOCREATEROLE", "CREATEROLE")):
        owner = f"owner_{may.lower()}_{os.getpid()}"
        name = f"{owner}_db"
        with psycopg.connect(postgres_server, autocommit=True) as link:
            link.execute(sql.SQL(f"CREATE ROLE {owner} LOGIN {may}"))  # type: ignore[arg-type]
            link.execute(sql.SQL(f"CREATE DATABASE {name} OWNER {owner}"))  # type: ignore[arg-type]
        url = re.sub(r"//[^@/]*@", f"//{owner}:x@", postgres_server).replace("/postgres?", f"/{name}?")
        house = House(tmp_path / may, url)
        colleague(house, "bea", key="bea")
        try:
            if told is not None:
                with pytest.raises(ConfigError, match=told):
                    Workspace(house.session).database_role("bea")
                continue
            first = behind(house, "bea")
            again = behind(house, "bea")
            with carrying(house):
                sessions.use(again)
                Sequence.create("Beas", timezone="UTC")
                assert Sequence.list()["name"].to_list() == ["Beas"]
            with by_sql(again) as link:
                assert link.execute("SELECT COUNT(*) FROM public.sequences").fetchone() == (1,)
                Workspace(house.session).database_role("bea", on=False)
                with pytest.raises(psycopg.OperationalError):
                    link.execute("SELECT 1")
            first.engine.store.close()
            again.engine.store.close()
        finally:
            sessions.use(house.session)
            house.close()
            with psycopg.connect(postgres_server, autocommit=True) as link:
                link.execute(sql.SQL(f"DROP DATABASE {name} WITH (FORCE)"))  # type: ignore[arg-type]


def test_another_role_that_was_given_a_table_goes_on_as_before(house: House, world: SimpleNamespace) -> None:
    store = house.engine.store
    name = f"report_{os.getpid()}_{store.value('SELECT current_database()')}"
    store.write(f'CREATE ROLE "{name}" LOGIN')
    store.write(f'GRANT SELECT ON sequences TO "{name}"')
    try:
        with psycopg.connect(re.sub(r"//[^@/]*@", f"//{name}:x@", house.url), autocommit=True) as link:
            assert link.execute("SELECT COUNT(*) FROM sequences").fetchone() == (1,)
    finally:
        store.write(f'DROP OWNED BY "{name}"')
        store.write(f'DROP ROLE "{name}"')


def test_only_postgresql_has_it(tmp_path: Path) -> None:
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'o.db'}")
    with pytest.raises(ConfigError, match="PostgreSQL"):
        Workspace(house.session).database_role(house.session.user["name"])
    house.close()
