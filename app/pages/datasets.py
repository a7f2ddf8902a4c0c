"""Datasets: the list, where new ones are uploaded, and one of them with a preview."""

from typing import Annotated, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.pages.render import page
from app.pages.visitor import pages_for
from app.parameters import plausible
from app.service import TheService
from pith.dataset import DatasetFacts, Preview
from pith.resources import ResourceStatus
from pith.task import Task

SHOWN = 25
router = APIRouter(prefix="/datasets", include_in_schema=False, dependencies=pages_for())


@router.get("")
def show_all(
    request: Request,
    service: TheService,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    status: ResourceStatus | None = None,
) -> HTMLResponse:
    unfinished = [each for each in service.uploads.list(200).data if each.of == "dataset" and each.dataset is None]
    return page(
        request,
        "datasets.html.j2",
        found=service.datasets.list(SHOWN, cursor, status),
        cursor=cursor,
        only=status,
        unfinished=unfinished,
        tasks=get_args(Task),
    )


@router.get("/{id}")
def show(request: Request, id: str, service: TheService) -> HTMLResponse:
    dataset = service.datasets.get(plausible(id, "dataset", "/v1/datasets"))
    facts = dataset.facts
    preview = service.datasets.preview(dataset.id) if facts is not None else None
    return page(
        request,
        "dataset.html.j2",
        dataset=dataset,
        preview=preview,
        drawn=_pictures(preview, facts),
        types={column.name: column.type for column in facts.columns} if facts is not None else {},
        most=max((max(split.classes.values(), default=0) for split in facts.splits), default=0) if facts else 0,
        jobs=service.jobs.list(10, naming=(dataset.id,)).data,
    )


def _pictures(preview: Preview | None, facts: DatasetFacts | None) -> tuple[str, ...]:
    """The columns that can be looked at: pictures, and tensors that were drawn as some."""
    if preview is None or facts is None or not preview.samples:
        return ()
    first = preview.samples[0]
    drawn = {name for name, value in first.items() if isinstance(value, dict) and "picture" in value}
    return tuple(column.name for column in facts.columns if column.type == "image" or column.name in drawn)
