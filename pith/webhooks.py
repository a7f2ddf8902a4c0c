"""Webhooks: whom a project tells what has happened, signed by the Standard Webhooks scheme (standardwebhooks.com)."""

from datetime import datetime
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from pith.artifact import Name
from pith.base import Frozen
from pith.ids import DeliveryId, JobId, ProjectId, WebhookId

Happening = Literal[
    "job.started",
    "job.paused",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "model.ready",
    "model.rejected",
    "dataset.ready",
    "dataset.rejected",
]
"""What can be told of: a job's way, and what the check of an upload has found."""
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)
ENDS: tuple[Happening, ...] = ("job.succeeded", "job.failed", "job.cancelled")
DeliveryStatus = Literal["pending", "delivered", "failed"]


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or parts.scheme not in ("http", "https"):
        raise ValueError("should be an address such as https://example.org/hook")
    if parts.username is not None or parts.password is not None:
        raise ValueError("should hold no user and no password; the signature says who sends")
    if not url.isascii() or not url.isprintable() or " " in url or parts.fragment:
        raise ValueError("should be plain ASCII without spaces and without a fragment")
    return url


Url = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_address)]


class NewWebhook(Frozen):
    """What is asked of a webhook that is made."""

    url: Url = Field(description="Where to; https, and a public address unless the operator allows others.")
    events: tuple[Happening, ...] = Field(ENDS, min_length=1, max_length=len(HAPPENINGS), description="What of.")
    every_job: bool = Field(True, description="False: only of jobs whose spec names it.")
    name: Name = Field("webhook", description="What to call it.")


class WebhookChange(Frozen):
    """What is to be changed; what is left out stays."""

    url: Url | None = None
    events: tuple[Happening, ...] | None = Field(None, min_length=1, max_length=len(HAPPENINGS))
    every_job: bool | None = None
    name: Name | None = None
    enabled: bool | None = None


class Delivery(Frozen):
    """One message to one webhook. ``id`` is its webhook-id, the same each time that it is sent."""

    id: DeliveryId
    webhook: WebhookId
    type: str
    job: JobId | None
    status: DeliveryStatus
    attempts: int = Field(ge=0)
    created_at: datetime
    next_at: datetime | None = Field(description="When it is sent next; null when it is not.")
    delivered_at: datetime | None
    last_status: int | None = Field(description="The HTTP status of the last answer.")
    last_error: str | None = Field(description="Why there was no answer, or why it was not taken for one.")


class Webhook(Frozen):
    """A webhook of a project. It is disabled when the other side has answered 410, until somebody enables it."""

    id: WebhookId
    project: ProjectId
    name: Name
    url: str
    events: tuple[Happening, ...]
    every_job: bool
    enabled: bool
    created_at: datetime
    last_delivery: Delivery | None = Field(None, description="Its newest message, and what became of it.")
    failing: int = Field(0, ge=0, description="How many messages have failed since one arrived.")


class IssuedWebhook(Webhook):
    """A webhook whose secret has just been made."""

    secret: str | None = Field(
        description="Verifies signatures (whsec_ and base64). Shown this once; null where the request was sent before, "
        "under the same Idempotency-Key. After a rotation the one before signs too, for a day."
    )
