"""The draw of variants: even, the same each time, independent of order and of other variants."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.variants import Variant, draw, live, stored_form, words_of

IDS = st.integers(1, 2**53)
LETTERS = st.lists(st.sampled_from("ABCDEFGH"), min_size=1, unique=True)


@pytest.mark.rule(31)
@given(IDS, IDS, LETTERS, st.randoms())
def test_it_depends_on_neither_order_nor_time_nor_those_it_isnt(
    journey: int, step: int, letters: list[str], any_order: object
) -> None:
    drawn = draw(journey, step, letters)
    mixed = list(letters)
    any_order.shuffle(mixed)  # type: ignore[attr-defined]
    assert draw(journey, step, mixed) == drawn
    for other in letters:
        if other != drawn:
            assert draw(journey, step, [x for x in letters if x != other]) == drawn


@pytest.mark.rule(31)
@pytest.mark.parametrize("count", [2, 3, 5])
@given(step=IDS, start=IDS)
def test_it_is_even(count: int, step: int, start: int) -> None:
    letters, people = "ABCDE"[:count], 400
    found = Counter(draw(start + n, step, letters) for n in range(people))
    expected = people / count
    spread = (people * (1 / count) * (1 - 1 / count)) ** 0.5
    assert all(abs(found[x] - expected) < 7 * spread for x in letters)


def test_a_variant_says_its_own_and_the_steps_words() -> None:
    others = (Variant("B", body="b"), Variant("C", "c", removed=True))
    step = {"id": 1, "subject": "s", "body": "a", "variants": stored_form(others)}
    assert [v.letter for v in live(step["variants"])] == ["B"]
    assert words_of(step, None).letter == "A"
    kept = words_of(step, 5, {"variant": "B"})
    assert (kept.letter, kept.subject, kept.body) == ("B", "s", "b")
    assert words_of(step, 5, {"variant": "C"}).letter in "AB", "gone: drawn anew"
    by_hand = words_of(step, 5, {"variant": "B", "draft_subject": "mine"})
    assert (by_hand.letter, by_hand.subject, by_hand.body) == (None, "mine", "b")
