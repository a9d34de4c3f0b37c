"""Steps that wait for a person: shown, edited, sent or done, skipped in time; one acts, the other is told (rule 8)."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Later
from outreach_sdk.errors import HeaderInjection, NotFound, TaskChanged, TaskTaken, TransitionRefused
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import key_hash
from outreach_sdk.objects.task import Task
from tests.acceptance.scenarios import Clock, address, go
from tests.harness import ROOT, House, sent_files

pytestmark = pytest.mark.rule(8)


@pytest.fixture
def box(house: House) -> Mailbox:
    return house.local()


PERSON = {
    "First Name": "Mia", "Last Name": "Li", "Email": address(0), "Phone": "+34 612 345 678",
    "LinkedIn": "https://www.linkedin.com/in/mia-li", "Company": "Acme",
}  # fmt: skip


def waiting(house: House, box: Mailbox) -> Sequence:
    seq = Sequence.create("By hand", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "I am {{ sender_name }}, you are at {{ company }}.", manual=True)
    seq.add_phone("Call about {{ company }}", skip_after=60)
    seq.add_linkedin("Say hello, {{ first_name }}")
    seq.add_sms("Text them", skip_after=False)
    seq.enroll([PERSON])
    seq.activate()
    go(house)
    return seq


def test_each_kind_is_shown_edited_and_acted_on(house: House, box: Mailbox) -> None:
    seq = waiting(house, box)
    [task] = Task.list()
    assert (task.kind, task.candidate, task.sequence, task.status) == (
        "email",
        "Mia Li",
        "By hand",
        "waiting",
    )
    assert task.draft == {"to": address(0), "subject": "Hello Mia", "body": "I am Ada, you are at Acme."}
    assert task.problem is None
    task.edit(subject="Dear {{ first_name }}", body="Just {{ company }}.")
    task.edit(body="Again {{ company }}.")
    with pytest.raises(HeaderInjection):
        task.edit(subject="x\nBcc: y@z.example")
    with pytest.raises(TransitionRefused, match="send_now"):
        task.done()
    task.send_now()
    go(house)
    [raw] = sent_files(house, box)
    message: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["Subject"] == "Dear Mia"
    assert message.get_body(("plain",)).get_content().strip() == "Again Acme."
    assert task.status == "sent"
    with pytest.raises(TaskTaken, match="sent it"):
        task.send_now()
    go(house)
    assert len(sent_files(house, box)) == 1
    [call] = Task.list()
    assert (call.kind, call.draft["to"], call.draft["body"]) == ("phone", "+34612345678", "Call about Acme")
    with pytest.raises(TransitionRefused, match="Only an e-mail"):
        call.send_now()
    call.edit(body="Ask for {{ first_name }}")
    assert call.draft["body"] == "Ask for Mia"
    call.done("left a message")
    assert (call.status, call.note) == ("done", "left a message")
    go(house)
    [hello] = Task.list()
    assert hello.draft["to"] == "https://www.linkedin.com/in/mia-li"
    hello.skip()
    go(house)
    [text] = Task.list()
    assert (text.kind, text.skip_at, text.draft["to"]) == ("sms", None, "+34612345678")
    text.done()
    assert seq.journey(address(0)).status == "completed"
    assert seq.journey(address(0)).steps["status"].to_list() == ["sent", "done", "skipped", "done"]
    assert len(sent_files(house, box)) == 1


def test_it_skips_itself_in_time_and_says_so_to_who_comes_late(house: House, box: Mailbox) -> None:
    seq = waiting(house, box)
    clock = Clock(house)
    [task] = Task.list()
    assert task.skip_at is not None
    assert task.skip_at - clock.now > dt.timedelta(days=2, hours=23)
    seq.deactivate()
    clock.on(days=5)
    go(house)
    assert task.status == "waiting", "the timer is frozen meanwhile"
    with pytest.raises(TransitionRefused, match="isn't active"):
        task.send_now()
    seq.activate()
    clock.on(days=3)
    go(house)
    with pytest.raises(TaskTaken, match="its time ran out") as late:
        task.send_now()
    assert (late.value.status, late.value.by) == ("skipped", None)
    seq.journey(address(0)).cancel()
    for action in (task.skip, lambda: task.edit(body="x")):
        with pytest.raises(TaskTaken):
            action()


def test_the_e_mail_of_a_task_opens_and_keeps_the_thread(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Thread", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "One")
    seq.add_email(body="Two", manual=True)
    seq.add_email(body="Three", when=Later(seconds=0))
    seq.enroll([PERSON])
    seq.activate()
    go(house)
    go(house)
    [task] = Task.list()
    assert task.draft["subject"] == "Re: Hello Mia"
    task.send_now()
    go(house)
    go(house)
    sent: list[Any] = [
        email.message_from_bytes(raw, policy=email.policy.default) for raw in sent_files(house, box)
    ]
    sent.sort(key=lambda m: len(str(m["References"] or "")))
    assert [str(m["Subject"]) for m in sent] == ["Hello Mia", "Re: Hello Mia", "Re: Hello Mia"]
    assert str(sent[1]["In-Reply-To"]) == str(sent[0]["Message-ID"])
    assert str(sent[2]["In-Reply-To"]) == str(sent[1]["Message-ID"])


def test_two_people_editing_one_draft_the_second_is_told(house: House, box: Mailbox) -> None:
    waiting(house, box)
    mine, theirs = Task.list()[0], Task.list()[0]
    theirs.edit(body="Theirs")
    with pytest.raises(TaskChanged):
        mine.edit(body="Mine")
    assert Task.list()[0].draft["body"] == "Theirs"
    mine = Task.get(mine.id)
    mine.edit(body="{{ company }} {%", fields=False)
    assert mine.draft["body"] == "{{ company }} {%"


def test_what_is_not_ones_own_is_not_found(house: House, box: Mailbox) -> None:
    waiting(house, box)
    [task] = Task.list()
    house.session.scope.admin, house.session.scope.user_id = False, 999
    assert Task.list() == []
    for act in (task.send_now, task.skip, lambda: task.edit(body="x"), lambda: Task.get(task.id)):
        with pytest.raises(NotFound):
            act()


def test_a_task_list_costs_as_much_for_many_as_for_few(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Many", mailbox=box, timezone="UTC")
    seq.add_email("Hi", "Text", manual=True)
    seq.activate()
    costs = []
    for start, people in ((0, 2), (10, 40)):
        seq.enroll(house.people(people, start=start))
        go(house)
        began = house.engine.store.statements
        assert len(Task.list()) >= people
        costs.append(house.engine.store.statements - began)
    assert costs[0] == costs[1]


@pytest.fixture
def colleagues(house: House) -> Iterator[list[dict[str, str]]]:
    """The environments of two admins of one workspace."""
    bea = {"name": "bea", "role": "admin", "api_key_hash": key_hash("bea"), "sequences_access": True}
    store = house.engine.store
    store.insert(
        "users", {**bea, "workspace_id": house.session.workspace_id, "created_at": house.engine.now()}
    )
    plain = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
    if house.url.startswith("sqlite"):
        yield [plain | {"OUTREACH_USER": name} for name in (house.session.user["name"], "bea")]
    else:
        yield [plain, plain | {"OUTREACH_API_KEY": "bea"}]


def race(tmp_path: Path, task: Task, envs: list[dict[str, str]], actions: list[str]) -> list[dict[str, Any]]:
    """Both act at once, each in a process of their own; what each was told."""
    signal = tmp_path / f"go{task.id}"
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.task_main", str(task.id), action, str(signal)],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        for env, action in zip(envs, actions, strict=True)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    signal.touch()
    return [json.loads(p.communicate(timeout=300)[0]) for p in running]


def test_two_people_act_at_once_and_one_wins(
    house: House, box: Mailbox, colleagues: list[dict[str, str]], tmp_path: Path
) -> None:
    waiting(house, box)
    [task] = Task.list()
    told = race(tmp_path, task, colleagues, ["send", "send"])
    go(house)
    errors = [t["error"] for t in told]
    assert sorted(errors, key=str) == [None, "TaskTaken"]
    winner = ["bea", house.session.user["name"]][errors.index("TaskTaken")]
    lost = told[errors.index("TaskTaken")]
    assert winner in lost["said"]
    assert len(sent_files(house, box)) == 1
    go(house)
    [call] = Task.list()
    told = race(tmp_path, call, colleagues, ["done", "skip"])
    assert sorted([t["error"] for t in told], key=str) == [None, "TaskTaken"]
    assert call.status == ("done" if told[0]["error"] is None else "skipped")
