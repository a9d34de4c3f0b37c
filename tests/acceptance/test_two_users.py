"""Two users: for every public method, property, command and frame, what is the one's doesn't exist for the other."""

from __future__ import annotations

import datetime as dt
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

import outreach_sdk as outreach
from outreach_sdk import Candidate, Enrichment, Journey, Mailbox, Message, Sequence, Shortlist, Task
from outreach_sdk.cli import outreach as commands
from outreach_sdk.errors import InvalidInput, NotFound, OutreachError
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.session import Session
from tests.acceptance.scenarios import address, colleague, one_answered
from tests.acceptance.walls import behind, carrying
from tests.harness import ADDRESS, House

Attempt = Callable[[Any], Any]
LATER = dt.datetime(2030, 1, 1, 9, tzinfo=dt.UTC)
BEAS_KEY = "test-key-of-bea"
WALL = "postgresql, behind its own wall"

SECRETS = ("p0@candidate0.example", "Adas plan", "Hello P0", "Let's talk", "Adas list", "ada@agency.example")
"""What only ada's rows say."""

OPEN = {
    Sequence: {"create", "get", "list"},
    Candidate: {"create", "get", "find"},
    Mailbox: {"get", "list", "connect_gmail", "connect_local", "connect_outlook", "from_refresh_token"},
    Shortlist: {"create", "get", "list"},
    Task: {"get", "list"},
    Message: {"get"},
    Enrichment: {"get", "run", "estimate", "credits", "ledger", "providers", "top_up"},
    Journey: set(),
}
"""Ways in, which are given no handle of somebody else's: tried below."""

PLAIN = {Mailbox: {"address", "id", "provider"}, Task: {"candidate", "kind", "skip_at"}}


def attempts(world: SimpleNamespace, tmp_path: Path) -> dict[type, dict[str, Attempt]]:
    """What bea tries on a handle of ada's, beside reading every property and calling what takes no argument."""
    person = {"First Name": "Q", "Email": "q@q.example"}
    csv = tmp_path / "people.csv"
    csv.write_text("First Name,Email\nQ,q@q.example\n")
    mine = world.beas
    return {
        Sequence: {
            "add_email": lambda s: s.add_email("S", "B"),
            "add_linkedin": lambda s: s.add_linkedin("n"),
            "add_phone": lambda s: s.add_phone("n"),
            "add_sms": lambda s: s.add_sms("n"),
            "add_variant": lambda s: s.add_variant(1, "Other"),
            "approve": lambda s: s.approve([{"candidate": 1, "step": 1, "approved": True}]),
            "clone": lambda s: s.clone("Mine now"),
            "edit_variant": lambda s: s.edit_variant(1, "B", body="Other words"),
            "edit_step": lambda s: s.edit_step(1, body="Other words"),
            "enroll": lambda s: s.enroll([person]),
            "export": lambda s: s.export(tmp_path / "stolen.csv"),
            "import_csv": lambda s: s.import_csv(csv),
            "journey": lambda s: s.journey(address(0)),
            "link": lambda s: s.link(mine.list),
            "move_step": lambda s: s.move_step(1, 2),
            "name": lambda s: setattr(s, "name", "Beas"),
            "prefer": lambda s: setattr(s, "prefer", "work"),
            "preview": lambda s: s.preview(address(0)),
            "remove_step": lambda s: s.remove_step(1),
            "remove_variant": lambda s: s.remove_variant(1, "B"),
            "review": lambda s: setattr(s, "review", True),
            "save_template": lambda s: s.save_template("Stolen"),
            "send_test": lambda s: s.send_test(to="bea@agency.example"),
            "set_mailbox": lambda s: s.set_mailbox(mine.box),
            "share": lambda s: s.share("bea"),
            "stats": lambda s: s.stats(by="step"),
            "transfer": lambda s: s.transfer("bea"),
            "unlink": lambda s: s.unlink(mine.list),
            "unshare": lambda s: s.unshare("ada"),
            "variants": lambda s: s.variants(1),
            "window": lambda s: setattr(s, "window", None),
            "withdraw": lambda s: s.withdraw([{"candidate": 1, "step": 1}]),
            "write_back": lambda s: setattr(s, "write_back", "greenhouse"),
        },
        Journey: {
            "reengage": lambda j: j.reengage(after="30d"),
            "resolve": lambda j: j.resolve(1, sent=True),
            "use_email": lambda j: j.use_email("q@q.example"),
        },
        Candidate: {
            "add_email": lambda c: c.add_email("q@q.example"),
            "enrich": lambda c: c.enrich(wait=False),
            "record_interview": lambda c: c.record_interview(LATER),
        },
        Mailbox: {
            "allow": lambda b: b.allow("bea"),
            "check": lambda b: b.check(wait=0.1),
            "check_alias": lambda b: b.check_alias("ada@agency.example"),
            "revoke": lambda b: b.revoke("team"),
            "set_limits": lambda b: b.set_limits(per_day=1),
            "signature": lambda b: setattr(b, "signature", "Bea"),
            "spacing": lambda b: setattr(b, "spacing", 1.0),
        },
        Shortlist: {
            "add": lambda x: x.add([person]),
            "link": lambda x: x.link(mine.seq),
            "remove": lambda x: x.remove(mine.candidate),
            "unlink": lambda x: x.unlink(mine.seq),
        },
        Task: {"edit": lambda t: t.edit(body="Other words")},
        Message: {"correct": lambda m: m.correct("interested"), "reply": lambda m: m.reply("Hi")},
        Enrichment: {"wait": lambda e: e.wait(timeout=0.1)},
    }


