"""What the service is and how it is: techniques, liveness, readiness, the page at the root."""

from fastapi import APIRouter, Response

from app.access import needs
from app.docs import problems
from app.health import Health, health
from app.service import ThePremises
from pith.recipe import Technique, techniques

router = APIRouter(tags=["service"])


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
async def readyz(service: ThePremises, response: Response) -> Health:
    """A queue that is away, and a disk that fills, are ``degraded``: jobs are taken, and sent once the queue is back.
    Each part has three seconds to answer."""
    found = await health(service.probes)
    if found.status == "failed":
        response.status_code = 503
    return found
