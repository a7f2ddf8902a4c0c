"""Requirements: what a pipeline asks of a job's report before it goes on, such as ``compression_ratio>=4``.

    requirement = "met" | name comparison number        spaces may stand between them
    comparison  = ">=" | "<=" | ">" | "<"
    number      = a decimal number, such as 4, -0.5 or 1e-3

``met`` is the job's verdict. A name is one of the comparison of baseline and result, or a metric of the result. What
was not measured is not met.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from operator import ge, gt, le, lt
from typing import Literal, get_args

from pydantic import Field

from pith.base import Frozen
from pith.errors import PithError
from pith.intake import IntakeSpec
from pith.job import Job, JobSpec
from pith.metrics import MetricName
from pith.report import Report
from pith.sentences import short

MET = "met"
Sign = Literal[">=", "<=", ">", "<"]

_METRICS: tuple[MetricName, ...] = get_args(MetricName)
_SIGNS: Mapping[Sign, Callable[[float, float], bool]] = {">=": ge, "<=": le, ">": gt, "<": lt}
_FORM = re.compile(
    r"\s*(?P<name>[a-z][a-z0-9_]*)\s*(?P<sign>>=|<=|>|<)\s*"
    r"(?P<limit>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*"
)


def _upper(report: Report) -> float | None:
    interval = report.comparison.quality_drop_interval
    return None if interval is None else interval[1]


_COMPARED: Mapping[str, Callable[[Report], float | None]] = {
    "compression_ratio": lambda report: report.comparison.compression_ratio,
    "speedup": lambda report: report.comparison.speedup,
    "metric_drop": lambda report: report.comparison.quality_drop,
    "metric_drop_upper": _upper,
    "flipped_to_wrong": lambda report: report.comparison.flipped_to_wrong if report.comparison.samples else None,
}
NAMES: tuple[str, ...] = (*_COMPARED, *_METRICS)
"""What can be required, besides ``met``. ``metric_drop_upper`` is the upper end of the drop's 95 % interval."""


class Requirement(Frozen):
    """One of them, understood; ``met`` has neither sign nor limit."""

    name: str
    sign: Sign | None = None
    limit: float | None = None

    def __str__(self) -> str:
        return self.name if self.sign is None else f"{self.name}{self.sign}{self.limit!r}".removesuffix(".0")


class Judged(Frozen):
    """A requirement and what the report says to it."""

    requirement: str
    value: float | None = Field(description="Null where it was not measured, and for met.")
    met: bool
    reason: str = Field(description="A few words for people.")

    def __str__(self) -> str:
        return f"{self.requirement}: {self.reason}, {'met' if self.met else 'NOT MET'}"


class Outcome(Frozen):
    """A job that has ended, and whether a pipeline may go on with it."""

    job: Job
    report: Report | None = Field(description="Null unless the job has succeeded, and for the check of an upload.")
    requirements: tuple[Judged, ...]
    passed: bool = Field(description="The job has succeeded, its verdict is not not_met, all requirements are met.")


def parse(text: str) -> Requirement:
    """
    Raises:
        PithError: ``requirement_refused``.
    """
    if text.strip() == MET:
        return Requirement(name=MET)
    found = _FORM.fullmatch(text)
    if found is None:
        raise _refused(
            text, "is no comparison", "write NAME>=NUMBER (or <=, >, <), such as compression_ratio>=4, or met"
        )
    if found["name"] not in NAMES:
        raise _refused(text, f"names {found['name']}, which no report has", _names(found["name"]))
    limit = float(found["limit"])
    if limit in (float("inf"), float("-inf")):
        raise _refused(text, "has a number that is too large", "write one below 1e308")
    sign: Sign = next(sign for sign in _SIGNS if sign == found["sign"])
    return Requirement(name=found["name"], sign=sign, limit=limit)


def check(requirements: tuple[Requirement, ...], spec: JobSpec | IntakeSpec) -> None:
    """Refuse what this job can never say.

    Raises:
        PithError: ``requirement_refused``.
    """
    if isinstance(spec, IntakeSpec):
        if requirements:
            reason = "asks for a report, and the check of an upload has none"
            raise _refused(str(requirements[0]), reason, "leave it out")
        return
    constrained = any(limit is not None for _, limit in spec.constraints)
    if not constrained and any(each.name == MET for each in requirements):
        raise _refused(MET, "asks for constraints, and the job spec has none", "add constraints to it, or leave it out")


def judge(requirement: Requirement, report: Report) -> Judged:
    if requirement.sign is None or requirement.limit is None:
        return Judged(requirement=MET, value=None, met=report.verdict == "met", reason=f"verdict {report.verdict}")
    value = measured(requirement.name, report)
    if value is None:
        return Judged(requirement=str(requirement), value=None, met=False, reason=f"not measured ({_why(report)})")
    met = _SIGNS[requirement.sign](value, requirement.limit)
    return Judged(requirement=str(requirement), value=value, met=met, reason=f"{value:.6g}")


def outcome(job: Job, report: Report | None, requirements: tuple[Requirement, ...]) -> Outcome:
    judged = () if report is None else tuple(judge(each, report) for each in requirements)
    passed = job.status == "succeeded" and job.verdict != "not_met" and all(each.met for each in judged)
    return Outcome(job=job, report=report, requirements=judged, passed=passed)


def measured(name: str, report: Report) -> float | None:
    """One of NAMES, after the job."""
    if name in _COMPARED:
        return _COMPARED[name](report)
    return next((metric.value for metric in report.result.metrics if metric.name == name), None)


def _why(report: Report) -> str:
    return f"the report has {', '.join(name for name in NAMES if measured(name, report) is not None)}"


def _names(wrong: str) -> str:
    near = get_close_matches(wrong, NAMES, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}what can be required: met, {', '.join(NAMES)}"


def _refused(text: str, reason: str, way_out: str) -> PithError:
    return PithError("requirement_refused", text=short(text, 100), reason=reason, way_out=way_out)
