"""PostgreSQL's own wall: what a user's role reads by any SQL, what it can't change, and what workers do for it."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import psycopg
import pytest
from psycopg import sql

import outreach_sdk as outreach
from outreach_sdk import (
    Candidate,
    Enrichment,
    Later,
    Mailbox,
    Message,
    SendingWindow,
    Sequence,
    Shortlist,
    Task,
    runtime,
)
from outreach_sdk.engine import dispatch, imports, sync
from outreach_sdk.errors import (
    AccessDenied,
    ConfigError,
    EngineError,
    InvalidInput,
    NotFound,
    NotReady,
    OutreachError,
    StorageError,
    TaskChanged,
    TransitionRefused,
)
from outreach_sdk.objects import carrying as carriers
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.carrying import CALLS, carry_out
from outreach_sdk.objects.packing import pack
from outreach_sdk.objects.session import Session
from outreach_sdk.objects.workspace import Workspace, read_notification
from outreach_sdk.storage import requests, wall
from outreach_sdk.storage.migrations import PARTS
from tests.acceptance.scenarios import NoWake, address, colleague, provider_of
from tests.acceptance.walls import behind, carrying
from tests.harness import ROOT, House, wait_until

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
    """Ada, who has everything, and bea, whose notebook is behind the wall."""
    colleague(house, "bea", key="bea")
    box = house.hostile()
    seq = Sequence.create("Adas plan", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Adas words")
    seq.add_phone("Call {{ first_name }}")
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    first = next(a for a in provider_of(house).ledger() if address(0) in a.recipients)
    provider_of(house).deliver_reply(first, "Let's talk.")
    sync.poll_mailbox(house.engine, box.id)
    dispatch.tick(house.engine, NoWake())
    shortlist = Shortlist.create("Adas list")
    shortlist.add(house.people(1))
    Enrichment.run([Candidate.get(address(1))], wait=False)
    Candidate.get(address(0)).record_interview(dt.datetime.now(dt.UTC) + dt.timedelta(days=9))
    Workspace(house.session).snippet("mine", "Adas words")
    bea = behind(house, "bea")
    ada = house.session
    with carrying(house):
        yield SimpleNamespace(ada=ada, bea=bea, seq=seq, box=box, list=shortlist)
    sessions.use(ada)
    bea.engine.store.close()


def every_table(house: House) -> list[str]:
    return [
        str(r["name"])
        for r in house.engine.store.rows(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname = 'public' "
            "UNION ALL SELECT schemaname || '.' || viewname FROM pg_views WHERE schemaname = 'notebook' ORDER BY 1"
        )
    ]


def by_sql(session: Session) -> psycopg.Connection[Any]:
    return psycopg.connect(session.settings.database_url, autocommit=True)


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


def put(link: psycopg.Connection[Any], world: SimpleNamespace, call: str, payload: str) -> int:
    row = link.execute(
        "INSERT INTO requests (workspace_id, owner_id, call, payload, state, created_at) VALUES (%s, %s, %s, %s, 'asked', "
        "(EXTRACT(EPOCH FROM now()) * 1e6)::bigint) "
        "RETURNING id",
        (world.bea.workspace_id, world.bea.user["id"], call, payload),
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_forged_requests_reach_nothing(house: House, world: SimpleNamespace) -> None:
    seq = {"$": "Sequence", "id": world.seq.id}
    forged = {
        "os.system": [None, ["true"], {}],
        "Sequence._row": [seq, [], {}],
        "Sequence.__init__": [seq, [], {}],
        "Sequence.deactivate": [seq, [], {}],
        "Journey.cancel": [{"$": "Journey", "id": 1}, [], {}],
        "Mailbox.disconnect": [{"$": "Mailbox", "id": world.box.id}, [], {}],
        "Workspace.give_access": [{"$": "Workspace"}, ["bea"], {}],
        "Workspace.database_role": [{"$": "Workspace"}, ["ada"], {}],
        "Sequence.activate": [{"$": "Workspace"}, [], {}],
        "Sequence.share": [seq, ["bea"], {}],
        "Sequence.create": [{"$": "Popen", "id": "true"}, [], {}],
        "Sequence.move_step": ["text", [], {}],
        "Task.done": [{"$": "Task", "id": 1, "read": [None, None]}, [], {}],
    }
    with by_sql(world.bea) as link:
        ids = {put(link, world, call, json.dumps(payload)): call for call, payload in forged.items()}
        ids[put(link, world, "Sequence.activate", "{not json")] = "not JSON"

        def ends() -> dict[str, str]:
            rows = link.execute("SELECT id, state FROM requests").fetchall()
            return {ids[i]: state for i, state in rows if i in ids}

        wait_until(lambda: not {"asked", "running"} & set(ends().values()))
        assert set(ends().values()) == {"failed"}, ends()
    assert world.seq.status == "active"
    assert world.seq.journey(address(1)).status == "active"
    assert house.engine.store.value("SELECT status FROM mailboxes WHERE id = ?", world.box.id) == "connected"
    assert house.engine.store.value("SELECT COUNT(*) FROM sequence_shares") == 0


def test_a_whole_sequence_runs_for_a_notebook_behind_it(
    house: House, world: SimpleNamespace, tmp_path: Path
) -> None:
    sessions.use(world.ada)
    world.box.allow("bea")
    sessions.use(world.bea)
    box = Mailbox.get("ada@agency.example")
    seq = Sequence.create("Beas", mailbox=box, timezone="Europe/Madrid")
    step = seq.add_email("Hi {{ first_name }}", "Hello {{ first_name }}", when=Later(seconds=0))
    assert (int(step), step.kind, step.subject) == (1, "email", "Hi {{ first_name }}")
    seq.add_email(body="Just checking", when=Later(days=2), manual=True, skip_after=dt.timedelta(days=5))
    seq.name, seq.window = "Beas plan", SendingWindow("00:00", "23:59")
    seq.review = True
    assert seq.window == SendingWindow("00:00", "23:59")
    frame = pl.DataFrame(house.people(3, start=10))
    assert seq.enroll(frame, dry_run=True).enrolled == 3
    assert seq.candidates().height == 0
    report = seq.enroll(frame)
    assert (report.enrolled, report.rows["outcome"].to_list()) == (3, ["enrolled"] * 3)
    assert report.notice is not None
    assert seq.enroll(house.people(1), override=["contacted_by_colleague", "interview_ahead"]).enrolled == 1
    assert seq.preview(address(10))["subject"].to_list()[0] == "Hi P10"
    assert seq.activate() == 4
    drafts = seq.drafts()
    assert set(seq.approve(drafts)["outcome"]) == {"approved"}
    dispatch.drain_sends(house.engine, threads=2)
    sent = {min(a.recipients): a for a in provider_of(house).ledger() if a.subject.startswith("Hi ")}
    assert set(sent) == {address(n) for n in (0, 10, 11, 12)}
    provider_of(house).deliver_reply(sent[address(10)], "Sounds interesting, let's talk.")
    sync.poll_mailbox(house.engine, box.id)
    inbox = outreach.inbox()
    assert inbox["text"].to_list() == ["Sounds interesting, let's talk."]
    message = Message.get(inbox["id"][0])
    message.correct("question")
    assert message.judged["corrected_by"] == "bea"
    answer = message.reply("Tomorrow at nine?")
    assert answer.direction == "out"
    journey = seq.journey(address(11))
    journey.pause()
    assert (journey.status, journey.reason) == ("paused", "manual")
    journey.resume()
    with pytest.raises(TransitionRefused):
        seq.journey(address(10)).pause()
    with pytest.raises(NotFound):
        seq.share("nobody")
    seq.share("ada")
    assert seq.shared_with["user"].to_list() == ["ada"]
    assert "Beas plan" in seq._repr_html_()
    assert seq.stats()["sent"].sum() >= 4
    assert seq.export(tmp_path / "out.csv").read_text().count("\n") == 5
    notices = outreach.notifications()
    read_notification(notices["id"][0])
    assert outreach.notifications()["read_at"].null_count() == notices.height - 1
    Workspace(world.bea).set_mine(prefer="work")
    assert Workspace(world.bea).suppress(["x@y.example"]) == 1
    kept = house.engine.store.rows("SELECT * FROM requests")
    assert {r["payload"] for r in kept} == {None}
    assert {r["state"] for r in kept} == {"done", "failed"}


def test_files_and_long_runs_go_on_at_the_workers(
    house: House, world: SimpleNamespace, tmp_path: Path
) -> None:
    sessions.use(world.bea)
    seq = Sequence.create("Beas", mailbox=Mailbox.connect_local("bea@agency.example"), timezone="UTC")
    seq.add_email("Hi", "Hello")
    path = tmp_path / "people.csv"
    path.write_text("First Name;Email\n" + "".join(f"Q{n};q{n}@q.example\n" for n in range(50)))
    stop = threading.Event()

    def bulk() -> None:
        while not stop.wait(0.02):
            imports.drain_imports(house.engine)
        house.engine.store.idle()

    worker = threading.Thread(target=bulk)
    worker.start()
    try:
        report = seq.import_csv(path)
        assert (report.enrolled, report.done) == (50, True)
        assert seq.enroll(path).duplicates == 50
    finally:
        stop.set()
        worker.join()
    shortlist = Shortlist.create("Beas list")
    assert set(shortlist.add(path)["outcome"]) == {"added"}
    shortlist.link(seq, backfill=False)
    assert shortlist.links["sequence"].to_list() == ["Beas"]
    run = Enrichment.run(seq, fields=("phone",), wait=False)
    assert run.wait(timeout=0.1).status in ("running", "paused")
    assert Enrichment.credits().monthly == 0


def test_two_acting_on_one_task_are_told_also_from_behind_it(house: House, world: SimpleNamespace) -> None:
    sessions.use(world.bea)
    seq = Sequence.create("Beas", mailbox=Mailbox.connect_local("bea@agency.example"), timezone="UTC")
    seq.add_email("Hi", "Hello", manual=True)
    seq.enroll(house.people(1, start=20))
    seq.activate()
    dispatch.tick(house.engine, NoWake())
    one, other = Task.list()[0], Task.list()[0]
    one.edit(body="Call at nine")
    assert one.draft["body"] == "Call at nine"
    with pytest.raises(TaskChanged):
        other.edit(body="Call at ten")
    one.edit(body="Call at eight")
    one.skip()
    assert one.status == "skipped"
    with pytest.raises(TransitionRefused) as told:
        other.skip()
    assert vars(told.value)["by"] == "bea"


def test_no_file_of_the_engines_machine_is_read_or_written_for_a_notebook(
    house: House, world: SimpleNamespace, tmp_path: Path
) -> None:
    sessions.use(world.bea)
    seq = Sequence.create("Beas", timezone="UTC")
    path = tmp_path / "people.csv"
    path.write_text("First Name,Email,value\nQ,q@q.example,q.example\n")
    assert seq.enroll(str(path), dry_run=True).enrolled == 1, "one's own file goes with the call"
    assert Workspace(world.bea).suppress(str(path)) == 1
    me = {"$": "Sequence", "id": seq.id}
    plain = {"$": "dict", "items": [["paused", False], ["dry_run", True], ["enrich", False]]}
    forged = {
        "Sequence._enroll_rows": [me, [str(path), None, None, []], plain],
        "Sequence._hand_over": [
            me,
            [str(path), None, False, [], None, False, False],
            {"$": "dict", "items": []},
        ],
        "Workspace.suppress": [{"$": "Workspace"}, [str(path)], {"$": "dict", "items": []}],
        "Mailbox.connect_local": [
            None,
            ["x@x.example"],
            {"$": "dict", "items": [["root", str(tmp_path / "box")]]},
        ],
    }
    with by_sql(world.bea) as link:
        ids = [put(link, world, call, json.dumps(payload)) for call, payload in forged.items()]

        def ends() -> list[tuple[str, str]]:
            told = "SELECT state, result FROM requests WHERE id = ANY(%s) ORDER BY id"
            return [(str(r[0]), str(r[1])) for r in link.execute(told, (ids,)).fetchall()]

        wait_until(lambda: not {"asked", "running"} & {state for state, _ in ends()})
        assert [state for state, _ in ends()] == ["failed"] * 4, ends()
        assert "isn't read where the engine runs" in ends()[0][1]
        assert "isn't read where the engine runs" in ends()[1][1]
    assert not (tmp_path / "box").exists()
    with pytest.raises(InvalidInput, match="root"):
        Mailbox.connect_local("b@x.example", root=tmp_path / "box")


def test_errors_come_back_as_they_were(world: SimpleNamespace) -> None:
    sessions.use(world.bea)
    seq = Sequence.create("Beas", timezone="UTC")
    with pytest.raises(InvalidInput) as told:
        seq.edit_step(7, body="x")
    assert (told.value.field, told.value.value) == ("n", 7)
    with pytest.raises(TypeError, match="add_phone"):
        seq.add_phone()  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match="hand this to a worker"):
        seq.add_phone(object())  # type: ignore[arg-type]
    with pytest.raises(OutreachError) as refused:
        seq.activate()
    assert vars(refused.value)["problems"]


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


def test_what_a_killed_worker_had_is_never_done_twice_and_whoever_asked_is_told(house: House) -> None:
    colleague(house, "bea", key="bea")
    bea = behind(house, "bea")
    try:
        asked = requests.ask(
            bea.store, bea.user, "Sequence.create", pack([None, ["Once"], {"timezone": "UTC"}]), bea.now()
        )
        env = {**os.environ, **house.env, "OUTREACH_FAILPOINT": "request_done"}
        code = "from outreach_sdk import jobs; from outreach_sdk.config import Settings; "
        code += "from outreach_sdk.objects.carrying import carry_out; carry_out(jobs.shared_engine(), Settings.from_env())"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, timeout=300, check=False)
        assert done.returncode == -9
        store = house.engine.store
        assert store.value("SELECT state FROM requests WHERE id = ?", asked) == "running"
        assert store.value("SELECT COUNT(*) FROM sequences") == 1, "it was done, only nobody was told"
        store.write("UPDATE requests SET lease_until = ?", house.engine.now())
        assert requests.waiting(store, house.engine.now())
        assert carry_out(house.engine, house.settings) == 0
        assert store.value("SELECT COUNT(*) FROM sequences") == 1
        assert bea.store.one("SELECT state, payload FROM requests") == {"state": "lost", "payload": None}
        sessions.use(bea)
        store.write("UPDATE requests SET state = 'lost'")
    finally:
        bea.engine.store.close()
        sessions.use(house.session)


def test_without_a_worker_nothing_is_done_also_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    colleague(house, "bea", key="bea")
    bea = behind(house, "bea")
    monkeypatch.setattr(carriers, "PATIENCE", 0.2)
    monkeypatch.setenv("DATABASE_URL", bea.settings.database_url)
    sessions.use(bea)
    try:
        with pytest.raises(EngineError, match="outreach worker requests"):
            Sequence.create("Never", timezone="UTC")
        with pytest.raises(EngineError, match="elsewhere"):
            outreach.up()
        with pytest.raises(NotReady):
            sessions.add_user("cleo")
    finally:
        sessions.use(house.session)
    with by_sql(bea) as link:
        asked = "INSERT INTO requests (workspace_id, owner_id, call, state, created_at) VALUES (%s, %s, 'x', 'asked', 0)"
        link.execute(asked, (bea.workspace_id, bea.user["id"]))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            link.execute("UPDATE requests SET state = 'done'")
        assert link.execute("UPDATE requests SET state = 'withdrawn'").rowcount == 1
    assert carry_out(house.engine, house.settings) == 0
    assert house.engine.store.value("SELECT COUNT(*) FROM sequences") == 0
    assert requests.forget(house.engine.store, house.engine.now(), dt.timedelta(0)) == 2
    bea.engine.store.close()


@pytest.mark.rule(1)
def test_consent_is_given_by_link_and_its_secret_is_in_no_request(
    house: House, world: SimpleNamespace
) -> None:
    sessions.use(world.bea)
    object.__setattr__(world.bea.settings, "public_url", "https://outreach.example")
    said: list[str] = []
    with pytest.raises(NotReady, match="Nobody has opened"):
        Mailbox.connect_gmail(show=said.append, wait=0.1)
    secret = said[0].rpartition("link=")[2].strip()
    assert len(secret) > 30
    kept = json.dumps(house.engine.store.rows("SELECT * FROM requests"), default=str)
    assert secret not in kept
    assert world.bea.store.value("SELECT token_hash FROM connect_links") is None
    with pytest.raises(ConfigError):
        Mailbox.from_refresh_token(
            "gmail", "b@x.example", refresh_token="r", client_id="c", client_secret="s"
        )


def test_the_clock_and_a_worker_of_their_own_answer_within_moments(house: House) -> None:
    """The whole way: processes, Redis that the notebook doesn't know, a clock that looks for what was asked."""
    colleague(house, "bea", key="bea")
    bea = behind(house, "bea")
    command = (sys.executable, "-P", "-m", "tests.worker_main")
    children = [
        runtime.Child("requests", (*command, "worker", "requests")),
        runtime.Child("clock", (*command, "clock")),
    ]
    try:
        runtime.up(house.settings, children=children)
        wait_until(lambda: set(dispatch.alive(house.engine)) >= {"clock", "requests"})
        sessions.use(bea)
        seq = Sequence.create("Beas", timezone="UTC")
        for n in range(5):
            seq.add_phone(f"Call {n}")
        assert seq.steps.height == 5
        done = house.engine.store.rows("SELECT created_at, ended_at FROM requests ORDER BY id")
        took = [r["ended_at"] - r["created_at"] for r in done]
        assert len(took) == 6
        assert max(took) < dt.timedelta(seconds=30), took
        assert house.engine.store.value("SELECT COUNT(*) FROM heartbeats WHERE role = 'requests'") == 1
    finally:
        sessions.use(house.session)
        bea.engine.store.close()
        runtime.down(house.settings)