@pytest.fixture(params=["sqlite", "postgresql", WALL])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if database == "sqlite":
        return f"sqlite:///{tmp_path / 'outreach.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def bea(house: House, database: str) -> Iterator[Session]:
    """A colleague, who is no admin; or whom the database itself keeps to what is hers, with a worker to ask."""
    made = colleague(house, "bea", key=BEAS_KEY)
    if database != WALL:
        yield made
        return
    session = behind(house, "bea")
    with carrying(house):
        yield session
    session.engine.store.close()


@pytest.fixture
def world(house: House, bea: Session) -> Iterator[SimpleNamespace]:
    """All that ada has, and little that bea has."""
    seq = one_answered(house, "Adas plan")
    box = Mailbox.get(ADDRESS)
    shortlist = Shortlist.create("Adas list")
    shortlist.add(house.people(1))
    shortlist.link(seq)
    ada = house.session
    run = Enrichment.run([Candidate.get(address(1))], wait=False)
    Enrichment.credits()
    journey = seq.journey(address(0))
    found = SimpleNamespace(
        seq=seq,
        box=box,
        journey=journey,
        candidate=Candidate.get(address(0)),
        list=shortlist,
        task=Task.list()[0],
        message=journey.replies[0],
        run=run,
    )
    sessions.use(bea)
    own = Sequence.create("Beas plan", timezone="UTC")
    bea_box = Mailbox.connect_local("bea@agency.example")
    found.beas = SimpleNamespace(
        seq=own,
        box=bea_box,
        list=Shortlist.create("Beas list"),
        candidate=Candidate.create(email="c@c.example", first_name="Cleo"),
    )
    yield found
    sessions.use(ada)


def handles(world: SimpleNamespace, bea: Session) -> dict[type, Any]:
    """Ada's things in bea's hands, however she came by their ids."""
    made = {
        Sequence: world.seq,
        Journey: world.journey,
        Candidate: world.candidate,
        Mailbox: world.box,
        Shortlist: world.list,
        Task: world.task,
        Message: world.message,
        Enrichment: world.run,
    }
    for thing in made.values():
        thing._session = bea
    return made


TABLES_THAT_TICK = {"heartbeats", "requests", "schema_migrations"}


def everything(house: House) -> dict[str, list[dict[str, Any]]]:
    from outreach_sdk.storage.migrations import PARTS

    names = sorted({t._meta.table_name for part in PARTS for t in part.TABLES} - TABLES_THAT_TICK)
    return {n: sorted(house.engine.store.rows(f"SELECT * FROM {n}"), key=str) for n in names}


def public(cls: type) -> dict[str, Any]:
    names = {n for c in cls.__mro__[:-1] for n in vars(c) if not n.startswith("_")}
    return {n: inspect.getattr_static(cls, n) for n in names}


