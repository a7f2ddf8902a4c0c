"""What the headline says of disturbances and of single steps, and only where the intervals carry it."""

from typing import Any

import pytest

from engine.measure import metric
from engine.news import disturbed, of_steps
from pith.findings.trust import Disturbance, Trust
from pith.job import JobSpec
from pith.report import Measurement, StepChange, StepReport
from tests.engine.tiny import DATASET_ID, MODEL_ID

RECIPE: list[dict[str, Any]] = [{"kind": "prune.channel"}, {"kind": "distill.logits"}, {"kind": "quantize.static"}]


def under(name: str, further: float, low: float) -> Disturbance:
    interval = (low, 2 * further - low)
    named = {"name": name, "strength": 20, "unit": "%", "before": 0.9, "after": 0.9 - further}
    return Disturbance.model_validate({**named, "drop": further, "further": further, "further_interval": interval})


def trust(*found: Disturbance) -> Trust:
    return Trust(metric="accuracy", samples=256, clean_before=0.95, clean_after=0.95, disturbances=found)


def test_the_largest_further_loss_is_told() -> None:
    (said,) = disturbed(trust(under("noise", 0.05, 0.02), under("blur", 0.1, 0.05), under("contrast", 0.0, -0.1)))
    assert said.replace("\xa0", " ") == (
        "Under blur, 20 %, it loses more than undisturbed: 0.9000 → 0.8000, where it is 0.9500 → 0.9500 without, on "
        "256 samples."
    )


@pytest.mark.parametrize(
    "found",
    [
        (),
        (under("noise", 0.05, -0.01),),
        # Its interval leaves out zero by itself, but not when it is the worst of many that were tried.
        (under("noise", 0.05, 0.001), *[under("blur", 0.0, -0.01)] * 11),
        (under("noise", -0.05, -0.06),),
        (under("noise", 0.05, 0.02).model_copy(update={"further_interval": None}),),
    ],
)
def test_a_loss_that_may_be_none_is_not_told(found: tuple[Disturbance, ...]) -> None:
    assert disturbed(trust(*found)) == []
    assert disturbed(None) == []


def measured(size: float, memory: float, zeros: float = 100) -> Measurement:
    numbers = (("size_bytes", size), ("peak_memory_bytes", memory), ("nonzero_parameters", zeros), ("macs", 5.0))
    return Measurement(metrics=tuple(metric(name, value) for name, value in numbers))  # type: ignore[arg-type]


def step(
    index: int, after: Measurement, speedup: tuple[float, float] = (0.95, 1.05), drop: tuple[float, float] | None = None
) -> StepReport:
    middle = sum(speedup) / 2
    change = StepChange(speedup=middle, speedup_interval=speedup, quality_drop=0, quality_drop_interval=drop)
    return StepReport(index=index, kind=RECIPE[index]["kind"], seconds=1, after=after, change=change)


def said(*steps: StepReport, recipe: list[dict[str, Any]] = RECIPE) -> list[str]:
    spec = JobSpec.model_validate({"model": MODEL_ID, "dataset": DATASET_ID, "recipe": recipe})
    return of_steps(spec.recipe, measured(100, 20e6), steps)


SAME, UNSURE = measured(50, 20e6), (-0.01, 0.01)


def test_steps_that_made_it_worse_or_brought_nothing_are_told_in_a_line_each() -> None:
    found = said(
        step(0, SAME, (0.7, 0.9)), step(1, SAME, drop=UNSURE), step(2, measured(12, 40e6), (0.4, 0.6), drop=UNSURE)
    )
    assert found == [
        "Made it slower: step 1, prune.channel (1.25 times); step 3, quantize.static (2.00 times).",
        "Made it take more memory: step 3, quantize.static (2.00 times).",
        "Made it no smaller, no faster and, as far as can be told, no better: step 2, distill.logits.",
    ]


@pytest.mark.parametrize(
    "second",
    [
        step(1, SAME, drop=(-0.05, -0.01)),  # better
        step(1, SAME, (1.01, 1.1), drop=UNSURE),  # faster
        step(1, measured(40, 20e6), drop=UNSURE),  # smaller
        step(1, measured(50, 20e6, zeros=50), drop=UNSURE),  # half of it zeros
        step(1, SAME, (0.9, 1.01)),  # perhaps slower, and quality is not known
        step(1, measured(50, 20.5e6), drop=(-0.05, -0.01)),  # next to no more memory
        step(1, SAME).model_copy(update={"change": None}),  # as versions before wrote it
    ],
)
def test_what_is_not_certain_is_not_told(second: StepReport) -> None:
    assert said(step(0, SAME, (1.5, 1.6)), second) == []


def test_a_step_that_an_encoding_needs_is_not_called_idle() -> None:
    recipe: list[dict[str, Any]] = [{"kind": "quantize.codebook", "recovery": None}, {"kind": "encode.entropy"}]
    idle = step(0, measured(100, 20e6), drop=UNSURE)
    assert said(idle, step(1, SAME), recipe=recipe) == []
    assert said(idle, step(1, SAME)) != []


def test_an_only_step_is_the_result() -> None:
    assert said(step(0, SAME, (0.4, 0.5)), recipe=RECIPE[:1]) == []


def test_many_are_not_all_told() -> None:
    recipe = [{"kind": "prune.channel"}] * 5
    found = said(*(step(0, SAME, (0.7, 0.9)).model_copy(update={"index": index}) for index in range(5)), recipe=recipe)
    assert found == [
        "Made it slower: step 1, prune.channel (1.25 times); step 2, prune.channel (1.25 times); step 3, prune.channel "
        "(1.25 times); and 2 more."
    ]
