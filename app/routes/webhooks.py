"""Webhooks: whom a project tells what has happened, and what became of each message."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from fastapi.concurrency import run_in_threadpool

from app.access import needs
from app.docs import json_body, problems
from app.parameters import Cursor, IdempotencyKey, Limit, json_of, plausible
from app.service import TheService
from pith.resources import Page
from pith.webhooks import Delivery, IssuedWebhook, NewWebhook, Webhook, WebhookChange
from store.idempotency import Key
from store.webhooks import LISTING

router = APIRouter(prefix=LISTING, tags=["webhooks"], dependencies=[needs("admin")])
BODY = ("media_type_not_supported", "body_too_large", "origin_not_allowed")


def _webhook(id: Annotated[str, Path(description="Id of the webhook.")]) -> str:
    return plausible(id, "webhook", LISTING)


def _delivery(
    id: Annotated[str, Path(description="Id of the webhook.")],
    delivery: Annotated[str, Path(description="Id of the delivery.")],
) -> str:
    return plausible(delivery, "delivery", f"{LISTING}/{id[:64]}/deliveries")


WebhookPath = Annotated[str, Depends(_webhook)]
DeliveryPath = Annotated[str, Depends(_delivery)]


@router.post(
    "",
    status_code=201,
    responses=problems("idempotency_key_reused", "address_refused", *BODY),
    openapi_extra=json_body(NewWebhook, "Of every job that ends", url="https://example.org/hook"),
    summary="Make a webhook",
)
async def create(
    asked: Annotated[NewWebhook, Depends(json_of(NewWebhook))],
    service: TheService,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> IssuedWebhook:
    """The secret that verifies its signatures is in this answer and nowhere else. A message says little: ask for the
    rest."""
    key = None if idempotency_key is None else Key.of(idempotency_key, "webhooks", asked.model_dump_json())
    made = await run_in_threadpool(service.webhooks.create, asked, key)
    response.headers["Location"] = f"{LISTING}/{made.id}"
    return made


@router.get("", responses=problems("bad_cursor"), summary="List webhooks, newest first")
def show_all(service: TheService, limit: Limit = 50, cursor: Cursor = None) -> Page[Webhook]:
    return service.webhooks.list(limit, cursor)


@router.get("/{id}", responses=problems("not_found"), summary="Show a webhook")
def show(id: WebhookPath, service: TheService) -> Webhook:
    return service.webhooks.get(id)


@router.patch(
    "/{id}",
    responses=problems("not_found", "address_refused", *BODY),
    openapi_extra=json_body(WebhookChange, "Once more, after it was disabled", enabled=True),
    summary="Change a webhook",
)
async def change(
    id: WebhookPath, change: Annotated[WebhookChange, Depends(json_of(WebhookChange))], service: TheService
) -> Webhook:
    """What waits already goes where it says now."""
    return await run_in_threadpool(service.webhooks.change, id, change)


@router.delete(
    "/{id}",
    status_code=204,
    response_class=Response,
    responses=problems("not_found", "origin_not_allowed"),
    summary="Delete a webhook",
)
def delete(id: WebhookPath, service: TheService) -> None:
    """With its deliveries, also those that wait."""
    service.webhooks.delete(id)


@router.post("/{id}/rotate", responses=problems("not_found", "origin_not_allowed"), summary="Give it another secret")
def rotate(id: WebhookPath, service: TheService) -> IssuedWebhook:
    """For a day the one before signs too, so that no message is lost meanwhile."""
    return service.webhooks.rotate(id)


@router.post(
    "/{id}/test",
    status_code=202,
    responses=problems("not_found", "webhook_disabled", "origin_not_allowed"),
    summary="Send a message that says nothing",
)
def test(id: WebhookPath, service: TheService) -> Delivery:
    return service.webhooks.test(id)


@router.get(
    "/{id}/deliveries", responses=problems("not_found", "bad_cursor"), summary="List its messages, newest first"
)
def deliveries(id: WebhookPath, service: TheService, limit: Limit = 50, cursor: Cursor = None) -> Page[Delivery]:
    """Newest first, those of the last thirty days, and what became of each."""
    return service.webhooks.deliveries(id, limit, cursor)


@router.post(
    "/{id}/deliveries/{delivery}/resend",
    status_code=202,
    responses=problems("not_found", "webhook_disabled", "origin_not_allowed"),
    summary="Send a message again",
)
def resend(id: WebhookPath, delivery: DeliveryPath, service: TheService) -> Delivery:
    """At once, whatever has become of it. It keeps its id, by which the other side knows it."""
    return service.webhooks.resend(id, delivery)
