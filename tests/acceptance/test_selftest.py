"""The self-test: what sending once rests on is checked on the account itself before anything leaves it."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk import jobs
from outreach_sdk.engine import dispatch, selftest, sync
from outreach_sdk.errors import InvalidInput, MailAuthError, MailTemporary
from outreach_sdk.mail.port import Identity
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.vault import Vault, binding
from tests.harness import ADDRESS, House
from tests.mail.emulator import google_emulator
from tests.mail.fault_proxy import SEND, Fault, FaultProxy, fault_proxy
from tests.mail.graph_emulator import graph_emulator
from tests.mail.graph_proxy import SEND as GRAPH_SEND
from tests.mail.graph_proxy import graph_proxy
from tests.mail.hostile import Faults
from tests.mail.worlds import outlook_sent


class Live:
    """A mailbox just connected on a server, and its Sent folder seen from outside."""

    def __init__(self, house: House, box: Mailbox, emulator: Any, proxy: FaultProxy) -> None:
        self.house, self.box, self.emulator, self.proxy = house, box, emulator, proxy
        self.send = SEND if box.provider == "gmail" else GRAPH_SEND

    def sent(self) -> Counter[tuple[str, str]]:
        gmail = self.box.provider == "gmail"
        raws = self.emulator.sent() if gmail else [r for _, r in outlook_sent(self.emulator, self.proxy)]  # type: ignore[arg-type]
        parsed = [email.message_from_bytes(raw, policy=email.policy.default) for raw in raws]
        return Counter((m["To"].addresses[0].addr_spec, str(m["Subject"])) for m in parsed)

    def to_candidates(self) -> Counter[tuple[str, str]]:
        return Counter({k: n for k, n in self.sent().items() if k[0] != ADDRESS})

    def row(self) -> dict[str, Any]:
        return self.house.engine.store.one("SELECT * FROM mailboxes WHERE id = ?", self.box.id) or {}


class Woken:
    def __init__(self) -> None:
        self.names: list[str] = []

    def enqueue(self, queue: str, function: str, bucket: int) -> bool:
        self.names.append(function)
        return True


@pytest.fixture(params=["gmail", "outlook"])
def live(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Live]:
    gmail = request.param == "gmail"
    emulated: Any = google_emulator(ADDRESS, sendAs=ALIASES) if gmail else graph_emulator(ADDRESS)
    with emulated as emulator:
        proxied: Any = fault_proxy(emulator.base_url) if gmail else graph_proxy(emulator.base_url)
        with proxied as proxy:
            env = {
                "OUTREACH_GMAIL_ENDPOINT": proxy.base_url,
                "OUTREACH_GOOGLE_TOKEN_URI": f"{proxy.base_url}/oauth2/token",
                "OUTREACH_GRAPH_ENDPOINT": proxy.base_url,
                "OUTREACH_MICROSOFT_AUTHORITY": proxy.base_url,
                "OUTREACH_SEND_TIMEOUT": "5",
            }
            house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'outreach.db'}", env)
            box = Mailbox.from_refresh_token(
                request.param,
                ADDRESS,
                refresh_token=emulator.refresh_token,
                client_id=emulator.client_id,
                client_secret=emulator.client_secret,
                name="Ada",
            )
            yield Live(house, box, emulator, proxy)
            house.close()


ALIASES = [
    {
        "send_as_email": "jobs@agency.example",
        "display_name": "Jobs",
        "signature": "<b>Jobs</b><script>x</script>",
    }
]


@pytest.mark.rule(14)
def test_a_mailbox_is_tested_once_before_its_first_automatic_send(live: Live) -> None:
    seq = live.house.two_steps(live.box)
    seq.enroll(live.house.people(2))
    seq.activate()
    engine, woken = live.house.engine, Woken()
    dispatch.drain_sends(engine, threads=2)
    assert live.sent() == Counter(), "nothing leaves untested"
    dispatch.tick(engine, woken)
    assert woken.names.count("drain_checks") == 1
    assert "drain_sends" not in woken.names, "nor is a worker woken for it"
    assert selftest.run_waiting(engine) == 1
    first = live.sent()
    assert sum(first.values()) == 2
    assert {a for a, _ in first} == {ADDRESS}
    assert all("self-test" in s for _, s in first)
    assert selftest.run_waiting(engine) == 0
    live.house.settle(seq)
    assert sum(live.to_candidates().values()) == 4
    assert sum(live.sent().values()) == 6
    sync.poll_mailbox(engine, live.box.id)
    assert engine.store.value("SELECT COUNT(*) FROM inbound WHERE kind <> 'own'") == 0, (
        "never counted as an answer"
    )
    assert engine.store.rows("SELECT * FROM notifications") == []


def test_the_job_is_on_the_allow_list() -> None:
    assert "outreach_sdk.jobs.drain_checks" in jobs.ALLOWED


@pytest.mark.rule(14)
def test_check_tells_every_fact(live: Live) -> None:
    facts = live.box.check()
    assert set(facts.values()) == {"ok"}
    own = {"drafts_folder"} if live.box.provider == "outlook" else set()
    assert set(facts) == set(selftest.FACTS) | own
    before = sum(live.sent().values())
    assert live.box.check(again=False) == {"address": "ok"}
    assert sum(live.sent().values()) == before, "one that has passed is only asked whose it is"
    assert live.row()["checked_at"] is not None


@pytest.mark.rule(1, 14)
def test_one_that_fails_is_disarmed_says_why_and_goes_on_when_it_passes(live: Live) -> None:
    seq = live.house.two_steps(live.box)
    seq.enroll(live.house.people(1))
    seq.activate()
    reason = "invalidArgument" if live.box.provider == "gmail" else "ErrorSendAsDenied"
    said = Fault("answer", path=live.send, count=None, status=400, reason=reason)
    live.proxy.add(said)
    assert selftest.run_waiting(live.house.engine) == 0
    assert live.row()["check_failed"]
    assert any("self-test" in p for p in seq.problems)
    assert seq.status == "active"
    dispatch.drain_sends(live.house.engine, threads=1)
    assert live.sent() == Counter()
    told = live.house.engine.store.rows("SELECT text FROM notifications WHERE kind = 'check_failed'")
    assert len(told) == 1
    assert ADDRESS in told[0]["text"]
    assert selftest.waiting(live.house.engine) == [], "a person has to look first"
    said.count = said.struck
    assert set(live.box.check().values()) == {"ok"}
    assert seq.problems == []
    live.house.settle(seq)
    assert sum(live.to_candidates().values()) == 2


@pytest.mark.rule(13)
def test_no_answer_decides_nothing(live: Live) -> None:
    live.proxy.add(Fault("answer", path=r"/gmail/|/v1\.0/", count=None, status=503, reason="backendError"))
    with pytest.raises(MailTemporary):
        live.box.check()
    row = live.row()
    assert (row["checked_at"], row["check_failed"]) == (None, None)
    assert row["check_next_at"] > live.house.engine.now()


@pytest.mark.rule(12)
def test_a_dead_grant_found_by_the_test_shows_as_reauthorise(live: Live) -> None:
    live.emulator.revoke()
    with pytest.raises(MailAuthError):
        live.box.check()
    assert live.box.status == "reauthorise"


@pytest.mark.rule(14)
def test_a_grant_for_another_account_never_sends(live: Live) -> None:
    store = live.house.engine.store
    vault, row = Vault(live.house.settings), live.row()
    tokens = vault.open(row["credentials"], bound_to=binding(row))
    store.write(
        "UPDATE mailboxes SET address = 'bea@agency.example', credentials = ? WHERE id = ?",
        vault.seal(tokens, bound_to=binding({**row, "address": "bea@agency.example"})),
        live.box.id,
    )
    assert "opens" in live.box.check()["address"]
    assert live.sent() == Counter()


@pytest.mark.rule(14)
@pytest.mark.parametrize(
    ("lie", "fact"),
    [("strip_marker", "marker"), ("resend", "once"), ("thread", "threading"), ("list", "listed")],
)
def test_each_fact_that_doesnt_hold_is_named(
    tmp_path: Path, lie: str, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'outreach.db'}")
    monkeypatch.setattr(selftest, "AT_ONCE", 0.3)
    faults = Faults(**{**Faults.none().__dict__, **({"strip_marker": 1.0} if lie == "strip_marker" else {})})
    box = house.hostile(faults)
    transport = box.transport
    if lie == "resend":
        real, last = type(transport).send_draft, {}

        def send_again(self: Any, draft_id: str) -> Any:
            last[draft_id] = last.get(draft_id) or real(self, draft_id)
            return last[draft_id]

        monkeypatch.setattr(type(transport), "send_draft", send_again)
    elif lie == "thread":
        monkeypatch.setattr(type(transport), "read_thread", lambda self, thread: [])
    elif lie == "list":
        monkeypatch.setattr(type(transport), "find_sent", lambda self, **_: None)
    facts = box.check()
    assert facts[fact] != "ok"
    assert facts["address"] == facts["draft"] == "ok"
    row = house.engine.store.one("SELECT checked_at, check_failed FROM mailboxes")
    assert row is not None
    assert row["checked_at"] is None
    assert facts[fact] in row["check_failed"]
    house.close()


@pytest.mark.rule(10)
def test_aliases_signature_and_default(live: Live) -> None:
    if live.box.provider == "outlook":
        assert live.box.aliases["address"].to_list() == [ADDRESS]
        with pytest.raises(InvalidInput, match="Only Gmail"):
            live.box.fetch_signature()
    else:
        assert set(live.box.aliases["address"]) == {ADDRESS, "jobs@agency.example"}
        assert live.box.fetch_signature("jobs@agency.example") == "<b>Jobs</b>"
        seq = live.house.two_steps(live.house.trusted(live.box))
        seq.add_email("From jobs", "Hi", alias="Jobs@agency.example", thread="new")
        with pytest.raises(InvalidInput, match="may send as"):
            seq.add_email("From whom", "Hi", alias="boss@agency.example", thread="new")
        with pytest.raises(InvalidInput, match="may send as"):
            seq.edit_step(1, alias="boss@agency.example")
        seq.edit_step(1, alias="jobs@agency.example")
        seq.enroll(live.house.people(1))
        seq.activate()
        live.house.settle(seq)
        parsed = [email.message_from_bytes(r, policy=email.policy.default) for r in live.emulator.sent()]
        last = next(m for m in parsed if str(m["Subject"]) == "From jobs")
        assert last["From"].addresses[0].addr_spec == "jobs@agency.example"
        assert {m["From"].addresses[0].addr_spec for m in parsed if "Hello" in str(m["Subject"])} >= {
            "jobs@agency.example"
        }
        assert "Jobs" in last.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    live.box.signature = "Ada\nAgency"
    assert live.box.signature == "Ada\nAgency"
    live.box.signature = None
    assert live.box.signature is None
    other = Mailbox.connect_local("second@agency.example")
    defaults = lambda: [r["address"] for r in Mailbox.list().iter_rows(named=True) if r["default"]]  # noqa: E731
    assert defaults() == [ADDRESS]
    other.make_default()
    assert defaults() == ["second@agency.example"]
    other.disconnect()
    assert defaults() == [ADDRESS]
    with pytest.raises(InvalidInput, match="connect it again"):
        other.make_default()


@pytest.mark.rule(10)
def test_an_unverified_alias_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    box, pending = house.local(), [Identity("new@x.example", verified=False)]
    monkeypatch.setattr(type(box.transport), "identities", lambda self: pending, raising=False)
    with pytest.raises(InvalidInput, match="verified"):
        box.check_alias("new@x.example")
