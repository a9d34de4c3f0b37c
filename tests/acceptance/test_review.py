"""Nothing leaves unapproved where a sequence says so; what leaves is what was approved (rule 30)."""

from __future__ import annotations

import email
import email.policy
import threading
from collections import Counter
from email.message import EmailMessage
from typing import Any

import pytest

from outreach_sdk.engine import approving, dispatch, outbox, release, review
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage.claims import claim_sends
from tests.acceptance.scenarios import Clock, address, go
from tests.harness import House, sent_files

pytestmark = pytest.mark.rule(30)


def left(house: House, box: Mailbox) -> list[EmailMessage]:
    return [email.message_from_bytes(raw, policy=email.policy.default) for raw in sent_files(house, box)]


def plain(message: EmailMessage) -> str:
    return str(message.get_body(("plain",)).get_content()).replace("\r", "").strip()  # type: ignore[union-attr]


def rich(message: EmailMessage) -> str:
    return str(message.get_body(("html",)).get_content()).strip()  # type: ignore[union-attr]


@pytest.fixture
def box(house: House) -> Mailbox:
    return house.local()


@pytest.fixture
def seq(house: House, box: Mailbox) -> Sequence:
    made = house.two_steps(box)
    made.review = True
    made.enroll(house.people(3))
    made.activate()
    return made


def outcomes(told: Any) -> list[str]:
    return list(told["outcome"])


def test_nothing_leaves_until_it_is_approved_and_then_each_once(
    house: House, box: Mailbox, seq: Sequence
) -> None:
    go(house)
    assert left(house, box) == []
    assert seq.journey(address(0)).steps["status"].to_list() == ["review", "planned"]
    dispatch.beat(house.engine, "clock", "c", house.engine.now())
    dispatch.beat(house.engine, "send", "s", house.engine.now())
    assert seq.notice is not None
    assert seq.notice.startswith("3 e-mails wait for your approval")
    frame = seq.drafts()
    assert len(frame) == 6
    assert frame["subject"].to_list()[:3] == ["Hello P0", "Hello P1", "Hello P2"]
    first = frame.filter(frame["step"] == 1)
    assert first["due_at"].null_count() == 0
    assert outcomes(seq.approve(first)) == ["approved"] * 3
    go(house)
    assert Counter(str(m["Subject"]) for m in left(house, box)) == Counter([f"Hello P{n}" for n in range(3)])
    assert sorted(seq.drafts()["subject"]) == [f"Re: Hello P{n}" for n in range(3)], "follow-ups wait again"
    go(house)
    assert len(left(house, box)) == 3
    assert seq.journey(address(0)).steps["status"].to_list() == ["sent", "review"]
    assert len(seq.drafts().filter(seq.drafts()["due_at"].is_not_null())) == 3
    seq.approve(seq.drafts())
    house.settle(seq)
    assert len(left(house, box)) == 6


def test_edits_leave_as_they_were_written_and_cleaned(house: House, box: Mailbox, seq: Sequence) -> None:
    rows = seq.drafts().to_dicts()
    rows[0]["subject"], rows[0]["body"] = "Dear {0}", "Plain { text } & more,\n\nAda"
    rows[1]["body"] = (
        '<p onclick="x()">Hi <b>there</b><script>steal()</script><a href="javascript:x">y</a></p>'
    )
    told = seq.approve([r for r in rows if r["step"] == 1])
    assert outcomes(told) == ["edited", "edited", "approved"]
    assert seq.drafts()["approved"].to_list()[:3] == [True] * 3
    assert seq.drafts()["body"][1] == "<p>Hi <b>there</b><a>y</a></p>"
    go(house)
    found = {str(m["To"].addresses[0].addr_spec): m for m in left(house, box)}
    assert str(found[address(0)]["Subject"]) == "Dear {0}"
    assert plain(found[address(0)]) == "Plain { text } & more,\n\nAda"
    assert rich(found[address(1)]) == "<p>Hi <b>there</b><a>y</a></p>"
    journey = seq.journey(address(0))
    assert journey.steps["subject"][0] == "Dear {0}"
    assert "Plain { text }" in journey.steps["body_html"][0], "the text as sent is kept"


