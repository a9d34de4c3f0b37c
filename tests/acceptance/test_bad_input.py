"""What can't be meant is refused where it is given, by an error that names field, value and remedy; nothing of it is
stored."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import resource
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from outreach_sdk.cli import main
from outreach_sdk.domain.sequence import Later, NextBusinessDay, SpecificTime
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import (
    HeaderInjection,
    ImportRefused,
    InvalidInput,
    NotFound,
    OutreachError,
    StorageError,
    UnknownTimezone,
)
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.frames import written
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.settings import moment_after
from outreach_sdk.objects.workspace import Workspace, connect
from tests.harness import House, sent_files

FORGED = "Ana\r\nBcc: x@y.example"
ENCODED = "=?utf-8?q?x?="


# -- copies ------------------------------------------------------------------------------------
def test_one_address_is_one_address_not_its_letters(house: House) -> None:
    seq = Sequence.create("Copied", mailbox=house.local())
    seq.add_email("Hello", "Hi", cc="boss@agency.example", bcc="ats@agency.example")
    seq.add_email("Hello", "Hi", cc=["boss@agency.example"])
    seq.edit_step(2, bcc="ats@agency.example")
    stored = house.engine.store.rows("SELECT cc, bcc FROM steps ORDER BY id")
    assert {r["cc"] for r in stored} == {'["boss@agency.example"]'}
    assert {r["bcc"] for r in stored} == {'["ats@agency.example"]'}


@pytest.mark.parametrize("field", ["cc", "bcc"])
@pytest.mark.parametrize(
    "value",
    [
        "nope",
        "",
        "a@b",
        "a@b.example, c@d.example",
        "Bo <bo@b.example>",
        "a@b..example",
        3,
    ],
)
def test_a_literal_that_is_no_address_is_refused_where_the_step_is_written(
    house: House, field: str, value: Any
) -> None:
    seq = Sequence.create("Copied", mailbox=house.local())
    with pytest.raises(InvalidInput) as told:
        seq.add_email("Hello", "Hi", **{field: [value]})
    assert (told.value.field, told.value.value) == (field, value)
    assert seq.steps.height == 0
    seq.add_email("Hello", "Hi", **{field: ["{{ manager_email }}"]})
    with pytest.raises(InvalidInput):
        seq.edit_step(1, **{field: [value]})
    assert "manager_email" in house.engine.store.value(f"SELECT {field} FROM steps")


def test_what_cannot_be_built_says_so_and_does_not_blame_the_mailbox(house: House) -> None:
    seq = Sequence.create("Copied", mailbox=house.local())
    seq.add_email("Hello", "Hi", cc=["{{ boss }}"])
    seq.enroll([{"Email": "bea@c.example", "Boss": "nope"}])
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    told = str(house.engine.store.value("SELECT text FROM notifications WHERE kind = 'send_failed'"))
    assert "the message couldn't be built: cc: 'nope'." in told
    assert "refused" not in told
    assert told.endswith(".")
    assert not told.endswith("..")


# -- mailboxes ---------------------------------------------------------------------------------
CONNECTING: dict[str, Callable[[str], Any]] = {
    "local": lambda name: Mailbox.connect_local("bea@agency.example", name=name),
    "token": lambda name: Mailbox.from_refresh_token(
        "gmail", "bea@agency.example", refresh_token="r", client_id="c", client_secret="s", name=name
    ),
    "gmail": lambda name: Mailbox.connect_gmail({"client_id": "c", "client_secret": "s"}, name=name),
    "outlook": lambda name: Mailbox.connect_outlook("c", name=name),
    "link": lambda name: Mailbox._link("digest", "gmail", None, name, False),
}


@pytest.mark.parametrize("name", [FORGED, ENCODED, "A\0na", "A\ud800na"])
@pytest.mark.parametrize("way", CONNECTING)
def test_a_senders_name_that_would_forge_headers_connects_nothing(house: House, way: str, name: str) -> None:
    with pytest.raises(HeaderInjection) as told:
        CONNECTING[way](name)
    assert told.value.field == "name"
    store = house.engine.store
    assert (
        store.value("SELECT COUNT(*) FROM mailboxes"),
        store.value("SELECT COUNT(*) FROM connect_links"),
    ) == (0, 0)


@pytest.mark.parametrize("field", ["refresh_token", "client_id", "client_secret"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_blank_grant_connects_no_dead_mailbox(house: House, field: str, value: Any) -> None:
    given = {"refresh_token": "r", "client_id": "c", "client_secret": "s", field: value}
    with pytest.raises(InvalidInput) as told:
        Mailbox.from_refresh_token("gmail", "bea@agency.example", **given)
    assert told.value.field == field
    assert house.engine.store.value("SELECT COUNT(*) FROM mailboxes") == 0


# -- everything else that is no text, no number, no moment, no file ----------------------------
Case = tuple[str, Callable[[Sequence, Mailbox], Any], type[OutreachError]]
CASES: list[Case] = [
    ("name", lambda s, b: Sequence.create(3), InvalidInput),
    ("name", lambda s, b: Sequence.create("a\0b"), InvalidInput),
    ("name", lambda s, b: Sequence.create("a\ud800b"), InvalidInput),
    ("name", lambda s, b: setattr(s, "name", "a\0b"), InvalidInput),
    ("timezone", lambda s, b: Sequence.create("z", timezone=3), InvalidInput),
    ("timezone", lambda s, b: Sequence.create("z", timezone="Mars/X"), UnknownTimezone),
    ("subject", lambda s, b: s.add_email("a\ud800b", "y"), InvalidInput),
    ("subject", lambda s, b: s.add_email(5, "y"), InvalidInput),
    ("body", lambda s, b: s.add_email("x", "a\ud800b"), InvalidInput),
    ("body", lambda s, b: s.add_email("x", "a\0b"), InvalidInput),
    ("body", lambda s, b: s.add_email("x", "a\x1b[31m"), InvalidInput),
    ("body", lambda s, b: s.add_email("x", 5), InvalidInput),
    ("body", lambda s, b: s.edit_step(1, body="a\0b"), InvalidInput),
    ("body", lambda s, b: s.add_variant(1, body="a\0b"), InvalidInput),
    ("note", lambda s, b: s.add_phone("a\0b"), InvalidInput),
    ("skip_after", lambda s, b: s.add_email("x", "y", manual=True, skip_after="x"), InvalidInput),
    ("skip_after", lambda s, b: s.add_email("x", "y", manual=True, skip_after=float("nan")), InvalidInput),
    ("skip_after", lambda s, b: s.add_phone("Call", skip_after=dt.timedelta.max), InvalidInput),
    ("skip_after", lambda s, b: s.add_phone("Call", skip_after=1e18), InvalidInput),
    ("skip_after", lambda s, b: s.add_phone("Call", skip_after=10**400), InvalidInput),
    ("skip_after", lambda s, b: s.add_phone("Call", skip_after=-1), InvalidInput),
    ("skip_after", lambda s, b: s.edit_step(1, manual=True, skip_after=dt.timedelta.max), InvalidInput),
    ("delay", lambda s, b: Later(days=1e18), InvalidInput),
    ("delay", lambda s, b: Later(days=10**400, hours=0.5), InvalidInput),
    ("at", lambda s, b: SpecificTime("9999-12-30 09:00", timezone="UTC"), InvalidInput),
    ("overdue_after", lambda s, b: current_workspace().set(overdue_after=dt.timedelta.max), InvalidInput),
    ("overdue_after", lambda s, b: current_workspace().set(overdue_after="99999999999d"), InvalidInput),
    ("overdue_after", lambda s, b: current_workspace().set(overdue_after="9" * 400 + "d"), InvalidInput),
    ("colleague_days", lambda s, b: current_workspace().set(colleague_days=10**400), InvalidInput),
    ("rejected_days", lambda s, b: current_workspace().set(rejected_days=1e18), InvalidInput),
    ("after", lambda s, b: moment_after("after", dt.timedelta.max, NOON), InvalidInput),
    ("after", lambda s, b: moment_after("after", dt.timedelta.min, NOON), InvalidInput),
    ("after", lambda s, b: moment_after("after", "99999999999d", NOON), InvalidInput),
    ("after", lambda s, b: moment_after("after", FAR, NOON), InvalidInput),
    ("per_day", lambda s, b: b.set_limits(per_day="5"), InvalidInput),
    ("ramp_from", lambda s, b: b.set_limits(ramp_from=2.5), InvalidInput),
    ("days", lambda s, b: b.load(days="5"), InvalidInput),
    ("spacing", lambda s, b: setattr(b, "spacing", 1e18), InvalidInput),
    ("starts_at", lambda s, b: Candidate.get(KNOWN).record_interview(FAR), InvalidInput),
    ("n", lambda s, b: s.edit_step("a", subject="x"), InvalidInput),
    ("to", lambda s, b: s.move_step(1, "a"), InvalidInput),
    ("cc", lambda s, b: s.add_email("x", "y", cc=3), InvalidInput),
    ("at", lambda s, b: SpecificTime(None), InvalidInput),
    ("at", lambda s, b: SpecificTime(dt.date(2026, 12, 1), timezone="UTC"), InvalidInput),
    ("at", lambda s, b: SpecificTime("9999-12-31 23:59", timezone="America/Los_Angeles"), InvalidInput),
    ("timezone", lambda s, b: SpecificTime("2026-12-01 09:00", timezone=3), InvalidInput),
    ("timezone", lambda s, b: NextBusinessDay("09:00", timezone=3), InvalidInput),
    ("days", lambda s, b: Later(days="3"), InvalidInput),
    ("spacing", lambda s, b: setattr(b, "spacing", None), InvalidInput),
    ("signature", lambda s, b: setattr(b, "signature", 5), InvalidInput),
    ("signature", lambda s, b: setattr(b, "signature", "a\0b"), InvalidInput),
    ("mapping", lambda s, b: s.enroll([{"Email": "z@c.example"}], mapping="a"), InvalidInput),
    ("people", lambda s, b: s.enroll(None), ImportRefused),
    ("people", lambda s, b: s.enroll(3), ImportRefused),
    ("path", lambda s, b: s.import_csv(3), InvalidInput),
    ("override", lambda s, b: s.enroll([], override=3), InvalidInput),
    ("starts_at", lambda s, b: Candidate.get(KNOWN).record_interview("2026-12-01 09:00"), InvalidInput),
    ("reason", lambda s, b: Candidate.get(KNOWN).suppress(None), InvalidInput),
    ("reason", lambda s, b: Candidate.get(KNOWN).suppress("a\0b"), InvalidInput),
    ("reason", lambda s, b: current_workspace().suppress("x@y.example", reason="a\0b"), InvalidInput),
    ("text", lambda s, b: current_workspace().snippet("intro", "a\0b"), InvalidInput),
    ("", lambda s, b: Sequence.get(10**30), NotFound),
    ("", lambda s, b: Sequence.get("a\0b"), NotFound),
    ("", lambda s, b: Mailbox.get(10**30), NotFound),
    ("", lambda s, b: Mailbox.get("a\0b"), NotFound),
    ("", lambda s, b: Candidate.get(10**30), NotFound),
]  # fmt: skip
KNOWN = "known@c.example"
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
WEST = dt.timezone(dt.timedelta(hours=-8))
FAR = dt.datetime.max.replace(tzinfo=WEST)


def current_workspace() -> Workspace:
    return Workspace(sessions.current())


def test_each_is_refused_by_name_and_leaves_nothing(house: House) -> None:
    box = house.local()
    seq = Sequence.create("Cases", mailbox=box)
    seq.add_email("Hello", "Hi")
    Candidate.create(email=KNOWN)
    store = house.engine.store
    tables = (
        "sequences",
        "steps",
        "imports",
        "journeys",
        "bookings",
        "suppressions",
        "snippets",
        "mailboxes",
    )

    def kept() -> list[Any]:
        return [store.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]

    before, wrong = kept(), []
    for number, (field, call, kind) in enumerate(CASES):
        try:
            call(seq, box)
            wrong.append((number, field, "taken"))
        except kind as exc:
            if getattr(exc, "field", "") != field or (field and not exc.remedy):  # type: ignore[attr-defined]
                wrong.append((number, field, str(exc)))
        except Exception as exc:
            wrong.append((number, field, repr(exc)))
        if kept() != before:
            wrong.append((number, field, "left something"))
            before = kept()
    assert wrong == []
    assert Candidate.find("a\0b").height == 0


def test_what_can_be_meant_is_taken(house: House) -> None:
    madrid = ZoneInfo("Europe/Madrid")
    seq = Sequence.create("Taken", mailbox=house.local(), timezone=madrid)
    at = SpecificTime("2026-12-01 09:00", timezone=madrid)
    assert (at.at, at.timezone) == (dt.datetime(2026, 12, 1, 8, tzinfo=dt.UTC), "Europe/Madrid")
    assert NextBusinessDay("09:00", timezone=madrid).timezone == "Europe/Madrid"  # type: ignore[arg-type]
    seq.add_email("Hello", "Hi\r\n\tthere \u00e9 \U0001f600", when=at)
    assert house.engine.store.value("SELECT timezone FROM sequences") == "Europe/Madrid"
    with pytest.raises(InvalidInput, match="suppressed"):
        seq.enroll([{"Email": "z@c.example"}], override="suppressed")
    assert seq.enroll([{"Email": "z@c.example"}], override="contacted_by_colleague").enrolled == 1


def test_a_value_that_the_database_cannot_keep_is_said_in_a_sentence(house: House) -> None:
    store = house.engine.store
    for value in ("a\ud800b", 10**30) if store.dialect == "sqlite" else ("a\0b", "a\ud800b", 10**30):
        with pytest.raises(StorageError, match="can't keep a value"):
            store.write("UPDATE sequences SET id = id WHERE id = ? OR name = ?", 0, value) if isinstance(
                value, str
            ) else store.write("UPDATE workspace SET created_at = CAST(? AS BIGINT)", value)
    with pytest.raises(StorageError, match="refuses that"):
        store.write("UPDATE workspace SET name = NULL")
    assert store.value("SELECT name FROM workspace") is not None


def test_controls_stored_before_do_not_leave(house: House) -> None:
    box = house.local()
    seq = Sequence.create("Old", mailbox=box)
    seq.add_email("Hello", "Hi")
    house.engine.store.write("UPDATE steps SET body = ?", "one\x1b[31m\u2028two")
    seq.enroll([{"Email": "z@c.example"}])
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    (raw,) = sent_files(house, box)
    text = email.message_from_bytes(raw, policy=email.policy.default).get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "one[31m\ntwo" in text.replace("\r\n", "\n")
    assert not any(c in raw.decode() for c in "\x1b\u2028")


def test_line_breaks_of_a_word_processor_are_line_breaks(house: House) -> None:
    box = house.local()
    box.signature = "Ada\u2028Acme"
    seq = Sequence.create("Pasted", mailbox=box)
    seq.add_email("Hello", "Hi {{ first_name }},\x0bone\u2028two\u2029three\x85four")
    seq.enroll([{"Email": "z@c.example", "First Name": "Zoe"}])
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    (raw,) = sent_files(house, box)
    text = email.message_from_bytes(raw, policy=email.policy.default).get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert text.split() == ["Hi", "Zoe,", "one", "two", "three", "four", "Ada", "Acme"]
    assert len([line for line in text.splitlines() if line.strip()]) >= 7


def test_an_address_with_a_control_character_inside_is_nobodys(house: House) -> None:
    seq = Sequence.create("Damaged", mailbox=house.local())
    cells = ["n\x003@c.example", "n\x1b3@c.example", "n3@c\x7f.example", "n3\u200b@c.example\x00"]
    rows = seq.enroll([{"Email": cell} for cell in cells]).rows
    assert rows["outcome"].to_list() == ["rejected"] * 3 + ["enrolled"]
    assert rows["email"].to_list()[-1] == "n3@c.example"
    with pytest.raises(InvalidInput, match="control character"):
        Candidate.create(email=cells[0])


# -- files and commands ------------------------------------------------------------------------
@pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx", "jsonl"])
def test_an_export_that_cannot_be_written_says_where_and_leaves_nothing(
    house: House, tmp_path: Path, ending: str
) -> None:
    seq = Sequence.create("Out", mailbox=house.local())
    seq.add_email("Hello", "Hi")
    seq.enroll([{"Email": f"z{n}@c.example", "Note": "x" * 500} for n in range(200)])
    out = tmp_path / "out"
    (out / f"folder.{ending}").mkdir(parents=True)
    for where in (out / "none" / f"x.{ending}", out / f"folder.{ending}"):
        with pytest.raises(InvalidInput) as told:
            seq.export(where)
        assert (told.value.field, told.value.value) == ("path", str(where))
    kept = out / f"kept.{ending}"
    kept.write_text("as it was")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        frame = pl.DataFrame({"a": [secrets.token_hex(40) for _ in range(500)]})
        with pytest.raises(InvalidInput) as told:
            written(frame, kept)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert told.value.field == "path"
    assert sorted(p.name for p in out.iterdir()) == [f"folder.{ending}", f"kept.{ending}"]
    assert kept.read_text() == "as it was"
    assert seq.export(kept) == kept
    assert sorted(p.name for p in out.iterdir()) == [f"folder.{ending}", f"kept.{ending}"]


def run_main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["outreach", *words])
    try:
        main()
    except SystemExit as exc:
        return int(exc.code or 0)
    return 0


def test_a_command_says_in_one_sentence_what_the_disk_refused(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Sequence.create("Out", mailbox=house.local())
    for words in (("export", "Out", "/nonexist/x.csv"), ("demo", "--home", "/proc/zz")):
        assert run_main(monkeypatch, *words) == 1
        told = capsys.readouterr().err
        assert words[-1].rpartition("/")[0] in told
        assert "Traceback" not in told
        assert told.count("\n") == 1


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "notadb").write_bytes(b"not a database at all " * 100)
    with pytest.raises(StorageError, match="can't be read"):
        connect(f"sqlite:///{tmp_path / 'notadb'}", home=tmp_path)


def test_commands_name_the_rows_that_were_not_enrolled(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seq = Sequence.create("Rows", mailbox=house.local())
    seq.add_email("Hello", "Hi")
    path = tmp_path / "people.csv"
    path.write_text(
        "Email\n"
        + "".join(f"ok{n}@c.example\n" for n in range(60))
        + "".join(f"bad{n}@\n" for n in range(25))
    )
    for words in (("enroll", "Rows", str(path)), ("import", str(path), "--sequence", "Rows", "--no-ai")):
        assert run_main(monkeypatch, *words) == 0
        told = capsys.readouterr().out
        assert "row 61: rejected, bad_email: e-mail: 'bad0@'" in told
        assert "row 80: " in told
        assert "row 81: " not in told
        assert "and 5 more" in told
        assert run_main(monkeypatch, *words, "--json") == 0
        left = json.loads(capsys.readouterr().out)["rejected"]
        assert [r["row"] for r in left] == list(range(61, 86))
        assert all(r["reason"] for r in left)


@pytest.mark.parametrize("given", [["", "--email", "a@b.example"], ["Bo", "--email", "nope"], ["a\nb"]])
def test_a_user_without_a_name_or_an_address_is_not_made(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    for name, value in house.env.items():
        monkeypatch.setenv(name, value)
    before = house.engine.store.value("SELECT COUNT(*) FROM users")
    assert run_main(monkeypatch, "user", "add", *given) == 1
    assert "OUTREACH_API_KEY" not in capsys.readouterr().out
    assert house.engine.store.value("SELECT COUNT(*) FROM users") == before
