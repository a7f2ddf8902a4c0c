"""The way out of an impossible order is possible: a recipe that takes it is refused no longer."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from pith.job import JobSpec
from pith.recipe import AnyStep, order_problems
from tests.pith.strategies import least

KINDS = ("quantize.dynamic", "quantize.static", "quantize.adaround", "encode.entropy", "prune.magnitude", "prune.nm")


def recipe(*kinds: str) -> tuple[AnyStep, ...]:
    steps: list[dict[str, Any]] = [least(kind) for kind in kinds]
    return JobSpec.model_validate({"model": "mdl_" + "0" * 26, "recipe": steps}).recipe


def said(*kinds: str) -> list[str]:
    return [problem.problem.detail for _, problem in order_problems(recipe(*kinds))]


@pytest.mark.parametrize(
    ("kinds", "way_out"),
    [
        (("quantize.dynamic", "prune.nm"), "; move recipe[1] before it."),
        (("encode.entropy", "quantize.static"), "; move recipe[1] before it."),
        (("encode.entropy", "encode.entropy"), "; once is enough: take recipe[1] out."),
        (
            ("quantize.dynamic", "quantize.static"),
            "take recipe[1] out to keep quantize.dynamic, or recipe[0] to keep quantize.static.",
        ),
        (
            ("quantize.dynamic", "encode.entropy", "quantize.static"),
            "take recipe[2] out to keep quantize.dynamic, or recipe[0] to keep quantize.static.",
        ),
    ],
)
def test_it_is_said_what_to_move_or_to_take_out(kinds: tuple[str, ...], way_out: str) -> None:
    (detail,) = said(*kinds)
    assert detail.endswith(way_out)


def taken(kinds: list[str], detail: str) -> Iterator[list[str]]:
    """The recipe after each way out that the sentence offers."""
    index, place = (int(each) for each in re.findall(r"recipe\[(\d+)\]", detail)[:2])
    if "move" in detail:
        rest = kinds[:index] + kinds[index + 1 :]
        yield [*rest[:place], kinds[index], *rest[place:]]
    for each in re.findall(r"recipe\[(\d+)\]", detail.partition("take ")[2]):
        yield kinds[: int(each)] + kinds[int(each) + 1 :]


@pytest.mark.parametrize("kinds", list(product(KINDS, repeat=3)), ids=" ".join)
def test_whoever_takes_the_way_out_of_each_problem_has_a_possible_recipe(kinds: tuple[str, ...]) -> None:
    waiting, seen = [list(kinds)], 0
    while waiting:
        now = waiting.pop()
        seen += 1
        problems = said(*now)
        waiting += [further for detail in problems[:1] for further in taken(now, detail)]
        assert seen < 40, "the ways out lead in a circle"