def test_a_pandas_like_frame_is_taken_and_others_are_refused(house: House, seq: Sequence) -> None:
    class Pandas:
        def to_dict(self, how: str) -> list[dict[str, Any]]:
            assert how == "records"
            return [{**r, "problem": float("nan")} for r in seq.drafts().to_dicts()]

    assert outcomes(seq.approve(Pandas())) == ["approved"] * 6
    for bad in ({"id": "1.1"}, 7, [{"id": "1.1"}], [3], seq.drafts().drop("version")):
        with pytest.raises(InvalidInput):
            seq.approve(bad)


def test_what_is_not_editable_any_more_comes_back_named_and_the_rest_is_approved(
    house: House, box: Mailbox, seq: Sequence
) -> None:
    frame = seq.drafts()
    first = frame.filter(frame["step"] == 1)
    seq.approve(first.head(1))
    go(house)  # P0's has left
    seq.journey(address(1)).cancel()
    rows = first.to_dicts()
    rows.append({**rows[2], "id": "999.1"})
    rows.append({**rows[2], "id": "nonsense"})
    rows.append(dict(rows[2]))
    told = seq.approve(rows)
    assert outcomes(told) == ["not_editable", "not_editable", "approved", "unknown", "unknown", "refused"]
    assert told["reason"].to_list()[:2] == ["It was sent.", "The journey is cancelled (manual)."]
    assert told["email"].to_list()[:3] == [address(0), address(1), address(2)]
    go(house)
    assert len(left(house, box)) == 2


