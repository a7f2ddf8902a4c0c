"""A job that has ended, for pipelines: a summary in Markdown, and variables as NAME=VALUE lines."""

from collections.abc import Iterator

from pith.cli.summary import rows
from pith.faces.markdown import plain
from pith.job import Job
from pith.report import Report
from pith.requirements import Judged, Outcome


def summary(found: Outcome) -> str:
    """Worst news first, then before and after, then what was asked."""
    return "\n".join([*_lines(found), "", ""])


def variables(found: Outcome) -> str:
    """One a line; what is not known is left empty."""
    report = found.report
    values = {
        "job": found.job.id,
        "status": found.job.status,
        "verdict": found.job.verdict or "",
        "passed": "true" if found.passed else "false",
        "compression_ratio": "" if report is None else f"{report.comparison.compression_ratio:.6g}",
        "speedup": "" if report is None else f"{report.comparison.speedup:.6g}",
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _lines(found: Outcome) -> Iterator[str]:
    yield f"### Pith: {_heading(found)}"
    yield ""
    if found.report is None:
        yield from _ended(found.job)
    else:
        yield from _told(found.report, found.requirements)
    yield ""
    yield f"Job `{found.job.id}`"


def _heading(found: Outcome) -> str:
    if found.job.status != "succeeded":
        return f"the job has {'failed' if found.job.status == 'failed' else f'been {found.job.status}'}"
    if found.requirements or found.job.verdict == "not_met":
        return "all that was required is met" if found.passed else "not met"
    return f"the job has succeeded{'' if found.job.verdict is None else f', {found.job.verdict}'}"


def _ended(job: Job) -> Iterator[str]:
    if job.error is not None:
        yield plain(f"{job.error.title}: {job.error.detail}")


def _told(report: Report, requirements: tuple[Judged, ...]) -> Iterator[str]:
    yield from (f"- {plain(line)}" for line in report.headline)
    yield ""
    yield "| | before | after | change |"
    yield "|---|---:|---:|---:|"
    for row in rows(report):
        yield f"| {' | '.join(map(plain, row))} |"
    if requirements or report.constraints:
        yield ""
        yield "| required | found | |"
        yield "|---|---|---|"
    for each in report.constraints:
        yield f"| {each.name} {each.limit:g} | {each.value:.4g} | {_mark(each.met)} |"
    for one in requirements:
        yield f"| {plain(one.requirement)} | {plain(one.reason)} | {_mark(one.met)} |"
    yield ""
    yield f"Verdict: {plain(report.verdict)}"


def _mark(met: bool) -> str:
    return "met" if met else "**NOT MET**"
