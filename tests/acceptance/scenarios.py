"""What the tests of known failures share: a clock moved by the test, a provider that misbehaves."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import outreach_sdk as outreach
from outreach_sdk.engine import dispatch, outbox, sync
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import Session, key_hash
from outreach_sdk.storage.claims import claim_sends
from tests.harness import ADDRESS, House
from tests.mail.hostile import HostileProvider, HostileTransport


def colleague(house: House, name: str, *, role: str = "member", key: str | None = None) -> Session:
    """Another user of the workspace, on the same store."""
    store = house.engine.store
    made = store.insert(
        "users",
        {
            "workspace_id": house.session.workspace_id,
            "name": name,
            "email": f"{name}@agency.example",
            "role": role,
            "api_key_hash": None if key is None else key_hash(key),
            "sequences_access": True,
            "created_at": house.engine.now(),
        },
    )
    row = store.one("SELECT * FROM users WHERE id = ?", made)
    assert row is not None
    return Session(house.settings, house.engine, row)


class NoWake:
    """A clock without workers: the tests drain by hand."""

    def enqueue(self, queue: str, function: str, bucket: int) -> bool:
        return False


def go(house: House, times: int = 1) -> None:
    """What a clock and a worker do, so many times over."""
    for _ in range(times):
        dispatch.tick(house.engine, NoWake())
        dispatch.drain_sends(house.engine, threads=2)


def opened(house: House) -> Sequence:
    """Two steps for one person, of which the first has left; the other comes in an hour."""
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    return seq


def address(n: int) -> str:
    return f"p{n}@candidate{n}.example"


def everything(people: int, start: int = 0) -> Counter[tuple[str, str]]:
    return Counter(
        (address(n), subject)
        for n in range(start, start + people)
        for subject in (f"Hello P{n}", f"Re: Hello P{n}")
    )


def provider_of(house: House) -> HostileProvider:
    assert house.provider is not None
    return house.provider


class Clock:
    """The time of a house, moved by the test."""

    def __init__(self, house: House, now: dt.datetime | None = None) -> None:
        self.now = now or house.engine.now()
        house.engine.now = lambda: self.now

    def on(self, **units: float) -> None:
        self.now += dt.timedelta(**units)


def one_answered(house: House, name: str, text: str = "Hi") -> Sequence:
    """A sequence at whose first e-mail one of two people has answered, and a task that waits for the other."""
    box = house.hostile()
    seq = Sequence.create(name, mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", text)
    seq.add_phone("Call {{ first_name }}")
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    first = next(a for a in provider_of(house).ledger() if address(0) in a.recipients)
    provider_of(house).deliver_reply(first, "Let's talk.")
    sync.poll_mailbox(house.engine, box.id)
    dispatch.tick(house.engine, NoWake())
    return seq


@contextmanager
def through(house: House, kind: type[HostileTransport]) -> Iterator[None]:
    """Within, the house reaches its provider by transports of this kind."""
    usual = house.engine.transport
    house.engine.transport = lambda row: kind(provider_of(house), row["address"])
    try:
        yield
    finally:
        house.engine.transport = usual


def claim_once(house: House) -> None:
    """One claim, taken as far as it goes, at the time the clock stands at."""
    engine = house.engine
    for claim in claim_sends(
        engine.store, engine.now(), limit=10, cap=50, lease=engine.lease, new_key=engine.new_key
    ).items:
        outbox.process(engine, claim)


def fresh(
    text: str, *, sender: str = address(0), to: str = ADDRESS, subject: str = "Your message", number: int = 1
) -> bytes:
    """A message that answers none by its headers."""
    return (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <m{number}@home.example>\r\n\r\n{text}\r\n"
    ).encode()


def read_mail(house: House, clock: Clock) -> None:
    """The next reading of every mailbox."""
    clock.on(minutes=6)
    assert dispatch.drain_polls(house.engine)["failed"] == 0


def another_mailbox(house: House, session: Session, mail: str) -> Mailbox:
    return Mailbox._save(
        session, "hostile", mail, "Bob", {"path": str(provider_of(house).path), "timeout": 1.0}, None
    )


def state(session: Session, seq: Sequence, person: str = address(0)) -> tuple[str, str | None]:
    sessions.use(session)
    journey = seq.journey(person)
    return journey.status, journey.reason


def told(session: Session) -> list[str]:
    sessions.use(session)
    return list(outreach.notifications()["text"])
