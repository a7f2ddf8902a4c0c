"""The example, for who has nothing to upload yet."""

from fastapi import APIRouter

from app.access import needs
from app.docs import problems
from app.offered import brought_in
from app.service import TheService
from pith.example import Example

router = APIRouter(prefix="/v1/example", tags=["service"], dependencies=[needs("upload")])


@router.post(
    "",
    status_code=201,
    responses=problems("storage_full", "quota_exceeded", "origin_not_allowed"),
    summary="Bring in the example",
)
def bring_in(service: TheService) -> Example:
    """A small network that reads handwritten digits, and the digits: a model and a dataset as any other, with a job
    spec to try. Asking twice makes nothing twice."""
    return brought_in(service)
