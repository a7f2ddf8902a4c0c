"""`pith models …` and `pith datasets …`."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pith.cli.output import Output, connected
from pith.client import Pith, Uploads

COLUMNS = ("id", "name", "size_bytes", "created_at")
limit_option = click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Most to show.")


def group(noun: str, about: str, of: Callable[[Pith], Uploads[Any]]) -> click.Group:
    what = noun.removesuffix("s")

    @click.command(help=f"Upload a {what} file.")
    @click.argument("file", type=click.Path(path_type=Path))
    @click.option("--name", help="Instead of the file's own name.")
    @connected
    def upload(pith: Pith, out: Output, file: Path, name: str | None) -> None:
        with out.moving(file.name) as told:
            made = of(pith).upload(file, name, told)
        out.one(made, (*COLUMNS, "digest"))

    @click.command("list", help=f"List {noun}, newest first.")
    @limit_option
    @connected
    def show_all(pith: Pith, out: Output, limit: int) -> None:
        out.many(itertools.islice(of(pith).list(), limit), COLUMNS)

    @click.command(help=f"Show a {what}.")
    @click.argument("id")
    @connected
    def show(pith: Pith, out: Output, id: str) -> None:
        out.one(of(pith).get(id), (*COLUMNS, "digest"))

    @click.command(help=f"Delete a {what}.")
    @click.argument("id")
    @connected
    def delete(pith: Pith, out: Output, id: str) -> None:
        of(pith).delete(id)

    return click.Group(noun, [upload, show_all, show, delete], help=about)
