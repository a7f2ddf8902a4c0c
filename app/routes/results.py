"""What came of a job: its report and its artifacts."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import ValidationError

from app.accept import preferred
from app.access import needs
from app.conditions import answer_text
from app.docs import binary, problems
from app.download import send
from app.parameters import Cursor, JobPath, Limit
from app.service import Service, TheService
from pith.artifact import MEDIA_TYPES, Artifact
from pith.errors import PithError
from pith.faces.markdown import markdown
from pith.report import Report
from pith.resources import Page

router = APIRouter(prefix="/v1/jobs", tags=["results"], dependencies=[needs()])
# The page is made by a worker that has read an untrusted model: no script of it runs, whatever it holds.
REPORT_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_FACES = ("application/json", "text/html", "text/markdown")
_TYPES = tuple(dict.fromkeys(("application/octet-stream", *MEDIA_TYPES.values())))
PART: dict[int | str, dict[str, Any]] = {
    206: binary("The one range of bytes that was asked for.", *_TYPES),
    304: {"description": "The digest in If-None-Match is still right."},
}
DOWNLOAD = {
    **problems("not_found", "range_not_satisfiable", "precondition_failed", "blob_missing"),
    200: binary("The bytes; ETag is their digest.", *_TYPES),
    **PART,
}


@router.head("/{id}/report", include_in_schema=False)
@router.get(
    "/{id}/report",
    response_model=Report,
    responses={
        **problems(
            "not_found",
            "report_not_ready",
            "report_unreadable",
            "range_not_satisfiable",
            "precondition_failed",
            "blob_missing",
        ),
        **PART,
        200: {"description": "The report.", "content": {kind: {"schema": {"type": "string"}} for kind in _FACES[1:]}},
    },
    summary="A job's report: JSON; a page or Markdown with Accept: text/html or text/markdown",
)
def report(request: Request, id: JobPath, service: TheService) -> Response:
    kind = preferred(request.headers.get("accept"), _FACES)
    stored = stored_report(service, id, "html" if kind == "text/html" else "json")
    if kind == "text/markdown":
        return _as_markdown(request, service, stored)
    response = send(request, service.blobs, stored, disposition="inline")
    response.headers["Vary"] = "Accept"
    if kind == "text/html":
        response.headers["Content-Security-Policy"] = REPORT_CSP
    return response


@router.get("/{id}/artifacts", responses=problems("not_found"), summary="A job's artifacts, by name")
def artifacts(id: JobPath, service: TheService, limit: Limit = 50, cursor: Cursor = None) -> Page[Artifact]:
    after = [artifact for artifact in service.jobs.artifacts(id) if artifact.name > (cursor or "")]
    more = len(after) > limit
    return Page[Artifact](data=tuple(after[:limit]), next_cursor=after[limit - 1].name if more else None)


@router.head("/{id}/artifacts/{name}", include_in_schema=False)
@router.get("/{id}/artifacts/{name}", response_class=Response, responses=DOWNLOAD, summary="Download an artifact")
def artifact(
    request: Request,
    id: JobPath,
    name: Annotated[str, Path(description="Name of the artifact.", examples=["model.onnx"])],
    service: TheService,
) -> Response:
    """Takes ``Range`` (one range), ``If-Range``, ``If-None-Match``, ``If-Match``, and HEAD."""
    if not name.isprintable() or len(name) > 255:
        raise PithError("not_found", what="artifact", id=name[:64], listing=f"/v1/jobs/{id}/artifacts")
    return send(request, service.blobs, service.jobs.artifact(id, name))


def _as_markdown(request: Request, service: Service, stored: Artifact) -> Response:
    """Made now, from the JSON that was stored."""
    try:
        text = b"".join(service.blobs.read(stored.digest, 0, stored.size_bytes))
        said = markdown(Report.model_validate_json(text))
    except FileNotFoundError as fault:
        raise PithError("blob_missing", digest=stored.digest, what=f"artifact {stored.name!r}") from fault
    except ValidationError as fault:
        raise PithError("report_unreadable", id=stored.job) from fault
    return answer_text(request, said, "text/markdown", {"Vary": "Accept"})


def stored_report(service: Service, id: str, form: str) -> Artifact:
    job = service.jobs.get(id)
    for stored in job.artifacts:
        if stored.kind == "report" and stored.format == form:
            return stored
    why = f"; its error: {job.error.detail}" if job.error else "."
    raise PithError("report_not_ready", id=id, status=job.status, why=why)
