"""Several results side by side."""

import os
import re
from dataclasses import replace

import httpx
import pytest

from app.pages.comparison import (
    Result,
    against_latency,
    against_size,
    baselines,
    differences,
    missed,
    rows,
    warnings,
)
from pith.job import Job, JobSpec
from pith.report import ConstraintResult, Metric
from tests.app.by_hand import Bench
from tests.pages.browsing import Visit
from tests.pages.made import a_report, measured, submitted, succeeded


@pytest.fixture(scope="module")
def several(api: object, bench: Bench) -> list[str]:
    """Three jobs of one model: a small one, a good one, and one that is neither."""
    with httpx.Client(base_url=api.url, timeout=30) as http:  # type: ignore[attr-defined]
        model = http.put("/v1/models", params={"name": "<b>net"}, content=os.urandom(64)).json()["id"]
        bench.learn_all()
        made = []
        for bits, size, accuracy, latency in ((4, 0.5e6, 0.9, 5.0), (8, 1e6, 0.925, 3.0), (6, 1.2e6, 0.91, 4.0)):
            made.append(submitted(http, model, {"kind": "quantize.weight_only", "bits": bits}))
            succeeded(http, bench, made[-1], size=size, accuracy=accuracy, latency=latency)
        return made


def results(bench: Bench, several: list[str]) -> list[Result]:
    def result(number: int, job: Job) -> Result:
        return Result(str(number), job, a_report(job, number * 1e6, 0.9, 2.0))

    return [result(number, bench.jobs.get(id)) for number, id in enumerate(several, 1)]


def test_the_best_of_each_row_is_told(bench: Bench, several: list[str]) -> None:
    found = {row.name: row for row in rows(results(bench, several))}
    assert [(cell.told, cell.best) for cell in found["Size"].cells] == [
        ("1 MB", True),
        ("2 MB", False),
        ("3 MB", False),
    ]
    assert [cell.best for cell in found["Compression ratio"].cells] == [True, False, False]
    assert not any(cell.best for cell in found["Accuracy"].cells), "all are alike"
    assert "R²" not in found, "nobody has measured it"


def drawn_apart(bench: Bench, several: list[str], *numbers: tuple[float, float], of: int = 1) -> list[Result]:
    """Results of these accuracies and latencies, whose baselines took 8 and 8.5 ms; of so many datasets."""
    found = []
    for number, (result, (accuracy, latency)) in enumerate(zip(results(bench, several), numbers, strict=False), 1):
        before, after = measured(4e6, 0.93, 7.5 + number / 2), measured(1e6, accuracy, latency)
        after = after.model_copy(
            update={"metrics": tuple(_sure(each) if each.name == "accuracy" else each for each in after.metrics)}
        )
        digest = f"sha256:{number % of:064x}"
        told = {"baseline": before, "result": after, "dataset_digest": digest}
        found.append(Result(str(number), result.job, result.report.model_copy(update=told)))
    return found


def _sure(metric: Metric) -> Metric:
    return metric.model_copy(update={"interval": (metric.value - 0.02, metric.value + 0.02)})


@pytest.mark.parametrize(
    ("numbers", "row", "best"),
    [
        (((0.92, 2.0), (0.93, 2.4)), "Accuracy", [False, False]),
        (((0.92, 2.0), (0.97, 2.4)), "Accuracy", [False, True]),
        (((0.92, 2.0), (0.93, 2.4)), "Median latency", [False, False]),
        (((0.92, 2.0), (0.93, 2.6)), "Median latency", [True, False]),
        (((0.92, 2.0), (0.97, 2.4)), "Flipped to wrong", [False, False]),
    ],
)
def test_only_what_can_be_told_from_the_next_is_best(
    bench: Bench, several: list[str], numbers: tuple[tuple[float, float], ...], row: str, best: list[bool]
) -> None:
    found = {each.name: each for each in rows(drawn_apart(bench, several, *numbers))}
    assert [cell.best for cell in found[row].cells] == best


def test_quality_on_other_data_is_not_held_against_each_other(bench: Bench, several: list[str]) -> None:
    apart = drawn_apart(bench, several, (0.5, 2.0), (0.99, 4.0), of=2)
    assert not any(cell.best for row in rows(apart) if row.name in ("Accuracy", "Quality drop") for cell in row.cells)
    assert "not measured on the same data" in against_size(apart) and "<svg" not in against_latency(apart)
    assert "<svg" in against_size(drawn_apart(bench, several, (0.5, 2.0), (0.99, 4.0)))


def test_what_was_asked_differently_is_told(bench: Bench, several: list[str]) -> None:
    (found,) = differences(results(bench, several))
    assert (found.place, found.values) == ("/recipe/0/bits", ("4", "8", "6"))


def test_steps_of_different_kinds_are_told_whole(bench: Bench, several: list[str]) -> None:
    one, other, _ = results(bench, several)
    assert isinstance(one.job.spec, JobSpec)
    steps = [{"kind": "prune.channel", "recovery": {"epochs": 2}}, {"kind": "encode.entropy"}]
    spec = JobSpec.model_validate({"model": one.job.spec.model, "recipe": steps, "constraints": {"min_speedup": 2}})
    found = differences([one, Result("2", other.job, other.report.model_copy(update={"spec": spec}))])
    assert [(each.place, each.values) for each in found] == [
        ("/constraints/min_speedup", ("null", "2.0")),
        ("step 1", ("quantize.weight_only, bits 4", "prune.channel, recovery/epochs 2")),
        ("step 2", (None, "encode.entropy")),
    ]


