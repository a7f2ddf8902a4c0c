"""`pith run`: upload, wait for the checks, submit, watch, compare, download."""

from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pith.cli import given, spec
from pith.cli.jobs import download_to
from pith.cli.output import Output, connected
from pith.cli.summary import print_job, print_report
from pith.cli.uploads import checked, sent, tag_option
from pith.client import Pith
from pith.dataset import DatasetSchema
from pith.intake import Architecture
from pith.job import Event, Job

NOT_MET = 3
_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", metavar="SPEC")
@click.option("--model", type=_FILE, help="Model file to upload; without it or --architecture, SPEC names an id.")
@given.architecture_options
@click.option("--data", type=_FILE, help="Dataset file to upload; without it, SPEC may name a dataset's id.")
@given.schema_option
@click.option("--out", "to", default="pith-out", show_default=True, type=_FILE, help="Folder for the results.")
@tag_option
@connected
def run(
    pith: Pith,
    out: Output,
    file: str,
    model: Path | None,
    data: Path | None,
    to: Path,
    words: tuple[str, ...],
    tags: tuple[str, ...],
    **options: Any,
) -> int:
    """Do the whole thing: upload, have it checked, run the recipe in SPEC (JSON; - is stdin), download the results.

    Exits with 1 when the job fails, and with 3 when its constraints are not met.
    """
    document, built, schema = spec.read(file), given.architecture(**options), given.schema(words)
    own_model = model is not None or built is not None
    if not own_model and "model" not in document:
        raise click.UsageError(f'{file} names no model; give the file with --model FILE, or an id as its "model"')
    if schema is not None and data is None:
        raise click.UsageError("--schema belongs to --data FILE")
    # Found wrong before gigabytes are sent.
    spec.parse(document, f"mdl_{spec.STANDIN}" if own_model else None, f"dts_{spec.STANDIN}" if data else None)
    job = pith.jobs.submit(spec.parse(document, *_uploaded(pith, out, model, built, data, schema)), tags=tags)
    out.note(f"{pith.jobs.url(job.id)}")
    return _finished(pith, out, _watched(pith, out, job), to)


def _uploaded(
    pith: Pith,
    out: Output,
    model: Path | None,
    built: Architecture | None,
    data: Path | None,
    schema: DatasetSchema | None,
) -> tuple[str | None, str | None]:
    """The ids of what is uploaded here, once both were checked.

    Raises:
        PithError: why one of them was rejected.
    """
    fresh = pith.build(built) if model is None and built is not None else None
    net = fresh if model is None else sent(out, pith.models, model, said=built)
    dataset = None if data is None else sent(out, pith.datasets, data, said=schema)
    if net is not None:
        checked(out, pith.models, net)
    if dataset is not None:
        checked(out, pith.datasets, dataset)
    return None if net is None else net.id, None if dataset is None else dataset.id


def _watched(pith: Pith, out: Output, job: Job) -> Job:
    try:
        if out.as_json or not out.aside.is_terminal:
            return pith.jobs.wait(job.id, lambda event: _say(out, event))
        return _with_bar(pith, out, job)
    except KeyboardInterrupt:
        out.note(f"The job goes on. Watch it: pith jobs events {job.id}. Stop it: pith jobs cancel {job.id}.")
        raise


def _say(out: Output, event: Event) -> None:
    if not out.as_json and event.type not in {"progress", "metric"}:
        out.note(f"{event.at:%H:%M:%S} {event.type} {event.message}")


def _with_bar(pith: Pith, out: Output, job: Job) -> Job:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        "{task.percentage:>3.0f} %",
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out.aside, transient=True) as bar:
        task = bar.add_task("queued", total=1.0)

        def show(event: Event) -> None:
            fraction = event.data.get("fraction")
            done = fraction if isinstance(fraction, int | float) else None
            bar.update(task, description=(event.message or event.type)[:60], completed=done)

        return pith.jobs.wait(job.id, show)


def _finished(pith: Pith, out: Output, job: Job, to: Path) -> int:
    if job.status != "succeeded":
        print_job(out, job)
        return 1
    print_report(out, pith.jobs.report(job.id))
    download_to(pith, out, job.id, (), to)
    return NOT_MET if job.verdict == "not_met" else 0
