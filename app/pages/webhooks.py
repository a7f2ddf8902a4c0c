"""Webhooks: whom a project tells what has happened, and what became of each message."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.pages.render import page
from app.pages.visitor import pages_for
from app.parameters import plausible
from app.service import TheService
from pith.webhooks import ENDS, HAPPENINGS
from store.webhooks import LISTING

SHOWN = 50
router = APIRouter(prefix="/webhooks", include_in_schema=False, dependencies=pages_for("admin"))


@router.get("")
def show_all(
    request: Request, service: TheService, cursor: Annotated[str | None, Query(max_length=500)] = None
) -> HTMLResponse:
    return page(
        request,
        "webhooks.html.j2",
        found=service.webhooks.list(SHOWN, cursor),
        cursor=cursor,
        happenings=[(each, each in ENDS) for each in HAPPENINGS],
    )


@router.get("/{id}")
def show(
    request: Request, id: str, service: TheService, cursor: Annotated[str | None, Query(max_length=500)] = None
) -> HTMLResponse:
    webhook = service.webhooks.get(plausible(id, "webhook", LISTING))
    deliveries = service.webhooks.deliveries(webhook.id, SHOWN, cursor)
    return page(
        request,
        "webhook.html.j2",
        webhook=webhook,
        deliveries=deliveries,
        sending=any(each.status == "pending" and each.last_error is None for each in deliveries.data),
        cursor=cursor,
        happenings=[(each, each in webhook.events) for each in HAPPENINGS],
    )
