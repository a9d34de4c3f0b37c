"""What whoever runs this expects: copies disarmed, notices mailed once, lost databases said, keys checked."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from rich.console import Console

from outreach_sdk import runtime
from outreach_sdk.cli import main
from outreach_sdk.config import Secret, Settings
from outreach_sdk.demo import look_further, whole
from outreach_sdk.domain.sequence import SpecificTime
from outreach_sdk.engine import dispatch
from outreach_sdk.engine.identity import check_identity, note_seen
from outreach_sdk.engine.queues import Queues
from outreach_sdk.errors import (
    ConfigError,
    DatabaseUnavailable,
    HeaderInjection,
    ImportRefused,
    NaiveDatetime,
    NotFound,
    OutreachError,
    TemplateError,
)
from outreach_sdk.jobs import Beating
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import key_hash, local_zone, open_session, use
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage.store import open_store
from outreach_sdk.wiring import Vault, open_engine
from tests.harness import ROOT, SECRET_KEY, House, wait_until


# -- copies and restored backups ---------------------------------------------------------------
@pytest.mark.rule(14)
@pytest.mark.failure("outage or restored database fires long-past sends at once")
@pytest.mark.parametrize("had_run", [True, False])
def test_a_copied_database_starts_disarmed_says_so_and_sends_after_arming(
    plain: House, tmp_path: Path, had_run: bool
) -> None:
    box = plain.local()
    seq = plain.two_steps(box)
    seq.enroll(plain.people(2))
    seq.activate()
    if had_run:
        assert check_identity(plain.engine, plain.home) is None
    plain.engine.store.close()
    copy = tmp_path / "copy"
    shutil.copytree(plain.home, copy)
    other = open_engine(Settings.from_env({**plain.env, "DATABASE_URL": f"sqlite:///{copy / 'db.sqlite'}"}))
    why = check_identity(other, copy)
    assert why is not None
    assert "copy" in why
    assert dispatch.drain_sends(other, threads=2) == {}
    session = use(open_session(Settings.from_env({**plain.env, "DATABASE_URL": other.store.url})))
    assert "copy" in (Sequence(seq.id, session).notice or "")
    Workspace(session).arm()
    assert check_identity(other, copy) is None
    assert dispatch.drain_sends(other, threads=2)["sent"] >= 2
    other.store.close()
    session.store.close()


@pytest.mark.rule(14)
def test_a_worker_of_a_copy_sends_nothing_though_no_clock_has_looked_yet(
    plain: House, tmp_path: Path
) -> None:
    seq = plain.two_steps(plain.local())
    seq.enroll(plain.people(2))
    seq.activate()
    assert check_identity(plain.engine, plain.home) is None
    plain.engine.store.close()
    copy = tmp_path / "copy"
    shutil.copytree(plain.home, copy)
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
    env |= {**plain.env, "DATABASE_URL": f"sqlite:///{copy / 'db.sqlite'}", "OUTREACH_HOME": str(copy)}
    job = "from outreach_sdk import jobs; print(sum(jobs.drain_sends().values()))"
    done = subprocess.run([sys.executable, "-c", job], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr
    assert sorted(p.name for p in (copy / "mail").rglob("*:2,S")) == []
    # Where it was made it goes on sending.
    env |= {"DATABASE_URL": plain.url, "OUTREACH_HOME": str(plain.home)}
    done = subprocess.run([sys.executable, "-c", job], cwd=ROOT, env=env, capture_output=True, text=True)
    assert int(done.stdout) >= 2, done.stderr


@pytest.mark.failure("outage or restored database fires long-past sends at once")
@pytest.mark.rule(14)
def test_a_rolled_back_database_starts_disarmed(plain: House) -> None:
    assert check_identity(plain.engine, plain.home) is None
    dispatch.start_clock(plain.engine)
    note_seen(plain.engine, plain.home)
    assert check_identity(plain.engine, plain.home) is None
    old = plain.engine.now() - dt.timedelta(hours=5)
    plain.engine.store.write("UPDATE installation SET clock_seen_at = ?", old)
    assert "rolled back" in (check_identity(plain.engine, plain.home) or "")
    assert "rolled back" in (check_identity(plain.engine, plain.home) or ""), "until somebody arms it"


@pytest.mark.rule(14)
def test_a_clock_killed_before_its_first_tick_leaves_a_database_that_sends(plain: House) -> None:
    assert check_identity(plain.engine, plain.home) is None
    note_seen(plain.engine, plain.home)  # and here it is killed: the database knows of no clock yet
    assert check_identity(plain.engine, plain.home) is None
    dispatch.start_clock(plain.engine)
    plain.engine.store.write(
        "UPDATE installation SET clock_seen_at = ?", plain.engine.now() - dt.timedelta(hours=5)
    )
    note_seen(plain.engine, plain.home)  # killed again, before the tick after an outage
    assert check_identity(plain.engine, plain.home) is None


OF_USERS = ("status --json", "sequence list", "user list", "status", "doctor", "up", "user add ana", "clock")
EVERYDAY = (*OF_USERS, "clock --once", "worker send", "key rotate", "webhooks list")


@pytest.mark.parametrize("older", [False, True])
def test_a_database_without_its_tables_says_which_command_makes_them(
    tmp_path: Path, postgres_url: str, older: bool
) -> None:
    given = {"OUTREACH_HOME": str(tmp_path / "home"), "DATABASE_URL": postgres_url, "OUTREACH_API_KEY": "k"}
    given["OUTREACH_SECRET_KEYS"] = SECRET_KEY
    settings = Settings.from_env(given)
    store = open_store(settings.database_url)
    if not older:
        with store.tx():
            store.write("DROP SCHEMA public CASCADE")
            store.write("CREATE SCHEMA public")
    else:
        store.write("ALTER TABLE users DROP COLUMN db_role")
        store.write("ALTER TABLE installation DROP COLUMN clock_seen_at")
    asked = {words: asking(given, words) for words in (OF_USERS[-4:] if older else EVERYDAY)}
    wrong = {}
    try:
        for words, process in asked.items():
            out, err = process.communicate(timeout=120)
            good = err.endswith("run `outreach migrate`.\n") and err.count("\n") == 1
            if process.returncode != 1 or out or not good:
                wrong[words] = (process.returncode, out, err)
    finally:
        for process in asked.values():
            process.kill()
            process.communicate()
    assert wrong == {}
    store.close()


def asking(given: dict[str, str], words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "outreach_sdk.cli", *words.split()],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_postgresql_knows_itself(tmp_path: Path, postgres_url: str) -> None:
    house = House(tmp_path / "home", postgres_url)
    assert check_identity(house.engine, house.home) is None
    assert check_identity(house.engine, house.home) is None
    house.engine.store.write("UPDATE installation SET identity = 'postgresql:another'")
    assert "copy" in (check_identity(house.engine, house.home) or "")
    house.close()


@pytest.mark.failure("naive datetimes an hour off in winter")
# -- bad input ---------------------------------------------------------------------------------
def test_headers_templates_and_times_are_refused_before_anything_is_written(plain: House) -> None:
    seq = plain.two_steps(plain.local())
    before = seq.steps.height
    with pytest.raises(HeaderInjection):
        seq.add_email("Hello\nBcc: everybody@example.com", "x")
    for body in ("{% for x in y %}{% endfor %}", "{{ first_name.__class__ }}", "{{ open('/etc/passwd') }}"):
        with pytest.raises(TemplateError):
            seq.add_email("Hello", body)
    with pytest.raises(NaiveDatetime):
        seq.add_email("Hello", "x", when=SpecificTime(dt.datetime(2026, 1, 1)))  # noqa: DTZ001
    assert seq.steps.height == before


def test_a_name_cannot_forge_headers(plain: House) -> None:
    box = plain.local()
    seq = plain.two_steps(box)
    seq.enroll(
        [{"First Name": "Bo\r\nBcc: x@evil.example", "Last Name": "Li", "Email": "bo@candidate.example"}]
    )
    seq.activate()
    plain.settle(seq)
    for (who, subject), _ in plain.witness(box).items():
        assert who == "bo@candidate.example"
        assert "\n" not in subject
    for raw in (plain.home / "mail" / "ada@agency.example" / ".Sent" / "cur").iterdir():
        assert b"\nBcc:" not in raw.read_bytes()


@pytest.mark.rule(20)
def test_files_that_hold_no_people_are_refused_whole(plain: House, tmp_path: Path) -> None:
    seq = plain.two_steps(plain.local())
    no_email = tmp_path / "a.csv"
    no_email.write_text("Name;City\nBo;Madrid\n")
    with pytest.raises(ImportRefused, match="mapping="):
        seq.import_csv(no_email)
    empty = tmp_path / "b.csv"
    empty.touch()
    with pytest.raises(ImportRefused, match="empty"):
        seq.import_csv(empty)
    with pytest.raises(ImportRefused, match="no such file"):
        seq.import_csv(tmp_path / "c.csv")
    huge = tmp_path / "d.csv"
    with huge.open("wb") as handle:
        handle.truncate(3 * 1024**3)
    with pytest.raises(ImportRefused, match="2 GiB"):
        seq.import_csv(huge)
    assert seq.candidates().height == 0
    assert plain.engine.store.value("SELECT COUNT(*) FROM imports") == 0


@pytest.mark.rule(20)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_spreadsheets_file_is_read_as_people_meant_it(plain: House, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("Vorname;Nachname;E-Mail\r\nJürgen;Müller;jm@firma.example\r\n".encode(encoding))
    seq = plain.two_steps(plain.local())
    report = seq.import_csv(path)
    assert report.enrolled == 1
    assert report.mapping["first_name"] == "Vorname"
    assert seq.candidates()["name"].to_list() == ["Jürgen Müller"]


def test_a_wrong_key_a_lost_database_and_a_foreign_token_each_say_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="OUTREACH_SECRET_KEYS"):
        Vault(Settings.from_env({"OUTREACH_HOME": str(tmp_path)}, secret_keys=(Secret("short"),)))
    one, two = (Secret(Fernet.generate_key().decode()) for _ in range(2))
    old = Vault(Settings.from_env({"OUTREACH_HOME": str(tmp_path)}, secret_keys=(one,)))
    sealed = old.seal({"refresh_token": "canary"}, bound_to="1:a@x")
    assert "canary" not in sealed
    both = Vault(Settings.from_env({"OUTREACH_HOME": str(tmp_path)}, secret_keys=(two, one)))
    assert both.open(sealed, bound_to="1:a@x") == {"refresh_token": "canary"}
    with pytest.raises(ConfigError, match="reconnect"):
        Vault(Settings.from_env({"OUTREACH_HOME": str(tmp_path)}, secret_keys=(two,))).open(
            sealed, bound_to="1:a@x"
        )
    with pytest.raises(OutreachError, match="another mailbox"):
        both.open(sealed, bound_to="1:b@x")
    gone = open_store("postgresql://nobody:hidden-word@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable) as lost:
        gone.value("SELECT 1")
    assert "hidden-word" not in str(lost.value)
    assert lost.value.retry_after


# -- who may see what --------------------------------------------------------------------------
@pytest.mark.rule(26)
def test_what_is_somebody_elses_is_not_found(tmp_path: Path, database_url: str) -> None:
    house = House(tmp_path / "home", database_url)
    box = house.local()
    seq = house.two_steps(box)
    seq.enroll(house.people(1))
    if database_url.startswith("sqlite"):
        house.engine.store.write("UPDATE users SET api_key_hash = ?", key_hash("k"))
        house.env["OUTREACH_API_KEY"] = "k"
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env

    def outreach(*words: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        chosen = env | ({"OUTREACH_API_KEY": key} if key else {})
        return subprocess.run(
            [sys.executable, "-m", "outreach_sdk.cli", *words],
            cwd=ROOT,
            env=chosen,
            capture_output=True,
            text=True,
        )

    added = outreach("user", "add", "bea", "--json")
    assert added.returncode == 0, added.stderr
    key = json.loads(added.stdout)["api_key"]
    assert house.engine.store.value("SELECT COUNT(*) FROM users WHERE api_key_hash = ?", key) == 0
    assert outreach("user", "add", "cy", key=key).returncode == 1
    assert "There is no sequence" in outreach("sequence", "show", "Two steps", key=key).stderr
    assert outreach("sequence", "list", "--json", key=key).stdout == ""
    beas = use(open_session(Settings.from_env({**house.env, "OUTREACH_API_KEY": key})))
    with pytest.raises(NotFound):
        Sequence.get(seq.id)
    with pytest.raises(NotFound):
        Mailbox.get(box.address)
    assert Sequence.list().height == 0
    beas.store.close()
    assert outreach("sequence", "list", "--json", key="wrong").returncode == 1
    house.close()


def test_an_engine_that_is_starting_or_lacks_a_part_is_told_apart_from_none(
    plain: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = plain.two_steps(plain.local())
    seq.activate()
    workspace, none = Workspace(plain.session), "No engine is running: nothing leaves until `outreach up`."
    assert (seq.notice, workspace.status()["notice"]) == (none, none)
    runtime.up(plain.settings, children=[])
    try:
        starting = "The engine is starting: nothing leaves for a few seconds more."
        assert (seq.notice, workspace.status()["notice"]) == (starting, starting)
        monkeypatch.setattr("outreach_sdk.objects.engine.STARTING", dt.timedelta(0))
        dispatch.beat(plain.engine, "clock", "clock-1", plain.engine.now())
        assert "The engine runs without a worker that sends" in str(seq.notice)
        dispatch.beat(plain.engine, "send", "send-1", plain.engine.now())
        assert seq.notice is None
        assert workspace.status()["notice"] is None
    finally:
        runtime.down(plain.settings)
    assert seq.notice is None, "workers elsewhere count"


def test_a_redis_that_is_away_is_said_wherever_one_looks_and_no_longer_than_that(
    plain: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seq = plain.two_steps(plain.local())
    seq.activate()
    workspace, password = Workspace(plain.session), "s3cret"
    queues = Queues(f"redis://:{password}@127.0.0.1:1/0")
    assert queues.enqueue("send", "drain_sends", 1) is False
    assert queues.trouble() is None, "a restart of a second is nothing to worry about"
    told = queues.trouble(patience=0)
    assert told == "Redis doesn't answer: 127.0.0.1:1 can't be reached."
    with ExitStack() as ends:
        for role in ("send", "clock"):
            beating = Beating(plain.engine, role, 0.05, trouble=lambda: told)
            beating._name = role  # both run in this process
            ends.callback(beating.end)
        away = f"{told} Nothing leaves until it does; what is due waits and nothing is lost."
        wait_until(lambda: seq.notice == away)
        assert workspace.status()["notice"] == away
        assert away in repr(seq)
        for name, value in plain.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["outreach", "status"])
        main()
        assert away in capsys.readouterr().out
        told = None
        wait_until(lambda: seq.notice is None)
        assert workspace.status()["notice"] is None


def test_up_says_that_its_redis_does_not_answer_and_no_password(plain: House) -> None:
    theirs = Settings.from_env({**plain.env, "REDIS_URL": "redis://:s3cret@127.0.0.1:1"})
    try:
        shown = repr(runtime.up(theirs, children=[]))
    finally:
        runtime.down(theirs)
    assert "Redis doesn't answer: 127.0.0.1:1 can't be reached. Nothing leaves until it does" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("says", "link", "written", "zone"),
    [
        ("Europe/Madrid", "Asia/Tokyo", "", "Europe/Madrid"),
        (":Europe/Madrid", None, "", "Europe/Madrid"),
        ("/usr/share/zoneinfo/Europe/Madrid", None, "", "Europe/Madrid"),
        ("Nowhere/There", "Asia/Tokyo", "", "Asia/Tokyo"),
        ("", "Asia/Tokyo", "Europe/Paris", "Asia/Tokyo"),
        ("", None, "Europe/Paris\n", "Europe/Paris"),
        ("", "Etc/UTC", "", "UTC"),
        ("", None, "", "UTC"),
    ],
)
def test_the_zone_of_a_machine_is_what_it_says_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, link: str | None, written: str, zone: str
) -> None:
    monkeypatch.setenv("TZ", says)
    if link is not None:
        (tmp_path / "localtime").symlink_to(f"/usr/share/zoneinfo/{link}")
    else:
        (tmp_path / "localtime").write_bytes(b"TZif2 a copy")
    if written:
        (tmp_path / "timezone").write_text(written)
    assert local_zone(tmp_path) == zone


def test_a_sequence_without_a_zone_has_that_of_its_machine(
    plain: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Lima")
    Sequence.create("Here")
    assert plain.engine.store.value("SELECT timezone FROM sequences") == "America/Lima"


def test_what_the_demo_says_to_paste_works_from_anywhere(tmp_path: Path) -> None:
    home = tmp_path / "a home's"
    home.mkdir()
    house = House(home, f"sqlite:///{home / 'outreach.db'}")
    Sequence.create("Backend engineers", mailbox=house.local())
    house.close()
    out = io.StringIO()
    whole(Console(file=out, width=80), "\n".join(look_further(home)))
    first, *_, last = out.getvalue().splitlines()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run(first, shell=True, cwd=elsewhere, env=env, capture_output=True, text=True)
    assert "Backend engineers" in done.stdout, done.stderr
    assert last.endswith("-m jupyter lab")
