"""What the service is and how it is: techniques, liveness, readiness, the page at the root."""

from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from app.access import needs
from app.docs import problems
from app.service import Premises, ThePremises
from pith import __version__
from pith.base import Frozen
from pith.errors import PithError
from pith.recipe import Technique, techniques

router = APIRouter(tags=["service"])
State = Literal["ok", "degraded", "failed"]


class Health(Frozen):
    """Whether requests can be served. Degraded: yes, but jobs wait."""

    status: State
    version: str = __version__
    checks: dict[str, str] = Field(description="ok, or what is wrong, of each thing that is needed.")


@router.get("/v1/techniques", dependencies=[needs()], responses=problems(), summary="Every step that a recipe can have")
def show_techniques() -> tuple[Technique, ...]:
    """``options`` is the JSON Schema of the step, with the bounds and the meaning of every option."""
    return techniques()


@router.get("/livez", summary="Whether the process runs")
async def livez() -> Health:
    return Health(status="ok", checks={})


@router.get(
    "/readyz",
    responses={503: {"model": Health, "description": "The database or the storage fails."}},
    summary="Whether requests can be served",
)
def readyz(service: ThePremises, response: Response) -> Health:
    """A queue that is away is ``degraded``: jobs are taken, and sent once it is back."""
    needed = {"database": _said(service.db.ping), "storage": _said(service.blobs.check_writable)}
    checks = {**needed, "queue": _queue_state(service)}
    failed = any(said != "ok" for said in needed.values())
    if failed:
        response.status_code = 503
    status: State = "failed" if failed else "ok" if checks["queue"] == "ok" else "degraded"
    return Health(status=status, checks=checks)


def _said(check: Callable[[], None]) -> str:
    try:
        check()
    except PithError as error:
        return error.problem.detail
    return "ok"


def _queue_state(service: Premises) -> str:
    return _said(service.queue.ping) if service.queue else "PITH_REDIS_URL is not set"
