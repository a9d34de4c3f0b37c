"""What workers carry out for notebooks behind PostgreSQL's own wall."""

from __future__ import annotations

import datetime as dt
import json
import os
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

import outreach_sdk as outreach
from outreach_sdk import (
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
    ConfigError,
    EngineError,
    InvalidInput,
    NotFound,
    NotReady,
    OutreachError,
    TaskChanged,
    TransitionRefused,
)
from outreach_sdk.objects import carrying as carriers
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.carrying import CALLS, carry_out
from outreach_sdk.objects.packing import pack
from outreach_sdk.objects.workspace import Workspace, read_notification
from outreach_sdk.storage import requests
from tests.acceptance.scenarios import NoWake, address, colleague, provider_of
from tests.acceptance.walls import behind, by_sql, two_users
from tests.harness import ROOT, House, wait_until

pytestmark = pytest.mark.rule(26)


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def world(house: House) -> Iterator[SimpleNamespace]:
    with two_users(house) as made:
        yield made


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
        "Sequence._import_file": [
            me,
            [str(path), None, False, [], None],
            {"$": "dict", "items": [["wait", False]]},
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


def test_every_call_that_is_carried_out_is_a_public_one() -> None:
    assert {c for c in CALLS if "._" in c} == {
        "Enrichment._start",
        "Mailbox._link",
        "Sequence._enroll_rows",
        "Sequence._import_file",
    }
