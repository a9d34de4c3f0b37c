"""What can't be meant is refused where it is given, by an error that names field, value and remedy; nothing of it is
stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from outreach_sdk.engine import dispatch
from outreach_sdk.errors import HeaderInjection, InvalidInput
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from tests.harness import House

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
