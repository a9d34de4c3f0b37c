"""docs/failures.md names exactly the tests that carry each scenario."""

from __future__ import annotations

from tests.failures import LATER, carried, told


def test_each_scenario_names_the_tests_that_carry_it() -> None:
    rows, marks = told(), carried()
    assert set(marks) <= set(rows), "a marker without a row"
    for scenario, tests in rows.items():
        assert tests, f"{scenario}: neither a test nor why later"
        assert sorted(set(tests) - {LATER}) == sorted(marks.get(scenario, [])), scenario
