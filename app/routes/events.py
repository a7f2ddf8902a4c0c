"""A job's history, as JSON pages or live as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from app.accept import preferred
from app.access import needs
from app.docs import problems
from app.parameters import JobPath
from app.service import Service, TheService
from pith.job import FINAL, Event
from pith.resources import Page
from store.jobs import Jobs

PING_SECONDS = 15.0
LARGEST = 2**53
router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[needs()])


@router.get(
    "/{id}/events",
    response_model=Page[Event],
    responses={
        **problems("not_found"),
        200: {
            "description": "Events by number. Live, each is a message whose id is that number; a ping comes every "
            "15 s, and the stream ends after the event that ends the job.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "Live only: the job has ended and nothing came after; do not reconnect."},
    },
    summary="A job's events: pages, or live with Accept: text/event-stream",
)
async def events(
    request: Request,
    id: JobPath,
    service: TheService,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="Only events with a greater number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500, description="Most events of a page.")] = 100,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=LARGEST, description="As after, from a live stream that broke.")
    ] = None,
) -> Response:
    live = preferred(request.headers.get("accept"), ("application/json", "text/event-stream")) == "text/event-stream"
    since = last_event_id if last_event_id is not None else after
    if live:
        return await _live(id, since, service)
    page = await run_in_threadpool(_page, service.jobs, id, since, limit)
    return Response(page.model_dump_json(), media_type="application/json")


def _page(jobs: Jobs, id: str, after: int, limit: int) -> Page[Event]:
    """``next_cursor`` is the number to go on from; null when there is no more for now."""
    jobs.get(id)
    found = jobs.events(id, after, limit + 1)
    more = len(found) > limit
    return Page[Event](data=found[:limit], next_cursor=str(found[limit - 1].seq) if more else None)


async def _live(id: str, after: int, service: Service) -> Response:
    if await run_in_threadpool(_over, service.jobs, id, after):
        return Response(status_code=204)
    return EventSourceResponse(_stream(service, id, after), headers={"X-Accel-Buffering": "no"})


async def _stream(service: Service, id: str, after: int) -> AsyncIterator[bytes]:
    async with service.feed.watch(id, after, service.caller.key) as watcher:
        yield KEEPALIVE_COMMENT
        while True:
            taken = await watcher.take(PING_SECONDS)
            for event in taken:
                yield format_sse_event(data_str=event.model_dump_json(), event=event.type, id=str(event.seq))
            if taken:
                continue
            if watcher.closed or await run_in_threadpool(_over, service.jobs, id, watcher.after):
                return
            yield KEEPALIVE_COMMENT


def _over(jobs: Jobs, id: str, after: int) -> bool:
    """Whether nothing will ever come after this event."""
    return jobs.get(id).status in FINAL and not jobs.events(id, after, 1)