@pytest.mark.rule(26)
def test_nothing_of_the_others_is_found_by_any_method_and_nothing_changes(
    house: House, world: SimpleNamespace, bea: Session, tmp_path: Path
) -> None:
    before, tried, leaks = everything(house), 0, []
    given = attempts(world, tmp_path)
    for cls, thing in handles(world, bea).items():
        for name, member in sorted(public(cls).items()):
            if (
                name in OPEN[cls]
                or name in PLAIN.get(cls, ())
                or not (callable(member) or isinstance(member, property))
            ):
                continue
            if isinstance(member, classmethod | staticmethod):
                leaks.append(f"{cls.__name__}.{name}: is it a way in?")
                continue
            calls: list[Attempt] = []
            if isinstance(member, property):
                calls.append(lambda t, n=name: getattr(t, n))
            elif name not in given[cls]:
                calls.append(lambda t, n=name: getattr(t, n)())
            if name in given[cls]:
                calls.append(given[cls][name])
            for call in calls:
                tried += 1
                try:
                    value = call(thing)
                except NotFound:
                    continue
                except Exception as exc:
                    leaks.append(f"{cls.__name__}.{name}: {type(exc).__name__}: {exc}")
                    continue
                leaks.append(f"{cls.__name__}.{name}: {str(value)[:80]!r}")
    assert leaks == [], "\n".join(leaks)
    assert tried > 120
    after = everything(house)
    assert {n: after[n] for n in after if after[n] != before[n]} == {}
    assert not (tmp_path / "stolen.csv").exists()


@pytest.mark.rule(26)
def test_ways_in_lead_nowhere_else(house: House, world: SimpleNamespace, bea: Session) -> None:
    handles(world, bea)
    for way in (
        lambda: Sequence.get("Adas plan"),
        lambda: Sequence.get(world.seq.id),
        lambda: Candidate.get(address(0)),
        lambda: Candidate.get(world.candidate.id),
        lambda: Mailbox.get("ada@agency.example"),
        lambda: Mailbox.get(world.box.id),
        lambda: Shortlist.get("Adas list"),
        lambda: Task.get(world.task.id),
        lambda: Message.get(world.message.id),
        lambda: Enrichment.get(world.run.id),
        lambda: Enrichment.run(world.seq, wait=False),
        lambda: Enrichment.estimate(world.seq),
        lambda: Sequence.create("Beas other", mailbox=world.box, timezone="UTC"),
        lambda: world.beas.seq.set_mailbox("ada@agency.example"),
        lambda: world.beas.seq.add_email("S", "B", mailbox=world.box),
        lambda: world.beas.seq.journey(world.candidate.id),
        lambda: world.beas.seq.link(world.list),
    ):
        try:
            way()
        except NotFound:
            continue
        pytest.fail(inspect.getsource(way).strip())
    told = {
        "sequences": outreach.sequences(),
        "inbox": outreach.inbox(),
        "notifications": outreach.notifications(),
        "events": outreach.events(),
        "users": outreach.users(),
        "tasks": [str(t) for t in outreach.tasks()],
        "candidates": Candidate.find(),
        "mailboxes": Mailbox.list(),
        "shortlists": Shortlist.list(),
        "ledger": Enrichment.ledger(),
        "workspace": outreach.Workspace(bea)._repr_html_(),
        "whoami": outreach.whoami(),
    }
    shown = {
        name: json.dumps(v.to_dicts(), default=str) if hasattr(v, "to_dicts") else str(v)
        for name, v in told.items()
    }
    assert [(name, s) for name, text in shown.items() for s in SECRETS if s in text] == []
    assert outreach.sequences()["name"].to_list() == ["Beas plan"]
    assert Candidate.find()["first_name"].to_list() == ["Cleo"]


@pytest.mark.rule(26)
def test_a_person_in_ones_own_journey_is_found_whoever_made_them_known(
    house: House, world: SimpleNamespace, bea: Session
) -> None:
    report = world.beas.seq.enroll(house.people(1), override=["contacted_by_colleague"])
    assert (report.enrolled, report.duplicates) == (1, 0)
    person = Candidate.get(address(0))
    assert person.journeys["sequence"].to_list() == ["Beas plan"], "ada's journey with them is ada's"
    assert "Let's talk" not in str(world.beas.seq.journey(address(0)).messages.to_dicts())


