"""A part of `make fuzz-api`: every route, a few requests each, then some in a row that lead to one another."""

from pathlib import Path

from tests.fuzz_api.run import fuzz


def test_no_answer_is_undocumented_where_whoever_reaches_the_service_is_trusted(tmp_path: Path) -> None:
    outcome = fuzz(tmp_path, keyed=False, examples=2, seed=1, phases="examples,fuzzing")
    assert not outcome.found, outcome.said


def test_no_answer_is_undocumented_where_a_key_is_asked_for(tmp_path: Path) -> None:
    outcome = fuzz(tmp_path, keyed=True, examples=2, seed=2, phases="examples,stateful")
    assert not outcome.found, outcome.said