def test_what_nobody_began_in_time_or_was_stopped_is_not_done_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    colleague(house, "bea", key="bea")
    bea = behind(house, "bea")
    sessions.use(bea)
    call = ("Sequence.create", pack([None, ["Old"], {"timezone": "UTC"}]), bea.now() + dt.timedelta(days=9))
    requests.ask(bea.store, bea.user, *call)
    house.engine.now = lambda: dt.datetime.now(dt.UTC) + requests.STALE + dt.timedelta(seconds=5)
    assert carry_out(house.engine, house.settings) == 0, "its age is the database's word, not the notebook's"
    assert bea.store.value("SELECT state FROM requests") == "withdrawn"
    house.engine.now = lambda: dt.datetime.now(dt.UTC)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(carriers.time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Sequence.create("Stopped", timezone="UTC")
    sessions.use(house.session)
    assert carry_out(house.engine, house.settings) == 0
    assert house.engine.store.value("SELECT COUNT(*) FROM sequences") == 0
    bea.engine.store.close()


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


def test_a_long_call_of_one_holds_up_nobody_else(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    colleague(house, "bea", key="bea")
    colleague(house, "cleo", key="cleo")
    bea, cleo = behind(house, "bea"), behind(house, "cleo")
    going, goes_on = threading.Event(), threading.Event()
    slowly = CALLS["Sequence.create"]

    def create(cls: type, name: str, **more: Any) -> Any:
        if name == "Long":
            going.set()
            assert goes_on.wait(60)
        return slowly(cls, name, **more)

    monkeypatch.setitem(CALLS, "Sequence.create", create)
    try:
        requests.ask(
            bea.store, bea.user, "Sequence.create", pack([None, ["Long"], {"timezone": "UTC"}]), bea.now()
        )
        worker = threading.Thread(
            target=carry_out, args=(house.engine, house.settings), kwargs={"threads": 3}
        )
        worker.start()
        assert going.wait(60)
        sessions.use(cleo)
        assert Sequence.create("Quick", timezone="UTC").name == "Quick"
        assert Sequence.list()["name"].to_list() == ["Quick"]
        assert "Nothing can be changed from here" in Workspace(cleo).status()["notice"]
        goes_on.set()
        worker.join(60)
        assert bea.store.value("SELECT name FROM sequences") == "Long"
    finally:
        goes_on.set()
        sessions.use(house.session)
        bea.engine.store.close()
        cleo.engine.store.close()


def test_only_postgresql_has_it(tmp_path: Path) -> None:
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'o.db'}")
    with pytest.raises(ConfigError, match="PostgreSQL"):
        Workspace(house.session).database_role(house.session.user["name"])
    house.close()


def test_every_call_that_is_carried_out_is_a_public_one() -> None:
    assert {c for c in CALLS if "._" in c} == {
        "Enrichment._start",
        "Mailbox._link",
        "Sequence._enroll_rows",
        "Sequence._hand_over",
    }
