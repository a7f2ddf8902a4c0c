"""A job, its plan and its report, for people: worst news first, then before and after."""

from rich.table import Table
from rich.text import Text

from pith.cli.output import Output
from pith.costs import Seconds
from pith.job import Job
from pith.plan import Plan
from pith.report import Metric, Report


def print_job(out: Output, job: Job) -> None:
    columns = ("id", "status", "verdict", "attempt", "created_at", "started_at", "finished_at")
    out.one(job, columns)
    if out.as_json:
        return
    if job.error is not None:
        out.console.print(Text(f"{job.error.title}: {job.error.detail}", style="red"))
    elif job.status == "running":
        out.console.print(f"{job.progress.fraction:.0%} {job.progress.message}")


def print_plan(out: Output, plan: Plan) -> None:
    if out.as_json:
        out.one(plan, ())
        return
    for problem in plan.problems:
        out.console.print(Text(f"{problem.title}: {problem.detail}", style="red"), soft_wrap=True)
    for step in plan.steps:
        took = f" ({_time(step.seconds)})" if step.seconds else ""
        out.console.print(Text(f"recipe[{step.index}] {step.kind}: {step.does}{took}"), soft_wrap=True)
    if plan.memory_bytes is not None:
        out.console.print(f"memory: {plan.memory_bytes / 2**20:,.0f} MiB at most")
    if plan.seconds is not None:
        out.console.print(f"time: {_time(plan.seconds)}")
    if plan.quality is not None:
        out.console.print(f"quality: {plan.quality.metric}, measured on the {plan.quality.on}")
    for note in plan.notes:
        out.console.print(Text(note), soft_wrap=True)


def _time(found: Seconds) -> str:
    """From many threads or a GPU to one thread of a busy machine."""
    least, most = (f"{each:,.0f}" if each >= 100 else f"{each:.3g}" for each in (found.least, found.most))
    return f"{least} to {most} s"


def print_report(out: Output, report: Report) -> None:
    if out.as_json:
        out.one(report, ())
        return
    for line in report.headline:
        out.console.print(line)
    out.console.print(_before_after(report))
    for constraint in report.constraints:
        met = "met" if constraint.met else "NOT MET"
        out.console.print(f"{constraint.name} {constraint.limit:g}: {constraint.value:.4g}, {met}")
    out.console.print(f"verdict: {report.verdict}")


def _before_after(report: Report) -> Table:
    table = Table("", "before", "after", "change", box=None)
    for metric in report.baseline.metrics:
        after = report.result.get(metric.name)
        if after is not None:
            table.add_row(Text(_label(metric)), _number(metric.value), _number(after), _change(metric, after))
    return table


def _label(metric: Metric) -> str:
    return metric.name if metric.unit in metric.name else f"{metric.name} [{metric.unit}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 10 else f"{value:.4g}"


def _change(metric: Metric, after: float) -> str:
    """Times smaller where less is better, or times larger; the difference where more is better."""
    if metric.better == "higher":
        return f"{after - metric.value:+.4g}"
    if metric.value <= 0 or after <= 0:
        return "-"
    better = after <= metric.value
    return f"÷ {metric.value / after:.3g}" if better else f"× {after / metric.value:.3g}, worse"
