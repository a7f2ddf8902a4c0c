"""`pith jobs …`."""

import itertools
from pathlib import Path
from typing import Any, get_args

import click

from pith.cli import spec
from pith.cli.fetch import download_to
from pith.cli.gate import Gate, ended, gate_options
from pith.cli.output import Output, connected
from pith.cli.summary import counted, print_job, print_plan, print_report
from pith.cli.uploads import limit_option, tag_option
from pith.client import Pith
from pith.errors import PithError
from pith.job import JobStatus
from pith.requirements import check

STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)


@click.group()
def jobs() -> None:
    """Jobs: submit, watch, fetch what came of them."""


@jobs.command()
@click.argument("file", metavar="SPEC")
@tag_option
@connected
def submit(pith: Pith, out: Output, file: str, tags: tuple[str, ...]) -> None:
    """Submit the job spec in a JSON file (- is stdin)."""
    print_job(out, pith.jobs.submit(spec.parse(spec.read(file)), tags=tags))


@jobs.command()
@click.argument("file", metavar="SPEC")
@connected
def plan(pith: Pith, out: Output, file: str) -> int:
    """Say what the job spec in a JSON file would do, or all that keeps it from running (then exit with 1)."""
    found = pith.jobs.plan(spec.well_formed(spec.read(file)))
    print_plan(out, found)
    return 0 if found.possible else 1


@jobs.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only jobs with this status.")
@click.option("--naming", metavar="ID", help="Only jobs that name this model or dataset.")
@tag_option
@limit_option
@connected
def show_all(
    pith: Pith, out: Output, status: JobStatus | None, naming: str | None, tags: tuple[str, ...], limit: int
) -> None:
    """List jobs, newest first."""
    found = pith.jobs.list(status, naming=naming, tags=tags)
    out.many(itertools.islice(found, limit), ("id", "status", "verdict", "created_at", "finished_at"))


@jobs.command()
@click.argument("id")
@connected
def show(pith: Pith, out: Output, id: str) -> None:
    """Show a job."""
    print_job(out, pith.jobs.get(id))


@jobs.command()
@click.argument("id")
@click.argument("tags", nargs=-1, metavar="[TAG]...")
@connected
def tag(pith: Pith, out: Output, id: str, tags: tuple[str, ...]) -> None:
    """Give a job these tags in the place of its own."""
    print_job(out, pith.jobs.change(id, tags))


@jobs.command()
@click.argument("id")
@connected
def cancel(pith: Pith, out: Output, id: str) -> None:
    """Cancel a job."""
    print_job(out, pith.jobs.cancel(id))


@jobs.command()
@click.argument("id")
@connected
def pause(pith: Pith, out: Output, id: str) -> None:
    """Pause a job; a running one saves a checkpoint first."""
    print_job(out, pith.jobs.pause(id))


@jobs.command()
@click.argument("id")
@connected
def resume(pith: Pith, out: Output, id: str) -> None:
    """Resume a paused job from its checkpoint."""
    print_job(out, pith.jobs.resume(id))


@jobs.command()
@click.argument("id")
@connected
def replay(pith: Pith, out: Output, id: str) -> None:
    """Run a job's spec again; the new job's report compares the two."""
    print_job(out, pith.jobs.replay(id))


@jobs.command()
@click.argument("id")
@click.argument("step", type=click.IntRange(min=1))
@click.option("--changes", metavar="FILE", help="JSON: recipe from there on, constraints, outputs (- is stdin).")
@connected
def fork(pith: Pith, out: Output, id: str, step: int, changes: str | None) -> None:
    """Run a job again from STEP on; the steps before are taken from it.

    Steps count from 0, as in recipe[1]: STEP is the first one that is run.
    """
    said = {} if changes is None else spec.read(changes)
    print_job(out, pith.jobs.fork(id, spec.fork({**said, "from_step": step})))


@jobs.command()
@click.argument("id")
@connected
def delete(pith: Pith, out: Output, id: str) -> None:
    """Delete a job that has ended, and all that it made."""
    pith.jobs.delete(id)
    out.note(f"{id} is deleted.")


@jobs.command()
@click.argument("id")
@click.option("--out", "to", type=click.Path(path_type=Path), help="Folder for the results; without it, none.")
@gate_options
@connected
def wait(pith: Pith, out: Output, id: str, to: Path | None, **options: Any) -> int:
    """Wait for a job, and exit as `pith run` does."""
    gate = Gate(**options)
    check(gate.require, pith.jobs.get(id).spec)
    return ended(pith, out, id, gate, to)


@jobs.command()
@click.argument("id")
@click.option("--after", default=0, type=click.IntRange(min=0), help="Only events with a greater number.")
@connected
def events(pith: Pith, out: Output, id: str, after: int) -> None:
    """Follow a job's events until it has ended."""
    for event in pith.jobs.events(id, after):
        if out.as_json:
            click.echo(event.model_dump_json())
        else:
            where = "" if event.step is None else f" step {event.step}"
            said = f"{event.type}{where} {event.message}{counted(event)}"
            out.console.print(f"{event.seq:>5} {event.at:%H:%M:%S} {said}", soft_wrap=True)


@jobs.command()
@click.argument("id")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report's page to this file instead.")
@click.option("--markdown", is_flag=True, help="Print it as Markdown, for a pull request.")
@connected
def report(pith: Pith, out: Output, id: str, html: Path | None, markdown: bool) -> None:
    """Show what a job has reached: before and after."""
    if markdown:
        click.echo(pith.jobs.report_markdown(id), nl=False)
    if html is not None:
        _write(html, pith.jobs.report_html(id))
    if html is None and not markdown:
        print_report(out, pith.jobs.report(id))


def _write(path: Path, page: bytes) -> None:
    try:
        path.write_bytes(page)
    except OSError as fault:
        raise PithError("file_unreadable", path=str(path), reason=fault.strerror or str(fault)) from fault


@jobs.command()
@click.argument("id")
@click.argument("names", nargs=-1, metavar="[ARTIFACT]...")
@click.option("--out", "to", default=".", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@connected
def download(pith: Pith, out: Output, id: str, names: tuple[str, ...], to: Path) -> None:
    """Download a job's artifacts, all of them or those named, verified by their digests."""
    download_to(pith, out, id, names, to)
