"""What one message, one batch or one mailbox is like doesn't keep the others from being read, and is told."""

from __future__ import annotations

import base64
import threading
from typing import Any

import pytest

from outreach_sdk.engine import dispatch, mailboxes, sync
from outreach_sdk.objects.mailbox import Mailbox
from tests.acceptance.scenarios import (
    Clock,
    NoWake,
    address,
    another_mailbox,
    colleague,
    fresh,
    go,
    opened,
    provider_of,
    read_mail,
    state,
    through,
    told,
)
from tests.harness import ADDRESS, House, wait_until
from tests.mail.hostile import HostileTransport

LONG = base64.b32encode(bytes(range(256)) * 16).replace(b"=", b"")


def odd(headers: bytes, body: bytes = b"Yes, gladly.", sender: bytes = b"p0@candidate0.example") -> bytes:
    return b"From: %s\r\nTo: ada@agency.example\r\nSubject: Hi\r\n%s\r\n\r\n%s\r\n" % (sender, headers, body)


ODD = {
    "an encoded NUL in References": odd(
        b"References: =?utf-8?q?=3Ca=00b=40x=3E?=\r\nMessage-ID: <1@x.example>"
    ),
    "an encoded NUL in Message-ID": odd(b"Message-ID: =?utf-8?q?=3Ca=00b=40x=3E?="),
    "a NUL in Message-ID": odd(b"Message-ID: <a\x00b@x.example>"),
    "a NUL in Reply-To": odd(b"Reply-To: a\x00b@x.example\r\nMessage-ID: <1@x.example>"),
    "an id beyond an index": odd(b"Message-ID: <" + LONG + b"@x.example>"),
    "quoted NULs in the body": odd(
        b"Message-ID: <1@x.example>\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable",
        b"Yes,=00 gladly.",
    ),
    "UTF-16 that says it is ASCII": odd(
        b"Message-ID: <1@x.example>\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: base64",
        base64.b64encode("Yes, gladly.".encode("utf-16-le")),
    ),
    "half a pair in UTF-7": odd(
        b"Message-ID: <1@x.example>\r\nContent-Type: text/plain; charset=utf-7", b"Yes, gladly. +2AA-"
    ),
    "a charset that is none": odd(
        b"Message-ID: <1@x.example>\r\nContent-Type: text/plain; charset=unicode-escape",
        b"Yes, gladly. \\ud800",
    ),
}


@pytest.mark.rule(16)
@pytest.mark.parametrize("name", list(ODD))
def test_an_odd_message_is_read_and_so_are_those_after_it(house: House, name: str) -> None:
    seq = house.two_steps(house.hostile(), delay=86_400)
    seq.enroll(house.people(2))
    seq.activate()
    go(house)
    clock, provider = Clock(house), provider_of(house)
    clock.on(minutes=5)
    provider.deliver(ADDRESS, ODD[name], at=clock.now)
    provider.deliver(ADDRESS, fresh("No, thanks.", sender=address(1), number=2), at=clock.now)
    read_mail(house, clock)
    assert state(house.session, seq, address(0)) == ("cancelled", "replied")
    assert state(house.session, seq, address(1)) == ("cancelled", "replied")
    (text,) = [t for t in told(house.session) if "P0" in t]
    assert "Yes, gladly." in text


@pytest.mark.rule(16)
def test_a_message_that_cant_be_stored_is_told_and_those_after_it_are_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = opened(house)
    clock, provider = Clock(house), provider_of(house)
    clock.on(minutes=5)
    provider.deliver(ADDRESS, fresh("News", sender="news@shop.example"), at=clock.now)
    provider.deliver(ADDRESS, fresh("Gladly.", number=2), at=clock.now)
    usual = sync.take_in

    def stumbles(engine: Any, box: Any, message: Any, **more: Any) -> bool:
        if message.text.strip() == "News":
            raise KeyError("odd")
        return usual(engine, box, message, **more)

    monkeypatch.setattr(sync, "take_in", stumbles)
    read_mail(house, clock)
    assert state(house.session, seq) == ("cancelled", "replied")
    unread = [t for t in told(house.session) if "can't be read" in t]
    assert len(unread) == 1
    assert ADDRESS in unread[0]