def test_what_ends_between_reading_and_writing_is_not_approved(
    house: House, seq: Sequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = seq.drafts()
    first = frame.filter(frame["step"] == 1)
    write = approving._write

    def late(*args: Any) -> None:
        seq.journey(address(0)).cancel()
        write(*args)

    monkeypatch.setattr(approving, "_write", late)
    told = seq.approve(first)
    assert outcomes(told) == ["not_editable", "approved", "approved"]
    assert not house.engine.store.value(
        "SELECT 1 FROM journey_steps WHERE approved_hash IS NOT NULL AND journey_id = ?",
        seq.journey(address(0)).id,
    )


def test_a_text_that_changed_after_approval_waits_again(house: House, box: Mailbox, seq: Sequence) -> None:
    frame = seq.drafts()
    seq.approve(frame)
    seq.edit_step(1, body="Hi {{ first_name }}, something else entirely.")
    go(house)
    assert left(house, box) == [], "nobody has read this text"
    notes = house.engine.store.rows("SELECT text FROM notifications WHERE kind = 'review'")
    assert len(notes) == 3
    assert outcomes(seq.approve(frame.filter(frame["step"] == 1))) == ["changed"] * 3
    again = seq.drafts()
    assert again.filter(again["step"] == 2)["approved"].to_list() == [True] * 3
    assert outcomes(seq.approve(again.filter(again["step"] == 1))) == ["approved"] * 3
    house.settle(seq)
    assert len(left(house, box)) == 6
    assert sum("something else" in plain(m) for m in left(house, box)) == 3


def test_a_missing_field_is_told_before_and_a_written_text_mends_it(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Fields", mailbox=box, timezone="UTC")
    seq.review = True
    seq.add_email("Hi", "Your work at {{ company }}, {{ shoe_size }}")
    seq.enroll(house.people(2))
    assert seq.missing().to_dicts()[0] == {
        "candidate": "P0 Li",
        "email": address(0),
        "step": 1,
        "problem": "Missing: company, shoe_size.",
    }
    assert "2 of 2 people lack what their e-mails name (company, shoe_size)" in (seq.notice or "")
    seq.activate()
    rows = seq.drafts().to_dicts()
    rows[0]["body"] = "I know your work."
    rows[1]["body"] = "Still {{ company }}"
    told = seq.approve(rows)
    assert outcomes(told) == ["edited", "refused"]
    assert "nothing fills any more" in told["reason"][1]
    assert outcomes(seq.approve([r for r in seq.drafts().to_dicts() if r["email"] == address(1)])) == [
        "refused"
    ]
    go(house)
    assert [plain(m) for m in left(house, box)] == ["I know your work."]


def test_headers_stay_safe_and_an_answer_keeps_its_subject(house: House, seq: Sequence) -> None:
    rows = seq.drafts().to_dicts()
    rows[0]["subject"] = "Hello\nBcc: everybody@x.example"
    rows[1]["body"] = "  "
    rows[5]["subject"] = "Another"
    told = seq.approve([rows[0], rows[1], rows[5]])
    assert outcomes(told) == ["refused"] * 3
    assert "line breaks" in told["reason"][0]
    assert not seq.drafts()["approved"].any(), "nothing half-applied"


def test_what_candidates_are_called_is_no_template_after_an_edit(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Names", mailbox=box, timezone="UTC")
    seq.review = True
    seq.add_email("Hi", "Dear {{ first_name }} of {{ company }},")
    seq.enroll(
        [{"First Name": "{{ email }}", "Last Name": "L", "Email": "a@b.example", "Company": "<b>Acme</b>"}]
    )
    seq.activate()
    row = seq.drafts().to_dicts()[0]
    assert row["body"] == "Dear {{ email }} of <b>Acme</b>,"
    row["body"] += "\nyours"
    assert outcomes(seq.approve([row])) == ["edited"]
    go(house)
    assert plain(left(house, box)[0]) == "Dear {{ email }} of <b>Acme</b>,\nyours"


def test_an_approval_is_taken_back_of_what_has_not_left(house: House, box: Mailbox, seq: Sequence) -> None:
    frame = seq.drafts()
    seq.approve(frame.head(1))
    go(house)
    seq.approve(frame.filter(frame["step"] == 1))
    assert seq.withdraw(frame) == 2
    assert seq.withdraw(frame) == 0
    assert not seq.drafts()["approved"].any()
    go(house)
    assert len(left(house, box)) == 1
    assert seq.journey(address(1)).steps["status"][0] == "review"


def test_switching_review_off_lets_go_and_on_holds(house: House, box: Mailbox, seq: Sequence) -> None:
    seq.review = False
    seq.review = True
    go(house)
    assert left(house, box) == []
    seq.deactivate()
    seq.activate()
    go(house)
    assert left(house, box) == [], "activation approves nothing"
    seq.journey(address(0)).pause()
    seq.journey(address(0)).resume()
    go(house)
    assert left(house, box) == []
    seq.review = False
    house.settle(seq)
    assert len(left(house, box)) == 6


@pytest.mark.rule(14)
def test_the_fence_lets_no_unapproved_text_through(
    house: House, box: Mailbox, seq: Sequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claimed as approved; before the fence the approval is taken back by another edit."""
    frame = seq.drafts()
    seq.approve(frame.filter(frame["email"] == address(0), frame["step"] == 1))
    engine = house.engine
    claims = claim_sends(
        engine.store, engine.now(), limit=10, cap=50, lease=engine.lease, new_key=engine.new_key
    )
    assert len(claims.items) == 1
    entry = outbox.load(engine, claims.items[0])
    assert entry is not None
    engine.store.write("UPDATE journey_steps SET approved_hash = 'another'")
    # Whatever was loaded, the fence reads it afresh.
    monkeypatch.setattr(outbox, "load", lambda e, c: {**entry, "review": False})
    assert outbox.process(engine, claims.items[0]) == "unapproved"
    monkeypatch.undo()
    go(house)
    assert left(house, box) == []
    seq.approve(seq.drafts())
    house.settle(seq)
    assert len(left(house, box)) == 6


@pytest.mark.rule(14)
def test_the_claim_takes_nothing_unapproved_whatever_is_scheduled(house: House, seq: Sequence) -> None:
    engine = house.engine
    engine.store.write("UPDATE journeys SET next_due_at = held_due_at, held_due_at = NULL")

    def claimed() -> int:
        taken = claim_sends(
            engine.store, engine.now(), limit=10, cap=50, lease=engine.lease, new_key=engine.new_key
        )
        return len(taken.items)

    assert claimed() == 0
    frame = seq.drafts()
    seq.approve(frame.filter(frame["email"] == address(1)))
    assert claimed() == 1


def test_approving_from_two_threads_sends_once(house: House, box: Mailbox, seq: Sequence) -> None:
    frame = seq.drafts()
    first = frame.filter(frame["step"] == 1)
    threads = [
        threading.Thread(target=lambda: (seq.approve(first), house.engine.store.idle())) for _ in (1, 2)
    ]
    for t in threads:
        t.start()
    dispatch.drain_sends(house.engine, threads=4)
    for t in threads:
        t.join(30)
    go(house)
    assert Counter(str(m["To"]) for m in left(house, box)).most_common(1)[0][1] == 1
    assert len(left(house, box)) == 3


def test_as_many_statements_for_many_as_for_few(house: House, box: Mailbox) -> None:
    def cost(people: int) -> tuple[int, int]:
        seq = house.two_steps(box)
        seq.review = True
        seq.enroll(house.people(people, start=people * 10))
        seq.activate()
        store = house.engine.store
        began = store.statements
        frame = seq.drafts()
        read = store.statements - began
        began = store.statements
        assert set(outcomes(seq.approve(frame))) == {"approved"}
        return read, store.statements - began

    assert cost(2) == cost(60)


@pytest.mark.rule(14)
@pytest.mark.parametrize("where", ["let_go", "pause_and_tell"])
def test_who_dies_while_giving_an_entry_back_leaves_it_to_its_lease(
    house: House, box: Mailbox, seq: Sequence, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Given back, but neither held nor paused, nothing would ever take the journey up again."""
    clock = Clock(house)
    frame = seq.drafts()
    seq.approve(frame.filter(frame["email"] == address(0), frame["step"] == 1))
    seq.edit_step(1, body="Changed" if where == "let_go" else "{{ shoe_size }}")
    engine = house.engine

    def dies(*args: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(review if where == "let_go" else release, where, dies)

    def claimed() -> Any:
        [one] = claim_sends(
            engine.store, engine.now(), limit=10, cap=50, lease=engine.lease, new_key=engine.new_key
        ).items
        return one

    taken = claimed()
    with pytest.raises(SystemExit):
        outbox.process(engine, taken)
    monkeypatch.undo()
    clock.on(seconds=5)
    again = claimed()
    assert again.outbox_id == taken.outbox_id
    assert outbox.process(engine, again) == ("unapproved" if where == "let_go" else "missing_field")
    assert left(house, box) == []


BODIES = {
    "text": "Hi {{ first_name }},\n\n{% if company %}at {{ company }}{% else %}anywhere{% endif %}\n\n{{ sender_name }}",
    "links": "Book at {{ booking_link }} or leave by {{ unsubscribe_link }}. {{ sender_email }}",
    "html": '<p>Hi {{ first_name }} & co, <a href="{{ booking_link }}">book</a></p><p>{{ snippet("bye") }}</p>',
    "odd": "  {{ first_name | upper }} <not a tag>  \n\n\n  {braces} &amp; \u00a0end  ",
    "ai": '{{ ai("About {{ company }}", fallback="Well met") }}, {{ first_name | fallback("you") }}',
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whatever_is_written_what_was_read_is_what_leaves(house: House) -> None:
    box = Mailbox.connect_local("ada@agency.example")  # without a name: its owner's stands in
    box.signature = "Ada\n<b>Agency</b>"
    house.engine.public_url = "https://out.example"
    ws = Workspace(house.session)
    ws.set(booking_url="https://book.example/ada")
    ws.snippet("bye", "Bye & {{ sender_name }}\nthen")
    for name, body in BODIES.items():
        seq = Sequence.create(name, mailbox=box, timezone="UTC")
        seq.add_email(f"{name} {{{{ first_name }}}}", body)
        seq.review = True
        seq.enroll(house.people(2, start=10 * len(name)))
        seq.activate()
        go(house)
        frame = seq.drafts()
        assert set(outcomes(seq.approve(frame))) == {"approved"}, name
        go(house)
        assert set(seq.candidates()["status"]) == {"completed"}, f"{name} comes out as it was read"
        for row in frame.iter_rows(named=True):
            [message] = [m for m in left(house, box) if str(m["Subject"]) == row["subject"]]
            assert row["body"] in rich(message) or row["body"].strip() in plain(message)
