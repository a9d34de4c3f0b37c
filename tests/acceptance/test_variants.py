"""Several texts for one step: who gets which, what leaves is what is counted (rule 31)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from outreach_sdk.cli import outreach as commands
from outreach_sdk.domain.journey import SOFT_BOUNCE_WAITS
from outreach_sdk.domain.variants import draw
from outreach_sdk.engine import dispatch, kinds, sync
from outreach_sdk.errors import InvalidInput, NotFound, TemplateError
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from tests.acceptance.scenarios import Clock, NoWake, address, provider_of
from tests.harness import House
from tests.mail.hostile import Faults

pytestmark = pytest.mark.rule(31)
PEOPLE = 10


def of_each(house: House, seq: Sequence) -> dict[str, str | None]:
    """What was sent of step 1, by address."""
    return {
        r["recipient"]: r["variant"]
        for r in house.engine.store.rows(
            "SELECT o.recipient, o.variant FROM outbox o JOIN steps s ON s.id = o.step_id WHERE s.sequence_id = ? "
            "AND s.thread = 'new' AND o.state = 'sent'",
            seq.id,
        )
    }


def test_what_was_drawn_is_shown_leaves_and_is_counted(house: House) -> None:
    box, clock = house.hostile(), Clock(house)
    seq = house.two_steps(box, delay=3600)
    assert seq.add_variant(1, body="Shorter, {{ first_name }}.") == "B"
    assert seq.add_variant(1, subject="Other {{ first_name }}") == "C"
    assert seq.variants(1)["variant"].to_list() == ["A", "B", "C"]
    assert seq.variants(1)["subject"].to_list() == ["Hello {{ first_name }}"] * 2 + ["Other {{ first_name }}"]
    assert sum(seq.variants(1)["share"]) == pytest.approx(1)
    assert "(3 variants)" in seq._repr_html_()
    seq.enroll(house.people(PEOPLE))
    shown = {r["email"]: r for r in seq.drafts().filter(seq.drafts()["step"] == 1).to_dicts()}
    for n in range(3):
        first = seq.preview(address(n)).to_dicts()[0]
        assert first["subject"] == shown[address(n)]["subject"]
        assert first["text"].startswith(shown[address(n)]["body"])
    seq.approve([{**shown[address(0)], "body": "By hand."}])
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    left = {min(a.recipients): a for a in provider_of(house).ledger()}
    assert {who: a.subject for who, a in left.items()} == {who: r["subject"] for who, r in shown.items()}
    drawn = of_each(house, seq)
    assert drawn[address(0)] is None, "a draft edited by hand is nobody's variant"
    for who, letter in drawn.items():
        if who == address(0):
            continue
        about = shown[who]
        assert letter == (
            "C"
            if about["subject"].startswith("Other")
            else "B"
            if about["body"].startswith("Shorter")
            else "A"
        )
        assert seq.journey(who).steps["variant"][0] == letter
    counts = Counter(drawn.values())
    assert {"B", "C"} <= set(counts), "the draw of these ids: the test needs both"
    answers = [next(who for who, letter in drawn.items() if letter == x) for x in ("B", "C")]
    for who in answers:
        clock.on(minutes=1)
        provider_of(house).deliver_reply(left[who], "Sounds interesting, let's talk.", at=clock.now)
    clock.on(minutes=6)
    sync.poll_mailbox(house.engine, box.id)
    rows = {r["variant"]: r for r in seq.stats(by="variant").to_dicts()}
    assert list(rows) == [x for x in ("1A", "1B", "1C") if x] + ["1 by hand", "2A"]
    assert {x: rows[f"1{x}"]["sent"] for x in "ABC"} == {x: counts[x] for x in "ABC"}
    assert {x: r["replied"] for x, r in rows.items() if r["replied"]} == {"1B": 1, "1C": 1}
    assert rows["1B"]["interested"] == 1
    answer = house.engine.store.one("SELECT * FROM inbound WHERE journey_id IS NOT NULL ORDER BY id LIMIT 1")
    assert answer is not None
    assert "Shorter" in kinds.step_text(house.engine.store, answer)


def test_a_removed_variants_people_fall_to_the_others_and_nobody_else_moves(house: House) -> None:
    seq = house.two_steps(house.local())
    for letter in "BC":
        assert seq.add_variant(1, subject=f"{letter} {{{{ first_name }}}}") == letter
    seq.enroll(house.people(PEOPLE))

    def first() -> dict[str, str]:
        found = seq.drafts()
        return dict(found.filter(found["step"] == 1).select("email", "subject").iter_rows())

    before = first()
    gone = {who for who, subject in before.items() if subject.startswith("C ")}
    assert gone
    seq.remove_variant(1, "C")
    after = first()
    assert {who for who in before if before[who] != after[who]} == gone
    assert not any(s.startswith("C ") for s in after.values())
    seq.edit_variant(1, "B", subject="Better {{ first_name }}")
    assert sum(s.startswith("Better") for s in first().values()) == sum(
        s.startswith("B ") for s in after.values()
    )
    assert seq.add_variant(1, body="D it is") == "D", "a letter isn't given twice"
    copy = seq.clone("Copy")
    assert copy.variants(1).rows() == seq.variants(1).rows()
    seq.save_template("Kept")
    made = Workspace(sessions.current()).from_template("Kept", "Made")
    assert made.variants(1).rows() == seq.variants(1).rows()


def test_one_more_attempt_keeps_the_variant_of_the_first(house: House) -> None:
    box, clock = house.hostile(Faults.none()), Clock(house)
    seq = house.two_steps(box, delay=48 * 3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    (entry,) = house.engine.store.rows("SELECT journey_id, step_id, variant FROM outbox")
    letters = ["A"]
    while draw(entry["journey_id"], entry["step_id"], letters) == "A":
        letters.append(seq.add_variant(1, subject="Other"))
    (first,) = provider_of(house).ledger()
    clock.on(minutes=5)
    provider_of(house).deliver_bounce(first, hard=False, action="failed", at=clock.now)
    sync.poll_mailbox(house.engine, box.id)
    assert seq.drafts()["subject"].to_list()[0] == "Hello P0"
    clock.now += SOFT_BOUNCE_WAITS[0]
    dispatch.drain_sends(house.engine, threads=1)
    assert [a.subject for a in provider_of(house).ledger()] == ["Hello P0"] * 2
    assert [r["variant"] for r in house.engine.store.rows("SELECT variant FROM outbox")] == ["A", "A"]


def test_what_cant_be_a_variant_is_refused(house: House) -> None:
    seq = house.two_steps(house.local())
    seq.add_phone("Call")
    for call in (
        lambda: seq.add_variant(1),
        lambda: seq.add_variant(1, subject=" "),
        lambda: seq.add_variant(2, subject="Of its own"),
        lambda: seq.add_variant(3, body="x"),
        lambda: seq.remove_variant(1, "A"),
        lambda: seq.edit_variant(1, "A", body="x"),
    ):
        with pytest.raises(InvalidInput):
            call()
    with pytest.raises(NotFound):
        seq.remove_variant(1, "B")
    with pytest.raises(TemplateError):
        seq.add_variant(1, body="{{ first_name")
    assert seq.variants(1).height == 1
    seq.add_variant(1, body='{{ snippet("none") }}')
    assert any("snippet" in p for p in seq.problems)


def test_a_variants_missing_field_is_told_of_those_who_get_it(house: House) -> None:
    seq = house.two_steps(house.local())
    seq.add_variant(1, body="You at {{ company_motto }}")
    seq.enroll(house.people(PEOPLE))
    told = seq.missing()
    assert 0 < told.height < PEOPLE
    assert set(told["step"]) == {1}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "xlsx"])
@pytest.mark.rule(30)
def test_drafts_go_out_to_a_file_and_back_by_command(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    seq = house.two_steps(house.local())
    seq.edit_step(1, body="- one\n- two, {{ first_name }}")
    seq.review = True
    seq.enroll(house.people(2))
    seq.add_phone("Call {{ first_name }}")
    seq.activate()
    for name, value in house.env.items():
        monkeypatch.setenv(name, value)
    mine = sessions.current()

    def run(*words: str) -> tuple[int, list[dict[str, object]]]:
        done = CliRunner().invoke(commands, [*words, "--json"])
        sessions.current().engine.store.close()
        sessions.use(mine)
        return (1 if done.exception else 0), [json.loads(x) for x in done.output.splitlines() if x[:1] == "{"]

    path = tmp_path / f"drafts.{ending}"
    code, told = run("sequence", "drafts", seq.name, "--out", str(path))
    assert (code, told[0]["drafts"]) == (0, 4)
    assert len(run("sequence", "drafts", seq.name)[1]) == 4
    code, told = run("sequence", "approve", seq.name, str(path))
    assert (code, [r["outcome"] for r in told]) == (0, ["approved"] * 4), "a way out and back edits nothing"
    seq.edit_step(1, body="Other")
    code, told = run("sequence", "approve", seq.name, str(path))
    assert (code, Counter(r["outcome"] for r in told)) == (1, {"changed": 2, "unchanged": 2})
    assert run("sequence", "approve", seq.name, "--all")[0] == 0
    assert run("sequence", "approve", seq.name)[0] == 1
    if ending == "csv":
        dispatch.drain_sends(house.engine, threads=1)
        dispatch.drain_sends(house.engine, threads=1)
        dispatch.tick(house.engine, NoWake())
        ids = [
            int(str(r["id"]))
            for r in json.loads(CliRunner().invoke(commands, ["task", "list", "--json"]).output)
        ]
        sessions.current().engine.store.close()
        assert len(ids) == 2
        assert run("task", "act", str(ids[0]), "skip")[0] == 0
        assert run("task", "act", str(ids[1]), "done")[0] == 0, "the list has moved, the id hasn't"
        assert run("task", "act", str(ids[0]), "done")[0] == 1
