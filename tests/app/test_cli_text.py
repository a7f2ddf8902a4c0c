"""What the command line makes of a plan, an event and a report, without a service."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pith.cli.output import Output
from pith.cli.summary import counted, print_plan, print_report, standing
from pith.costs import Seconds
from pith.job import Event, Job, JobSpec, Progress
from pith.plan import Change, Plan, PlannedQuality, PlannedStep
from pith.report import Measurement, Metric
from tests.app.a_report import report_of

STEP = PlannedStep(
    index=0,
    kind="prune.magnitude",
    does="Zeroes.",
    parameters=Change(before=9, after=9),
    macs=Change(before=9, after=9),
    seconds=Seconds(least=0.5, most=12345.6),
)
PLAN = Plan(
    possible=True,
    problems=(),
    steps=(STEP,),
    memory_bytes=None,
    seconds=Seconds(least=2, most=20000),
    model_format="pt2",
    dataset_format="table",
    inputs=(),
    outputs=("onnx",),
    quality=PlannedQuality(metric="accuracy", on="test split"),
)


def printed(capsys: pytest.CaptureFixture[str], **step: Any) -> list[str]:
    """The lines of a plan of one step."""
    print_plan(Output(as_json=False), PLAN.model_copy(update={"steps": (STEP.model_copy(update=step),)}))
    return capsys.readouterr().out.splitlines()


def test_a_plan_says_how_long_and_on_what(capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(capsys)
    assert said[0] == "recipe[0] prune.magnitude: Zeroes. (0.5 to 12,346 s)"
    assert "time: 2 to 20,000 s" in said and "quality: accuracy, measured on the test split" in said


@pytest.mark.parametrize(
    ("parameters", "macs", "said"),
    [
        ((39370, 20010), (1000640, 500320), "  parameters: 39,370 → 20,010, MACs: 1,000,640 → 500,320"),
        ((39370, 39370), (None, None), "  parameters: 39,370, MACs: unknown"),
        ((39370, None), (7, 7), "  parameters: 39,370 → unknown, MACs: 7"),
    ],
)
def test_a_plan_counts_before_and_after(
    capsys: pytest.CaptureFixture[str], parameters: tuple[int, int], macs: tuple[int, int], said: str
) -> None:
    def change(numbers: tuple[int, int]) -> Change:
        return Change(before=numbers[0], after=numbers[1])

    assert said in printed(capsys, parameters=change(parameters), macs=change(macs))


def test_a_plan_groups_the_reasons_why_layers_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    alone = {"head": "it gives the output", "a": "matches [b]", "b": "matches [b]", "c": "x" * 300}
    assert printed(capsys, left_alone=alone)[2] == (
        f"  4 left alone: matches [b] (2); it gives the output (head); {'x' * 99}… (c)"
    )
    many = {str(index): f"reason {index // 2}" for index in range(12)}
    assert printed(capsys, left_alone=many)[2] == (
        "  12 left alone: reason 0 (2); reason 1 (2); reason 2 (2); other reasons (6; --json has them)"
    )
    assert not any("left alone" in line for line in printed(capsys))


def test_a_plan_prints_the_notes_of_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, notes=("One.", "[Two]."))[2:4] == ["  One.", "  [Two]."]


WIDTHS = {"widths": {f"l{index}": 1000 for index in range(8)}}
EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "few": ({"heads": {"a": 2, "b": 3}}, ": 5 (a=2, b=3)"),
    "many": (WIDTHS, ": 8,000 (l0=1,000, l1=1,000, l2=1,000, l3=1,000, l4=1,000, l5=1,000, 2 more)"),
    "one number": ({"importance": 0.5, "left": 7}, ", 7 left"),
    "said already": ({"epoch": 1, "phase": 0, "loss": 0.5}, ""),
    "no numbers": ({"widths": {}, "sandbox": ["a"], "other": {"a": "b"}}, ""),
}


@pytest.mark.parametrize(("data", "said"), EVENTS.values(), ids=EVENTS)
def test_an_event_is_told_with_the_numbers_in_its_data(data: dict[str, Any], said: str) -> None:
    event = Event(seq=1, at=datetime.now(UTC), type="metric", message="left", step=0, data=data)
    assert counted(event) == said


def test_a_report_shows_what_only_the_result_has(capsys: pytest.CaptureFixture[str]) -> None:
    spec = JobSpec.model_validate({"model": f"mdl_{'0' * 26}", "recipe": [{"kind": "quantize.dynamic"}]})
    job = Job(id=f"job_{'0' * 26}", spec=spec, status="succeeded", created_at=datetime.now(UTC))
    found = report_of(job, size=1000)
    noise = Metric(name="sqnr_db", value=5.31, unit="dB", better="higher")
    print_report(
        Output(as_json=False),
        found.model_copy(update={"result": Measurement(metrics=(*found.result.metrics, noise))}),
    )
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sqnr_db", "[dB]", "-", "5.31", "-"] in rows and [row[0] for row in rows].count("accuracy") == 1


def test_a_job_that_has_not_ended_says_where_it_stands() -> None:
    spec = JobSpec.model_validate({"model": "mdl_" + "0" * 26, "recipe": [{"kind": "quantize.dynamic"}]})
    job = Job(id="job_" + "0" * 26, status="queued", spec=spec, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert list(standing(job.model_copy(update={"jobs_before": 2}))) == ["2 queued jobs go before it"]
    running = {
        "status": "running",
        "progress": Progress(fraction=0.25, message="epoch 2"),
        "remaining_seconds": 3600.4,
        "checkpoint_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }
    assert list(standing(job.model_copy(update=running))) == [
        "25% epoch 2, about 3,600 s left",
        "checkpoint of 2026-01-02 03:04:05",
    ]
    assert list(standing(job.model_copy(update={**running, "status": "failed"}))) == []
