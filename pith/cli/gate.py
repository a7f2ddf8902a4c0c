"""A job as the gate of a pipeline: what is required of it, what is fetched, what is written down, how it exits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pith.cli import codes, markdown
from pith.cli.fetch import download_to
from pith.cli.output import Output
from pith.cli.summary import print_job, print_report
from pith.cli.watch import watched
from pith.client import Pith
from pith.errors import PithError
from pith.job import JobSpec
from pith.patience import patiently
from pith.requirements import Outcome, Requirement, check, outcome, parse

Command = Callable[..., Any]
_FILE = click.Path(path_type=Path)


@dataclass(frozen=True)
class Gate:
    """What the options say."""

    require: tuple[Requirement, ...]
    artifacts: tuple[str, ...]
    summary: Path | None
    variables: Path | None
    cancel_on_interrupt: bool


def gate_options(command: Command) -> Command:
    """Give a command the options of a gate, which ``Gate(**options)`` takes."""
    for option in (
        click.option("--cancel-on-interrupt", is_flag=True, help="Cancel the job on Ctrl-C or SIGTERM."),
        click.option(
            "--variables",
            type=_FILE,
            envvar="GITHUB_OUTPUT",
            help="File to append job=, verdict= and the like to (or GITHUB_OUTPUT).",
        ),
        click.option(
            "--summary",
            type=_FILE,
            envvar="GITHUB_STEP_SUMMARY",
            help="File to append the report to, as Markdown (or GITHUB_STEP_SUMMARY).",
        ),
        click.option("--artifact", "artifacts", multiple=True, metavar="NAME", help="Only these; again for more."),
        click.option(
            "--require",
            multiple=True,
            callback=_understood,
            metavar="REQUIREMENT",
            help="compression_ratio>=4, metric_drop<=0.01, accuracy>=0.9, met; again for more. All must hold.",
        ),
    ):
        command = option(command)
    return command


def possible(gate: Gate, spec: JobSpec) -> None:
    """Refuse what this job can never give, before it runs.

    Raises:
        PithError: ``requirement_refused``.
        click.UsageError: an artifact that it does not make.
    """
    check(gate.require, spec)
    forms = [*spec.outputs, *(["pith"] if spec.encodes() else [])]
    made = (*(f"model.{form}" for form in forms), "preprocessing.json", "tokenizer.json", "report.json", "report.html")
    if missing := set(gate.artifacts) - set(made):
        raise click.UsageError(f"the job makes no {', '.join(sorted(missing))}; it can make {', '.join(made)}")


def ended(pith: Pith, out: Output, id: str, gate: Gate, to: Path | None) -> int:
    """Wait for a job, fetch what came of it into a folder, tell, and give the exit code."""
    job = watched(pith, out, id, gate.cancel_on_interrupt)
    reported = job.status == "succeeded" and isinstance(job.spec, JobSpec)
    report = patiently(lambda: pith.jobs.report(id)) if reported else None
    found = outcome(job, report, gate.require)
    _tell(out, found)
    _append(gate.summary, markdown.summary(found))
    _append(gate.variables, markdown.variables(found))
    if report is not None and to is not None:
        download_to(pith, out, id, gate.artifacts, to)
    if job.status != "succeeded":
        return codes.JOB_FAILED
    return 0 if found.passed else codes.NOT_MET


def _tell(out: Output, found: Outcome) -> None:
    if out.as_json:
        out.one(found, ())
    elif found.report is None:
        print_job(out, found.job)
    else:
        print_report(out, found.report)
        for judged in found.requirements:
            out.console.print(f"required {judged}", soft_wrap=True)


def _understood(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> tuple[Requirement, ...]:
    try:
        return tuple(parse(text) for text in texts)
    except PithError as error:
        raise click.BadParameter(error.problem.detail, context, option) from error


def _append(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as fault:
        raise PithError("file_unreadable", path=str(path), reason=fault.strerror or str(fault)) from fault
