"""`pith keys …`, `pith projects …` and `pith me`: who may do what, and how much of it."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from pith.access import SCOPES, USUAL, NewKey, NewProject, Project, ProjectChange, Quotas, Scope
from pith.cli import given
from pith.cli.output import Output, connected
from pith.client import Pith

KEY = ("id", "project", "name", "begins", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
LIMITS: dict[str, str] = {
    "storage_bytes": "Bytes of all that it stores.",
    "upload_bytes": "Most bytes of one file.",
    "jobs_at_once": "Jobs that run at once.",
    "jobs_unfinished": "Jobs that run or wait.",
    "requests_per_minute": "Requests of each of its keys.",
}


@click.command()
@connected
def me(pith: Pith, out: Output) -> None:
    """Show whom the service takes you for, and what your project uses."""
    found = pith.me()
    out.one(found, ("name", "key", "scopes"))
    if not out.as_json:
        _show(out, found.project)
        out.one(found.usage, ("storage_bytes", "jobs_at_once", "jobs_unfinished"))


@click.group()
def keys() -> None:
    """Keys: what opens a service that asks for them."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=USUAL,
    show_default=True,
    help="What it may do besides reading; several times.",
)
@click.option("--read-only", is_flag=True, help="It may do nothing besides reading.")
@click.option("--days", type=click.IntRange(min=1, max=36500), help="How long it is good for; for ever, if not given.")
@click.option("--project", help="Another project than your own.")
@connected
def create_key(
    pith: Pith,
    out: Output,
    name: str,
    scopes: tuple[Scope, ...],
    read_only: bool,
    days: int | None,
    project: str | None,
) -> None:
    """Make a key for NAME. It is printed this once: alone on stdout, the rest on stderr."""
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    asked = given.checked(NewKey, name=name, scopes=() if read_only else scopes, expires_at=until, project=project)
    made = pith.keys.create(asked)
    if out.as_json:
        out.one(made, ())
        return
    out.note(f"Key {made.id} of {made.project} may {', '.join(('read', *made.scopes))}. It is not shown again:")
    click.echo(made.secret)


@keys.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Most to show.")
@connected
def list_keys(pith: Pith, out: Output, limit: int) -> None:
    """List keys, newest first: their beginnings, never their secrets."""
    out.many(itertools.islice(pith.keys.list(), limit), KEY)


@keys.command("revoke")
@click.argument("id")
@connected
def revoke(pith: Pith, out: Output, id: str) -> None:
    """Revoke a key, at once and for good."""
    out.one(pith.keys.revoke(id), KEY)


@click.group()
def projects() -> None:
    """Projects: tenants that see nothing of one another."""


def _quotas(function: Any) -> Any:
    for name, text in reversed(LIMITS.items()):
        flag = f"--{name.replace('_', '-')}"
        function = click.option(flag, type=click.IntRange(min=0), help=text)(function)
    return function


@projects.command("create")
@click.argument("name")
@_quotas
@connected
def create_project(pith: Pith, out: Output, name: str, **quotas: int | None) -> None:
    """Make a project."""
    _show(out, pith.projects.create(given.checked(NewProject, name=name, quotas=quotas)))


@projects.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Most to show.")
@connected
def list_projects(pith: Pith, out: Output, limit: int) -> None:
    """List projects, newest first."""
    out.many(itertools.islice(pith.projects.list(), limit), ("id", "name", "created_at"))


@projects.command("show")
@click.argument("id")
@connected
def show_project(pith: Pith, out: Output, id: str) -> None:
    """Show a project and its quotas."""
    _show(out, pith.projects.get(id))


@projects.command("set")
@click.argument("id")
@click.option("--name", help="Another name.")
@click.option("--unlimited", is_flag=True, help="Take away all quotas that are not given here.")
@_quotas
@connected
def set_project(pith: Pith, out: Output, id: str, name: str | None, unlimited: bool, **quotas: int | None) -> None:
    """Change a project's name or quotas."""
    asked = {key: value for key, value in quotas.items() if value is not None}
    change = given.checked(ProjectChange, name=name)
    if asked or unlimited:
        before = {} if unlimited else pith.projects.get(id).quotas.model_dump()
        change = change.model_copy(update={"quotas": given.checked(Quotas, **{**before, **asked})})
    _show(out, pith.projects.change(id, change))


@projects.command("delete")
@click.argument("id")
@connected
def delete_project(pith: Pith, out: Output, id: str) -> None:
    """Delete a project that holds nothing any more, and revoke its keys."""
    pith.projects.delete(id)
    out.note(f"Deleted {id}.")


def _show(out: Output, project: Project) -> None:
    out.one(project, ("id", "name", "created_at"))
    if not out.as_json:
        out.one(project.quotas, tuple(LIMITS))
