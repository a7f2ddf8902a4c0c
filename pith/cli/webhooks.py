"""`pith webhooks …`: whom a project tells what has happened."""

import itertools

import click

from pith.cli import given
from pith.cli.output import Output, connected
from pith.client import Pith
from pith.webhooks import ENDS, HAPPENINGS, Happening, NewWebhook, WebhookChange

COLUMNS = ("id", "name", "url", "events", "every_job", "enabled", "failing", "created_at")
DELIVERY = ("id", "type", "job", "status", "attempts", "last_status", "last_error", "next_at")
limit_option = click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Most to show.")


@click.group()
def webhooks() -> None:
    """Webhooks: addresses that are told what has happened."""


@webhooks.command()
@click.argument("address", metavar="URL")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice(HAPPENINGS),
    default=ENDS,
    show_default=True,
    help="What it is told of; several times.",
)
@click.option("--only-named", is_flag=True, help="Only of jobs whose spec names it.")
@click.option("--name", default="webhook", help="What to call it.")
@connected
def create(pith: Pith, out: Output, address: str, events: tuple[Happening, ...], only_named: bool, name: str) -> None:
    """Have URL told. The secret that verifies its signatures is printed this once: alone on stdout."""
    asked = given.checked(NewWebhook, url=address, events=events, every_job=not only_named, name=name)
    made = pith.webhooks.create(asked)
    if out.as_json:
        out.one(made, ())
        return
    out.note(f"Webhook {made.id} tells {made.url} of {', '.join(made.events)}. Its secret is not shown again:")
    click.echo(made.secret)


@webhooks.command("list")
@limit_option
@connected
def list_webhooks(pith: Pith, out: Output, limit: int) -> None:
    """List webhooks, newest first."""
    out.many(itertools.islice(pith.webhooks.list(), limit), COLUMNS)


@webhooks.command()
@click.argument("id")
@click.option("--address", help="Another one to tell.")
@click.option("--enable/--disable", default=None, help="Whether it is told at all.")
@connected
def change(pith: Pith, out: Output, id: str, address: str | None, enable: bool | None) -> None:
    """Change where a webhook goes, or whether it does."""
    out.one(pith.webhooks.change(id, given.checked(WebhookChange, url=address, enabled=enable)), COLUMNS)


@webhooks.command()
@click.argument("id")
@connected
def rotate(pith: Pith, out: Output, id: str) -> None:
    """Give a webhook another secret; the one before signs too for a day."""
    click.echo(pith.webhooks.rotate(id).secret)


@webhooks.command()
@click.argument("id")
@connected
def delete(pith: Pith, out: Output, id: str) -> None:
    """Delete a webhook, with the messages that wait."""
    pith.webhooks.delete(id)
    out.note(f"Deleted {id}.")


@webhooks.command()
@click.argument("id")
@connected
def test(pith: Pith, out: Output, id: str) -> None:
    """Send a message that says nothing; see what became of it with `pith webhooks deliveries`."""
    out.one(pith.webhooks.test(id), DELIVERY)


@webhooks.command()
@click.argument("id")
@limit_option
@connected
def deliveries(pith: Pith, out: Output, id: str, limit: int) -> None:
    """List a webhook's messages, newest first, and what became of each."""
    out.many(itertools.islice(pith.webhooks.deliveries(id), limit), DELIVERY)


@webhooks.command()
@click.argument("id")
@click.argument("delivery")
@connected
def resend(pith: Pith, out: Output, id: str, delivery: str) -> None:
    """Send a message again, at once."""
    out.one(pith.webhooks.resend(id, delivery), DELIVERY)