@pytest.mark.rule(21, 26)
def test_whoever_a_colleague_made_known_is_one_person_and_only_ones_own_is_told_of_them(
    world: SimpleNamespace, bea: Session
) -> None:
    person = Candidate.create(email=address(0).upper(), first_name="Other")
    assert person.id == world.candidate.id
    assert Candidate.get(address(0)).emails["address"].to_list() == [address(0)]
    held = person.export()
    assert held["person"]["first_name"] == "P0"
    assert [held[n] for n in ("journeys", "sent", "received", "tasks", "imports", "shortlists")] == [[]] * 6
    with pytest.raises(InvalidInput, match="already"):
        Candidate.create(email=address(0))


@pytest.mark.rule(26)
def test_an_admin_sees_all(house: House, world: SimpleNamespace) -> None:
    sessions.use(house.session)
    assert set(outreach.sequences()["name"]) == {"Adas plan", "Beas plan"}
    assert Sequence.get("Beas plan").status == "incomplete"
    assert Mailbox.get("bea@agency.example").status == "connected"


COMMANDS: dict[str, list[str]] = {
    "sequence show": ["Adas plan"],
    "sequence activate": ["Adas plan"],
    "sequence deactivate": ["Adas plan"],
    "sequence preview": ["Adas plan"],
    "sequence drafts": ["Adas plan", "--out", "{tmp}/stolen.csv"],
    "sequence approve": ["Adas plan", "--all"],
    "sequence export": ["Adas plan", "{tmp}/stolen.csv"],
    "export": ["Adas plan", "{tmp}/stolen.csv"],
    "enroll": ["Adas plan", "{tmp}/people.csv"],
    "import": ["{tmp}/people.csv", "--sequence", "Adas plan"],
    "task act": ["{task}", "done"],
    "mailbox check": ["ada@agency.example"],
    "mailbox disconnect": ["ada@agency.example"],
    "mailbox default": ["ada@agency.example"],
    "enrich": ["Adas plan"],
    "sync": ["--mailbox", "ada@agency.example"],
}
"""Commands that name something of ada's: each is to fail."""

LISTS = ("sequence list", "task list", "mailbox list", "inbox", "status", "user list", "credits")
"""Commands that list: none is to show anything of ada's."""

OF_NOBODY = {
    "arm", "classify", "clock", "demo", "doctor", "down", "up", "web", "worker", "migrate", "key new", "key rotate",
    "mailbox connect", "mailbox local", "user add", "user role",
}  # fmt: skip
"""Commands of the installation, or that make something new."""

ADMINS = {
    "webhooks list": [],
    "webhooks waiting": [],
    "webhooks replay": ["1"],
    "webhooks subscribe": ["calendly"],
}
"""Deliveries are the installation's: who is no admin has none."""


def leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
            if command.invoke_without_command:
                yield f"{path}{name}", command
        else:
            yield f"{path}{name}", command


@pytest.mark.rule(26)
def test_no_command_finds_what_is_the_others(
    house: House, world: SimpleNamespace, bea: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in house.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OUTREACH_USER", "bea")
    if bea.walled:
        monkeypatch.setenv("DATABASE_URL", bea.settings.database_url)
        for name in ("OUTREACH_API_KEY", "OUTREACH_SECRET_KEYS"):
            monkeypatch.delenv(name)
    elif house.url.startswith("postgres"):
        monkeypatch.setenv("OUTREACH_API_KEY", BEAS_KEY)
    (tmp_path / "people.csv").write_text("First Name,Email\nQ,q@q.example\n")
    before = everything(house)

    def run(words: str, *more: str) -> click.testing.Result:
        made = CliRunner().invoke(
            commands, [*words.split(), *(m.format(tmp=tmp_path, task=world.task.id) for m in more), "--json"]
        )
        sessions.current().engine.store.close()
        return made

    for words, more in {**COMMANDS, **ADMINS}.items():
        done = run(words, *more)
        assert isinstance(done.exception, OutreachError), (words, done.output, done.exception)
    for words in LISTS:
        done = run(words)
        assert done.exit_code == 0, (words, done.exception)
        assert [s for s in SECRETS if s in done.output] == [], words
    sessions.use(bea)
    assert {n for n, rows in everything(house).items() if rows != before[n]} == set()
    assert not (tmp_path / "stolen.csv").exists()


def test_every_command_prints_json_and_is_in_the_matrix() -> None:
    told = dict(leaves(commands))
    assert [n for n, c in told.items() if "--json" not in [o for p in c.params for o in p.opts]] == []
    assert set(told) - set(COMMANDS) - set(LISTS) - OF_NOBODY - set(ADMINS) == set()
