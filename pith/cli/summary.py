"""A job, its plan and its report, for people: worst news first, then before and after."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from pith.cli.output import Output
from pith.costs import Seconds
from pith.job import FINAL, Event, Job
from pith.plan import Change, Plan, PlannedStep
from pith.report import Metric, Report
from pith.sentences import short

# Of reasons, and of layers with their numbers: those that are shown; the others are counted.
_REASONS = 3
_COUNTS = 6
_LONGEST = 100


def print_job(out: Output, job: Job) -> None:
    columns = ("id", "status", "verdict", "attempt", "created_at", "started_at", "finished_at")
    out.one(job, columns)
    if out.as_json:
        return
    if job.error is not None:
        out.console.print(Text(f"{job.error.title}: {job.error.detail}", style="red"))
    for line in standing(job):
        out.console.print(Text(line), soft_wrap=True)


def standing(job: Job) -> Iterator[str]:
    """Where a job is that has not ended."""
    if job.status in FINAL:
        return
    if job.progress.fraction:
        left = "" if job.remaining_seconds is None else f", about {job.remaining_seconds:,.0f} s left"
        yield f"{job.progress.fraction:.0%} {job.progress.message}{left}"
    if job.jobs_before is not None:
        yield f"{job.jobs_before} queued jobs go before it"
    if job.waits_for is not None:
        yield job.waits_for
    if job.checkpoint_at is not None:
        yield f"checkpoint of {job.checkpoint_at:%Y-%m-%d %H:%M:%S}"


def print_plan(out: Output, plan: Plan) -> None:
    if out.as_json:
        out.one(plan, ())
        return
    for problem in plan.problems:
        out.console.print(Text(f"{problem.title}: {problem.detail}", style="red"), soft_wrap=True)
    for step in plan.steps:
        took = f" ({_time(step.seconds)})" if step.seconds else ""
        out.console.print(Text(f"recipe[{step.index}] {step.kind}: {step.does}{took}"), soft_wrap=True)
        for line in _about(step):
            out.console.print(Text(f"  {line}"), soft_wrap=True)
    if plan.memory_bytes is not None:
        out.console.print(f"memory: {plan.memory_bytes / 2**20:,.0f} MiB at most")
    if plan.seconds is not None:
        out.console.print(f"time: {_time(plan.seconds)}")
    if plan.quality is not None:
        out.console.print(f"quality: {plan.quality.metric}, measured on the {plan.quality.on}")
    for note in plan.notes:
        out.console.print(Text(note), soft_wrap=True)


def _about(step: PlannedStep) -> Iterator[str]:
    """What the sentence of a step does not say."""
    yield f"parameters: {_planned(step.parameters)}, MACs: {_planned(step.macs)}"
    if step.left_alone:
        yield f"{len(step.left_alone)} left alone: {_reasons(step.left_alone)}"
    yield from step.notes


def _planned(change: Change) -> str:
    before, after = ("unknown" if each is None else f"{each:,}" for each in (change.before, change.after))
    return before if before == after else f"{before} → {after}"


def _reasons(left_alone: dict[str, str]) -> str:
    """The commonest first, each with how many layers it holds for, or with the name of the only one."""
    layers: dict[str, list[str]] = {}
    for name, why in left_alone.items():
        layers.setdefault(why, []).append(name)
    ordered = sorted(layers.items(), key=lambda each: -len(each[1]))
    shown = [
        f"{short(why, _LONGEST)} ({short(names[0], _LONGEST) if len(names) == 1 else len(names)})"
        for why, names in ordered[:_REASONS]
    ]
    if others := sum(len(names) for _, names in ordered[_REASONS:]):
        shown.append(f"other reasons ({others}; --json has them)")
    return "; ".join(shown)


def counted(event: Event) -> str:
    """The numbers that an event has in its data alone: what is left in all, and in the first layers."""
    if isinstance(left := event.data.get("left"), int):
        return f", {left:,} left"
    for found in event.data.values():
        if isinstance(found, dict) and found and all(isinstance(count, int) for count in found.values()):
            each = [f"{name}={count:,}" for name, count in found.items()]
            more = [f"{len(each) - _COUNTS} more"] if len(each) > _COUNTS else []
            return f": {sum(found.values()):,} ({', '.join([*each[:_COUNTS], *more])})"
    return ""


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
    if report.replay is not None:
        out.console.print(report.replay.verdict)
    out.console.print(_before_after(report))
    for constraint in report.constraints:
        met = "met" if constraint.met else "NOT MET"
        out.console.print(f"{constraint.name} {constraint.limit:g}: {constraint.value:.4g}, {met}")
    out.console.print(f"verdict: {report.verdict}")


def _before_after(report: Report) -> Table:
    table = Table("", "before", "after", "change", box=None)
    for name, *numbers in rows(report):
        table.add_row(Text(name), *numbers)
    return table


def rows(report: Report) -> Iterator[tuple[str, str, str, str]]:
    """Each metric before and after. What only the result has, such as its distance from the baseline, has nothing
    before."""
    for metric in report.baseline.metrics:
        after = report.result.get(metric.name)
        if after is not None:
            yield _label(metric), _number(metric.value), _number(after), _change(metric, after)
    for metric in report.result.metrics:
        if report.baseline.get(metric.name) is None:
            yield _label(metric), "-", _number(metric.value), "-"


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
