"""`pith models …` and `pith datasets …`."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from pith.cli import given
from pith.cli.facts import print_preview, print_resource
from pith.cli.output import Output, connected
from pith.client import Pith, Uploads
from pith.errors import PithError
from pith.resources import Dataset, Model, ResourceStatus

T = TypeVar("T", Model, Dataset)
COLUMNS = ("id", "name", "status", "size_bytes", "created_at")
STATUSES = get_args(ResourceStatus)
limit_option = click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Most to show.")
wait_option = click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Wait for the check of what it is."
)
_sha256_option = click.option("--sha256", help="Refuse what is fetched if this is not its digest.")
tag_option = click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag; several times for several.")
_FILE = click.Path(path_type=Path)


def models() -> click.Group:
    group = _group("models", "Models: what can be compressed.", lambda pith: pith.models)

    @group.command()
    @click.argument("file", type=_FILE, required=False)
    @click.option("--name", help="Instead of the file's own name.")
    @given.architecture_options
    @tag_option
    @wait_option
    @connected
    def upload(
        pith: Pith,
        out: Output,
        file: Path | None,
        name: str | None,
        tags: tuple[str, ...],
        wait: bool,
        **options: Any,
    ) -> None:
        """Upload a model file, or have one built: --architecture NAME without a FILE has fresh weights.

        Exits with 1 when the check rejects it.
        """
        said = given.architecture(**options)
        if file is not None:
            made = sent(out, pith.models, file, name, said, tags)
        elif said is not None:
            made = pith.build(said, name)
            made = pith.models.change(made.id, tags=tags) if tags else made
        else:
            raise click.UsageError("give a FILE, or an --architecture NAME for a model with fresh weights")
        print_resource(out, checked(out, pith.models, made) if wait else made)

    @group.command("import")
    @click.argument("source")
    @click.option("--name", help="Instead of the source's own name.")
    @_sha256_option
    @given.architecture_options
    @wait_option
    @connected
    def import_(
        pith: Pith, out: Output, source: str, name: str | None, sha256: str | None, wait: bool, **options: Any
    ) -> None:
        """Have the service fetch a model: https://…, s3://BUCKET/KEY, models:/NAME/VERSION, hf://OWNER/NAME.

        Exits with 1 when it cannot be fetched, or the check rejects it.
        """
        made = pith.models.import_(source, name, sha256, given.architecture(**options))
        print_resource(out, checked(out, pith.models, made) if wait else made)

    @group.command("from-job")
    @click.argument("job")
    @click.argument("artifact", required=False)
    @click.option("--name", help="Instead of one after the model that the job began with.")
    @given.architecture_options
    @tag_option
    @wait_option
    @connected
    def from_job(
        pith: Pith,
        out: Output,
        job: str,
        artifact: str | None,
        name: str | None,
        tags: tuple[str, ...],
        wait: bool,
        **options: Any,
    ) -> None:
        """Make a model of what a job has made: model.pt2, or model.onnx, or the ARTIFACT. No byte comes here.

        Exits with 1 when the check rejects it.
        """
        made = pith.take(job, artifact, name, given.architecture(**options), tags=tags)
        print_resource(out, checked(out, pith.models, made) if wait else made)

    return group


def datasets() -> click.Group:
    group = _group("datasets", "Datasets: what models are trained and measured on.", lambda pith: pith.datasets)

    @group.command()
    @click.argument("file", type=_FILE)
    @click.option("--name", help="Instead of the file's own name.")
    @given.schema_option
    @tag_option
    @wait_option
    @connected
    def upload(
        pith: Pith,
        out: Output,
        file: Path,
        name: str | None,
        words: tuple[str, ...],
        tags: tuple[str, ...],
        wait: bool,
    ) -> None:
        """Upload a dataset file. Exits with 1 when the check rejects it."""
        made = sent(out, pith.datasets, file, name, given.schema(words), tags)
        print_resource(out, checked(out, pith.datasets, made) if wait else made)

    @group.command("import")
    @click.argument("source")
    @click.option("--name", help="Instead of the source's own name.")
    @_sha256_option
    @given.schema_option
    @wait_option
    @connected
    def import_(
        pith: Pith,
        out: Output,
        source: str,
        name: str | None,
        sha256: str | None,
        words: tuple[str, ...],
        wait: bool,
    ) -> None:
        """Have the service fetch a dataset: https://… or s3://BUCKET/KEY."""
        made = pith.datasets.import_(source, name, sha256, given.schema(words))
        print_resource(out, checked(out, pith.datasets, made) if wait else made)

    @group.command()
    @click.argument("id")
    @connected
    def preview(pith: Pith, out: Output, id: str) -> None:
        """Show class counts and a few samples."""
        print_preview(out, pith.preview(id))

    return group


def sent(
    out: Output,
    uploads: Uploads[T, Any],
    file: Path,
    name: str | None = None,
    said: Any = None,
    tags: tuple[str, ...] = (),
    key: str | None = None,
) -> T:
    """Upload with a bar."""
    with out.moving(file.name) as told:
        return uploads.upload(file, name, told, said, key, tags)


def checked(out: Output, uploads: Uploads[T, Any], made: T) -> T:
    """The same once it is ready.

    Raises:
        PithError: why it was rejected.
    """
    if not out.as_json:
        out.note(f"{made.name} is being checked ({made.id})")
    try:
        return uploads.ready(made.id)
    except PithError:
        out.note(f"{made.name} ({made.id}) was rejected.")
        raise
    except KeyboardInterrupt:
        out.note("The check goes on; see what it finds with `pith models show` or `pith datasets show`.")
        raise


def _group(noun: str, about: str, of: Callable[[Pith], Uploads[Any, Any]]) -> click.Group:
    what = noun.removesuffix("s")

    @click.command("list", help=f"List {noun}, newest first.")
    @click.option("--status", type=click.Choice(STATUSES), help=f"Only {noun} with this status.")
    @tag_option
    @limit_option
    @connected
    def show_all(pith: Pith, out: Output, status: ResourceStatus | None, tags: tuple[str, ...], limit: int) -> None:
        out.many(itertools.islice(of(pith).list(status, tags), limit), COLUMNS)

    @click.command(help=f"Show a {what}, and what its check has learnt.")
    @click.argument("id")
    @connected
    def show(pith: Pith, out: Output, id: str) -> None:
        print_resource(out, of(pith).get(id))

    @click.command(help=f"Check a {what} again.")
    @click.argument("id")
    @wait_option
    @connected
    def check(pith: Pith, out: Output, id: str, wait: bool) -> None:
        again = of(pith).check(id)
        print_resource(out, checked(out, of(pith), again) if wait else again)

    @click.command(help=f"Delete a {what}.")
    @click.argument("id")
    @connected
    def delete(pith: Pith, out: Output, id: str) -> None:
        of(pith).delete(id)

    @click.command(help=f"Give a {what} these tags in the place of its own.")
    @click.argument("id")
    @click.argument("tags", nargs=-1, metavar="[TAG]...")
    @connected
    def tag(pith: Pith, out: Output, id: str, tags: tuple[str, ...]) -> None:
        print_resource(out, of(pith).change(id, tags=tags))

    return click.Group(noun, [show_all, show, check, tag, delete], help=about)
