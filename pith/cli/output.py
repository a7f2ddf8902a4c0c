"""What commands say: tables for people on stdout, JSON for machines, progress on stderr."""

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from pith.client import Pith
from pith.transfer import Progress as Told
from pith.wire import DEFAULT_URL

# An id that is cut short is of no use; and what is read by a program has no width.
ID_WIDTH = 30
WIDE = 1000


class Output:
    """Names and messages come from elsewhere: nothing in them is taken for markup."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(markup=False, highlight=False, emoji=False)
        if not self.console.is_terminal:
            self.console.width = WIDE
        self.aside = Console(stderr=True, markup=False, highlight=False, emoji=False)

    def one(self, value: BaseModel, columns: Sequence[str]) -> None:
        if self.as_json:
            click.echo(value.model_dump_json(indent=2))
            return
        table = Table(show_header=False, box=None)
        for column in columns:
            table.add_row(column, _cell(getattr(value, column)))
        self.console.print(table)

    def many(self, values: Iterable[BaseModel], columns: Sequence[str]) -> None:
        if self.as_json:
            click.echo(json.dumps([value.model_dump(mode="json") for value in values], indent=2, ensure_ascii=False))
            return
        table = Table(box=None)
        for column in columns:
            table.add_column(column, no_wrap=column == "id", min_width=ID_WIDTH if column == "id" else None)
        for value in values:
            table.add_row(*(_cell(getattr(value, column)) for column in columns))
        self.console.print(table)

    def note(self, text: str) -> None:
        self.aside.print(text, soft_wrap=True)

    @contextmanager
    def moving(self, what: str) -> Iterator[Told]:
        """A bar for bytes on their way; silent for machines and where stderr is no terminal."""
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        hidden = self.as_json or not self.aside.is_terminal
        with Progress(*columns, console=self.aside, transient=True, disable=hidden) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def connected(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--url`` and ``--json``, and call it with the client and the output. A key: PITH_API_KEY."""

    @click.option("--url", envvar="PITH_URL", default=DEFAULT_URL, show_default=True, help="The service (or PITH_URL).")
    @click.option("--json", "as_json", is_flag=True, help="Say it as JSON.")
    @functools.wraps(function)
    def command(url: str, as_json: bool, **options: Any) -> Any:
        with Pith(url, os.environ.get("PITH_API_KEY")) as pith:
            return function(pith, Output(as_json), **options)

    return command


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        value = ", ".join(map(str, value)) or "-"
    return "-" if value is None else f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)