@pytest.mark.rule(16)
def test_a_reading_that_fails_as_nobody_foresaw_counts_and_is_told(house: House) -> None:
    opened(house)
    clock = Clock(house)

    class Stumbles(HostileTransport):
        def poll(self, *args: Any, **kwargs: Any) -> Any:
            raise KeyError("v")

    with through(house, Stumbles):
        for _ in range(30):
            clock.on(minutes=6)
            assert dispatch.drain_polls(house.engine)["failed"] <= 1
    (text,) = [t for t in told(house.session) if "aren't seen" in t]
    assert "KeyError" in text
    assert "KeyError" in str(Mailbox.list().to_dicts()[0]["detail"])
    read_mail(house, clock)
    assert Mailbox.list().to_dicts()[0]["detail"] is None


@pytest.mark.rule(16)
def test_a_batch_that_takes_longer_than_a_turn_is_kept_though_others_want_one(house: House) -> None:
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(2))
    seq.activate()
    go(house)
    engine, store, provider = house.engine, house.engine.store, provider_of(house)
    dispatch.drain_polls(engine)
    assert engine.lease.total_seconds() == 1
    store.write(
        "UPDATE mailboxes SET polled_at = ?, next_poll_at = 0", engine.now() - 100 * engine.poll_every
    )
    store.write("UPDATE journeys SET next_due_at = ? WHERE status = 'active'", engine.now())
    provider.deliver(ADDRESS, fresh("News", sender="news@shop.example"))
    before, over = provider.calls("poll"), threading.Event()

    class Slow(HostileTransport):
        def poll(self, *args: Any, **kwargs: Any) -> Any:
            got = super().poll(*args, **kwargs)
            if got.messages:
                over.wait(2.5)
            return got

    def reader() -> None:
        while not over.is_set():
            store.write("UPDATE mailboxes SET next_poll_at = 0")
            dispatch.tick(engine, NoWake())
            dispatch.drain_polls(engine)
            dispatch.drain_sends(engine, threads=2)
            store.idle()

    with through(house, Slow):
        readers = [threading.Thread(target=reader) for _ in range(2)]
        for one in readers:
            one.start()
        try:
            wait_until(lambda: store.value("SELECT 1 FROM inbound"), seconds=10)
            assert provider.calls("poll") - before == 1, "nobody else began meanwhile"
            wait_until(lambda: len(provider.ledger()) == 4, seconds=15)
        finally:
            over.set()
            for one in readers:
                one.join()


@pytest.mark.rule(16)
def test_a_grant_that_dies_while_its_mailbox_is_read_stays_the_reason(house: House) -> None:
    opened(house)
    box = house.engine.store.one("SELECT * FROM mailboxes")
    assert box is not None

    class Dies(HostileTransport):
        def poll(self, *args: Any, **kwargs: Any) -> Any:
            got = super().poll(*args, **kwargs)
            mailboxes.mailbox_dead(house.engine, box["id"], "Google no longer accepts this mailbox's grant")
            return got

    with through(house, Dies):
        dispatch.drain_polls(house.engine)
    row = Mailbox.list().to_dicts()[0]
    assert (row["status"], row["detail"]) == ("reauthorise", "Google no longer accepts this mailbox's grant")


@pytest.mark.rule(16)
def test_a_mailbox_whose_provider_hangs_holds_up_no_other(house: House) -> None:
    opened(house)
    another_mailbox(house, colleague(house, "bob"), "bob@agency.example")
    store, provider, over = house.engine.store, provider_of(house), threading.Event()

    class Hangs(HostileTransport):
        def poll(self, *args: Any, **kwargs: Any) -> Any:
            if self._address.startswith("bob"):
                over.wait(30)
            return super().poll(*args, **kwargs)

    ends: dict[str, int] = {}

    def reader() -> None:
        ends.update(dispatch.drain_polls(house.engine))
        store.idle()

    with through(house, Hangs):
        before = provider.calls("poll")
        store.write("UPDATE mailboxes SET next_poll_at = 0")
        reading = threading.Thread(target=reader)
        reading.start()
        try:
            wait_until(lambda: provider.calls("poll") > before, seconds=10)
            provider.deliver_reply(provider.ledger()[0], "No, thanks.")
            store.write("UPDATE mailboxes SET next_poll_at = 0 WHERE address = ?", ADDRESS)
            wait_until(lambda: store.value("SELECT 1 FROM inbound WHERE kind = 'human'"), seconds=10)
        finally:
            over.set()
            reading.join()
    assert ends == {"read": 3, "failed": 0, "messages": 1}
