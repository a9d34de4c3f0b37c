"""The waterfall, whatever providers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.waterfall import Accept, Ask, Done, Point, Verdict, Verify, next_move, usable

FINDERS, CHECKERS = ("a", "b", "c"), ("v", "w")
verdicts = st.sampled_from(list(Verdict))
points = st.builds(Point, st.sampled_from(["x@a.example", "y@a.example", "z@b.example"]), verdicts)


@pytest.mark.rule(25)
@given(
    said=st.fixed_dictionaries({f: st.lists(points, max_size=3) for f in FINDERS}),
    checked=st.dictionaries(
        st.tuples(st.sampled_from(CHECKERS), st.sampled_from(["x@a.example", "y@a.example", "z@b.example"])),
        verdicts,
    ),
    refused=st.sets(st.sampled_from(["x@a.example", "y@a.example"])),
)
def test_it_ends_asks_nobody_twice_and_takes_only_what_somebody_vouches_for(
    said: dict[str, list[Point]], checked: dict[tuple[str, str], Verdict], refused: set[str]
) -> None:
    answers: dict[str, list[Point]] = {}
    checks: dict[str, dict[str, Verdict]] = {}
    moves: list[object] = []
    while True:
        move = next_move("email", FINDERS, CHECKERS, answers, checks, refused=refused)
        assert move not in moves
        moves.append(move)
        if isinstance(move, Ask):
            assert move.provider == FINDERS[len(answers)]
            answers[move.provider] = said[move.provider]
        elif isinstance(move, Verify):
            assert move.provider not in checks.get(move.point.value, {})
            verdict = checked.get((move.provider, move.point.value), Verdict.UNKNOWN)
            checks.setdefault(move.point.value, {})[move.provider] = verdict
        elif isinstance(move, Accept):
            by_finder = Point(move.point.value, Verdict.VERIFIED) in said[move.found_by]
            by_checker = Verdict.VERIFIED in checks.get(move.point.value, {}).values()
            assert by_finder or by_checker
            assert move.point.value not in refused
            return
        else:
            assert isinstance(move, Done)
            assert set(answers) == set(FINDERS)
            if move.best is not None:
                assert move.best.value not in refused
                assert move.best.verdict in (Verdict.CATCH_ALL, Verdict.UNKNOWN)
            return


@pytest.mark.rule(22)
@pytest.mark.parametrize(
    ("field", "given_value", "value", "verdict", "kind"),
    [
        ("email", " Eva@Intercom.example ", "eva@intercom.example", Verdict.VERIFIED, "work"),
        ("email", "eva@gmail.com", "eva@gmail.com", Verdict.VERIFIED, "personal"),
        ("email", "info@intercom.example", "info@intercom.example", Verdict.ROLE, "other"),
        ("email", "not an address", "not an address", Verdict.INVALID, None),
        ("phone", "+1 (415) 568-8415", "+14155688415", Verdict.VERIFIED, "other"),
        ("phone", "+1 555-010-0100", "+15550100100", Verdict.INVALID, "other"),
        ("phone", "568 8415", "568 8415", Verdict.INVALID, None),
    ],
)
def test_what_comes_is_normalised_and_never_better_than_it_can_be(
    field: str, given_value: str, value: str, verdict: Verdict, kind: str | None
) -> None:
    assert usable(field, Point(given_value, Verdict.VERIFIED)) == Point(value, verdict, kind)
