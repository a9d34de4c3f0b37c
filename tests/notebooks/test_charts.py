"""Charts: valid, of the same numbers as the frames, and a sentence where altair isn't installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.engine import dispatch, sync
from outreach_sdk.errors import ConfigError, InvalidInput
from outreach_sdk.objects.enrichment import Enrichment
from tests.acceptance.scenarios import address, provider_of
from tests.harness import House


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    made = House(tmp_path / "home", database_url)
    yield made
    made.close()


def values(chart: Any, mark: str = "bar") -> list[dict[str, Any]]:
    """The rows behind a valid chart's marks of one kind; to_dict checks it against Vega-Lite's schema."""
    spec = chart.to_dict()
    layers = spec.get("layer") or spec.get("vconcat") or [spec]
    found = []
    for layer in layers:
        kind = layer["mark"] if isinstance(layer["mark"], str) else layer["mark"]["type"]
        if kind == mark:
            data = layer.get("data") or spec["data"]
            found += data.get("values") or spec["datasets"][data["name"]]
    return found


@pytest.mark.rule(31)
def test_the_charts_of_a_sequence_show_what_its_frames_say(house: House) -> None:
    box = house.trusted(house.hostile())
    box.set_limits(per_day=30)
    seq = house.two_steps(box, delay=86_400)
    assert [v["people"] for v in values(seq.funnel())] == [0] * 5, "also of nothing"
    assert values(seq.timeline()) == []
    values(seq.replies())
    seq.enroll(house.people(4))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    assert "application/vnd.vegalite.v5+json" in seq.funnel()._repr_mimebundle_()[0], "drawn without a CDN"
    [first] = [a for a in provider_of(house).ledger() if address(0) in a.recipients]
    provider_of(house).deliver_reply(first, "Yes, tell me more!", at=house.engine.now())
    house.engine.store.write("UPDATE mailboxes SET next_poll_at = 0")
    sync.poll_mailbox(house.engine, box.id)
    assert [(v["stage"], v["people"]) for v in values(seq.funnel())] == [
        ("enrolled", 4), ("reached", 4), ("answered", 1), ("interested", 1), ("met", 0),
    ]  # fmt: skip
    told = {(v["step"], v["kind"]): v["people"] for v in values(seq.replies())}
    assert told[1, "interested"] == 1
    assert sum(told.values()) == 1
    sends = values(seq.timeline())
    assert sum(v["emails"] for v in sends if v["what"] == "sent") == 4
    assert sum(v["emails"] for v in sends if v["what"] == "planned") == 3
    days = values(box.load(7))
    assert len(days) == 7
    assert [d["emails"] for d in days] == [0] * 6 + [4]
    assert {d["cap"] for d in days} == {30}
    with pytest.raises(InvalidInput):
        box.load(0)
    run = Enrichment.run(seq, ("email",), wait=False)
    assert sum(v["people"] for v in values(run.coverage()) if "people" in v) == 4


def test_without_altair_a_sentence_says_what_to_install(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = house.two_steps(house.local())
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(ConfigError, match=r"pip install 'outreach-sdk\[notebook\]'"):
        seq.funnel()
