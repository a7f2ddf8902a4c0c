"""The grammar of requirements, and what a report says to them."""

import math
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pith.errors import PithError
from pith.intake import IntakeSpec
from pith.job import Job, JobSpec
from pith.metrics import MetricName
from pith.report import Report
from pith.requirements import NAMES, Judged, check, judge, measured, outcome, parse
from tests.app.a_report import report_of

SPEC = {"model": f"mdl_{'0' * 26}", "recipe": [{"kind": "quantize.dynamic"}]}
JOB = Job(
    id=f"job_{'0' * 26}",
    spec=JobSpec.model_validate(SPEC),
    status="succeeded",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
REPORT = report_of(JOB, size=1000)


def with_comparison(**changes: object) -> Report:
    return REPORT.model_copy(update={"comparison": REPORT.comparison.model_copy(update=changes)})


@given(
    st.sampled_from(NAMES), st.sampled_from([">=", "<=", ">", "<"]), st.floats(allow_nan=False, allow_infinity=False)
)
def test_what_is_written_is_what_is_read(name: str, sign: str, limit: float) -> None:
    for text in (f"{name}{sign}{limit!r}", f"  {name} {sign}\t{limit!r} "):
        found = parse(text)
        assert (found.name, found.sign, found.limit) == (name, sign, limit)
        assert parse(str(found)) == found


@given(st.text(max_size=30) | st.text(alphabet="metspdup_r2<>=.0123e+- ", max_size=20))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        found = parse(text)
    except PithError as error:
        assert error.code == "requirement_refused" and "; " in error.problem.detail
    else:
        assert parse(str(found)) == found and (found.limit is None or math.isfinite(found.limit))


BAD = {
    "": "is no comparison",
    "compression_ratio": "is no comparison",
    "compression_ratio>=": "is no comparison",
    "compression_ratio>=4x": "is no comparison",
    "compression_ratio==4": "is no comparison",
    "4<=compression_ratio": "is no comparison",
    "compression_ratio>=nan": "is no comparison",
    "compression_ratio>=1_0": "is no comparison",
    "compression_ratio>=٤": "is no comparison",
    "compression_ratio>=4;true": "is no comparison",
    "Met": "is no comparison",
    "speedup>1e999": "too large",
    "speed_up>=2": "did you mean speedup?",
    "ratio>=2": "names ratio, which no report has; what can be required: met, compression_ratio, ",
}


@pytest.mark.parametrize(("text", "said"), BAD.items())
def test_what_is_no_requirement_is_refused(text: str, said: str) -> None:
    with pytest.raises(PithError) as refused:
        parse(text)
    assert said in refused.value.problem.detail and repr(text) in refused.value.problem.detail


JUDGED = {
    "compression_ratio>=12": (12, True, "12"),
    "compression_ratio>12": (12, False, "12"),
    "speedup<=2": (2, True, "2"),
    "speedup<2": (2, False, "2"),
    "accuracy>=0.89": (0.89, True, "0.89"),
    "size_bytes<=999": (1000, False, "1000"),
    "r2>=0": (None, False, "not measured (the report has compression_ratio, speedup, size_bytes, accuracy)"),
    "metric_drop<=1": (None, False, "not measured (the report has compression_ratio, speedup, size_bytes, accuracy)"),
    "flipped_to_wrong<=3": (
        None,
        False,
        "not measured (the report has compression_ratio, speedup, size_bytes, accuracy)",
    ),
    "met": (None, False, "verdict unconstrained"),
}


@pytest.mark.parametrize(("text", "expected"), JUDGED.items())
def test_a_report_meets_a_requirement_or_not(text: str, expected: tuple[float | None, bool, str]) -> None:
    value, met, reason = expected
    assert judge(parse(text), REPORT) == Judged(requirement=text, value=value, met=met, reason=reason)


def test_a_drop_and_the_upper_end_of_its_interval_are_two_things() -> None:
    report = with_comparison(quality_drop=0.005, quality_drop_interval=(-0.01, 0.02), samples=100, flipped_to_wrong=2)
    found = {text: judge(parse(text), report).met for text in ("metric_drop<=0.01", "metric_drop_upper<=0.01")}
    assert found == {"metric_drop<=0.01": True, "metric_drop_upper<=0.01": False}
    assert judge(parse("flipped_to_wrong<=2"), report).met


def test_every_metric_of_the_result_can_be_required() -> None:
    assert set(get_args(MetricName)) < set(NAMES)
    assert measured("size_bytes", REPORT) == 1000 and measured("loss", REPORT) is None


@pytest.mark.parametrize("verdict", ["met", "not_met", "unconstrained"])
def test_a_job_passes_when_its_verdict_and_all_requirements_allow_it(verdict: str) -> None:
    job, report = (each.model_copy(update={"verdict": verdict}) for each in (JOB, REPORT))
    assert outcome(job, report, ()).passed is (verdict != "not_met")
    assert outcome(job, report, (parse("speedup>=2"), parse("met"))).passed is (verdict == "met")
    assert not outcome(job, report, (parse("speedup>=2"), parse("accuracy>0.9"))).passed


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_without_a_report_does_not_pass(status: str) -> None:
    assert not outcome(JOB.model_copy(update={"status": status}), None, ()).passed


def test_what_a_job_can_never_say_is_refused_before_it_runs() -> None:
    spec = JobSpec.model_validate({**SPEC, "constraints": {"min_speedup": 2}})
    check((parse("met"), parse("speedup>1")), spec)
    check((parse("speedup>1"),), JobSpec.model_validate(SPEC))
    with pytest.raises(PithError, match="asks for constraints, and the job spec has none"):
        check((parse("met"),), JobSpec.model_validate(SPEC))
    with pytest.raises(PithError, match="the check of an upload has none"):
        check((parse("speedup>1"),), IntakeSpec(check=f"mdl_{'0' * 26}"))
