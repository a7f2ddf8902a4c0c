"""The page that holds several results against each other."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from app.pages import comparison
from app.pages.comparison import Result
from app.pages.jobs import named
from app.pages.render import page
from app.pages.visitor import pages_for
from app.parameters import plausible
from app.routes.results import stored_report
from app.service import Service, TheService
from pith.errors import PithError
from pith.report import Report

MOST = 10
router = APIRouter(prefix="/compare", include_in_schema=False, dependencies=pages_for())


@router.get("")
def compare(
    request: Request,
    service: TheService,
    job: Annotated[list[str] | None, Query(max_length=MOST, description="Jobs that have succeeded.")] = None,
) -> HTMLResponse:
    """Of two to ten jobs; what has no report is named, and left out."""
    found: list[Result] = []
    without: list[str] = []
    for id in dict.fromkeys(job or ()):
        try:
            found.append(_result(service, id, len(found) + 1))
        except PithError as error:
            if error.code not in ("report_not_ready", "not_found", "gone"):
                raise
            without.append(_said(error, id))
    several = len(found) > 1
    return page(
        request,
        "compare.html.j2",
        results=found,
        titles=[named(result.job) for result in found],
        without=without,
        recent=() if several else service.jobs.list(25, status="succeeded").data,
        named=named,
        chosen={result.job.id for result in found},
        rows=comparison.rows(found) if several else (),
        baselines=comparison.baselines(found) if several else {},
        missed=comparison.missed,
        differences=comparison.differences(found) if several else (),
        warnings=comparison.warnings(found) if several else (),
        size=comparison.against_size(found) if several else "",
        latency=comparison.against_latency(found) if several else "",
        coordinates=comparison.coordinates(found) if several else "",
        most=MOST,
    )


def _said(error: PithError, id: str) -> str:
    return f"There is no job called {id[:64]} here." if error.code == "not_found" else error.problem.detail


def _result(service: Service, id: str, number: int) -> Result:
    job = service.jobs.get(plausible(id, "job", "/v1/jobs"))
    stored = stored_report(service, id, "json")
    try:
        report = Report.model_validate_json(b"".join(service.blobs.read(stored.digest, 0, stored.size_bytes)))
    except FileNotFoundError as fault:
        raise PithError("blob_missing", digest=stored.digest, what=f"artifact {stored.name!r}") from fault
    except ValidationError as fault:
        why = "; its report was written by another version of this service."
        raise PithError("report_not_ready", id=id, status=job.status, why=why) from fault
    return Result(f"{number} · {named(job)}"[:60], job, report)
