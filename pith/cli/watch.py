"""Waiting for a job: a bar on a terminal, lines elsewhere, and what is said when somebody stops waiting."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pith.cli.output import Output
from pith.client import Pith
from pith.errors import PithError
from pith.job import Event, Job

# Of the whole job: how far it must have come since the last line for another one.
_SHARE = 0.1


def watched(pith: Pith, out: Output, id: str, cancel: bool = False) -> Job:
    """The job once it has ended. ``cancel`` it when the wait is interrupted, by Ctrl-C or by SIGTERM."""
    try:
        with _terminable():
            if out.as_json or not out.aside.is_terminal:
                return pith.jobs.wait(id, _lines(out))
            return _with_bar(pith, out, id)
    except KeyboardInterrupt:
        _left(pith, out, id, cancel)
        raise


def _left(pith: Pith, out: Output, id: str, cancel: bool) -> None:
    if not cancel:
        out.note(f"The job goes on. Come back to it: pith jobs wait {id}. Stop it: pith jobs cancel {id}.")
        return
    try:
        out.note(f"The job is {pith.jobs.cancel(id).status}: {id}.")
    except PithError as error:
        out.note(f"The job may go on: {error.problem.detail} Stop it: pith jobs cancel {id}.")


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, which a pipeline sends that is cancelled, interrupts as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _lines(out: Output) -> Callable[[Event], None]:
    told = 0.0

    def say(event: Event) -> None:
        nonlocal told
        fraction = _fraction(event)
        if out.as_json or event.type == "metric":
            return
        if event.type != "progress":
            out.note(f"{event.at:%H:%M:%S} {event.type} {event.message}")
        elif fraction is not None and fraction >= told + _SHARE:
            told = fraction
            out.note(f"{event.at:%H:%M:%S} {fraction:.0%} {event.message}")

    return say


def _with_bar(pith: Pith, out: Output, id: str) -> Job:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        "{task.percentage:>3.0f} %",
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out.aside, transient=True) as bar:
        task = bar.add_task("queued", total=1.0)

        def show(event: Event) -> None:
            bar.update(task, description=(event.message or event.type)[:60], completed=_fraction(event))

        return pith.jobs.wait(id, show)


def _fraction(event: Event) -> float | None:
    fraction = event.data.get("fraction")
    return float(fraction) if isinstance(fraction, int | float) else None
