"""The workers that are there."""

from fastapi import APIRouter

from app.access import needs
from app.docs import problems
from app.service import TheService
from pith.worker import Worker
from store.workers import Workers

router = APIRouter(prefix="/v1/workers", tags=["service"], dependencies=[needs("admin")])


@router.get("", responses=problems(), summary="List the workers that have lately been seen")
def show_all(service: TheService) -> tuple[Worker, ...]:
    """What each computes on and which jobs it takes. One that was killed is listed for a minute more."""
    return Workers(service.db).list()