def test_what_cannot_be_compared_is_said(bench: Bench, several: list[str]) -> None:
    one, other, _ = results(bench, several)
    assert warnings([one, other]) == ()
    environment = other.report.environment.model_copy(update={"device_name": "another"})
    changes = {"environment": environment, "model_digest": f"sha256:{'1' * 64}", "dataset_digest": f"sha256:{'2' * 64}"}
    told = warnings([one, Result("2", other.job, other.report.model_copy(update=changes))])
    assert [re.search("latency|different models|same data", each, re.IGNORECASE) is not None for each in told] == [
        True
    ] * 3
    assert len(told) == 3


def test_a_comparison(visit: Visit, several: list[str]) -> None:
    page = visit.to("/compare?" + "&".join(f"job={id}" for id in several))
    assert page.get_by_role("heading", level=1).inner_text() == "Compare 3 results"
    size = page.get_by_role("row", name="Size", exact=False).first
    assert [each.strip() for each in size.get_by_role("cell").all_inner_texts()] == [
        "4 MB",
        "500 kB best",
        "1 MB",
        "1.2 MB",
    ]
    for plot in ("Quality against size", "Quality against latency"):
        labels = page.get_by_role("region", name=plot).first.locator(".point.best text").all_text_contents()
        size_alone = ["1"] if plot.endswith("size") else []
        assert [each.partition(" ")[0] for each in labels] in (["B", *size_alone, "2"], ["Baseline", *size_alone, "2"])
    lines = page.locator("svg .line")
    assert lines.count() == 3
    lines.first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "2 · quantize.weight_only: Size 1 MB"
    )
    visit.holds("compare")


def test_jobs_are_chosen(visit: Visit, several: list[str]) -> None:
    page = visit.to(f"/compare?job={several[0]}")
    assert page.locator(f"#pick-{several[0]}").is_checked()
    page.locator(f"#pick-{several[1]}").check()
    visit.holds("compare-choose")
    page.get_by_role("button", name="Compare").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Compare 2 results"


def test_what_has_no_report_is_named_and_left_out(http: httpx.Client, bench: Bench, several: list[str]) -> None:
    model = bench.jobs.get(several[0]).spec.model  # type: ignore[union-attr]
    waiting, gone = submitted(http, model), f"job_{'0' * 26}"
    answer = http.get("/compare", params={"job": [*several, waiting, gone, "<b>"]})
    assert answer.status_code == 200 and "Compare 3 results" in answer.text
    assert waiting in answer.text and gone in answer.text and "&lt;b&gt;" in answer.text and "<b>" not in answer.text
    assert http.get("/compare", params={"job": several * 4}).status_code == 422
    assert http.get("/compare").status_code == 200


def test_a_report_of_another_version_is_left_out(http: httpx.Client, bench: Bench, several: list[str]) -> None:
    model = bench.jobs.get(several[0]).spec.model  # type: ignore[union-attr]
    old = submitted(http, model)
    bench.succeed(old, bench.start(old), report_json=b'{"old": true}', report_html=b"")
    answer = http.get("/compare", params={"job": [*several, old]})
    assert answer.status_code == 200 and "written by another version" in answer.text


def test_a_result_is_held_against_its_baseline_and_what_it_missed_is_said(bench: Bench, several: list[str]) -> None:
    one, other, third = results(bench, several)
    found = {row.name: row for row in rows([one, other])}
    assert list(baselines([one, other])) == ["Baseline"]
    assert found["Size"].told_of_baselines == ("4 MB",) and found["Accuracy"].told_of_baselines == ("0.93",)
    assert found["Speedup"].told_of_baselines == ("–",)
    digest = f"sha256:{'1' * 64}"
    another = replace(third, report=third.report.model_copy(update={"model_digest": digest}))
    assert list(baselines([one, another, other])) == ["Baseline 1", "Baseline 2"]
    assert len({row.name: row for row in rows([one, another])}["Size"].told_of_baselines) == 2
    short = ConstraintResult(name="min_speedup", limit=2, value=1.5, met=False, margin=-0.5, binds=True)
    kept = ConstraintResult(name="min_compression_ratio", limit=2, value=4, met=True, margin=2)
    short_of = replace(one, report=one.report.model_copy(update={"constraints": (kept, short)}))
    assert missed(short_of) == ("Times faster, at least 2.00: 1.50, missed by 0.50",)
    assert missed(one) == ()


def test_axes_are_not_shorter_than_what_can_be_told_apart(bench: Bench, several: list[str]) -> None:
    one, other, _ = results(bench, several)
    exact = {row.name: row for row in rows([one, other])}
    assert exact["Accuracy"].least == 0.02 and exact["Size"].least == pytest.approx(2e5)
    wide = Metric(name="accuracy", value=0.9, unit="", better="higher", interval=(0.7, 1.0))
    unsure = one.report.result.model_copy(update={"metrics": (wide, *one.report.result.metrics[2:])})
    doubtful = replace(one, report=one.report.model_copy(update={"result": unsure}))
    found = {row.name: row for row in rows([doubtful, other])}
    assert found["Accuracy"].least == pytest.approx(0.3) and found["Accuracy"].within == (0, 1)


def test_a_job_that_is_not_there_is_named_and_left_out(http: httpx.Client) -> None:
    answer = http.get(
        "/compare", params={"job": ["job_00000000000000000000000000", "nope"]}, headers={"Accept": "text/html"}
    )
    assert answer.status_code == 200
    assert "There is no job called nope here." in answer.text and "/v1/jobs" not in answer.text
