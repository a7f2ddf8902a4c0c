"""Models: the list, where new ones are uploaded, and one of them with its layers and its lineage."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.pages import layers
from app.pages.descent import Drawing, descent
from app.pages.render import fragment, page
from app.pages.visitor import pages_for
from app.parameters import plausible
from app.service import TheService
from pith.architectures import table
from pith.facts import ModelFacts
from pith.recipe import takes
from pith.resources import ResourceStatus

SHOWN = 25
KEPT = {"Cache-Control": "private, max-age=3600"}
NEEDS_ARCHITECTURE = frozenset(
    {"architecture_missing", "architecture_unknown", "architecture_refused", "weights_mismatch"}
)
"""Codes of a rejection that another architecture may mend."""
router = APIRouter(prefix="/models", include_in_schema=False, dependencies=pages_for())


@router.get("")
def show_all(
    request: Request,
    service: TheService,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    status: ResourceStatus | None = None,
) -> HTMLResponse:
    unfinished = [each for each in service.uploads.list(200).data if each.of == "model" and each.model is None]
    return page(
        request,
        "models.html.j2",
        found=service.models.list(SHOWN, cursor, status),
        cursor=cursor,
        only=status,
        unfinished=unfinished,
    )


@router.get("/architectures")
def architectures(request: Request) -> HTMLResponse:
    """The choices of the field for an architecture, which are many, fetched when somebody looks into it."""
    return HTMLResponse(fragment(request, "architectures.html.j2", names=table()), headers=KEPT)


@router.get("/{id}")
def show(request: Request, id: str, service: TheService) -> HTMLResponse:
    model = service.models.get(plausible(id, "model", "/v1/models"))
    facts = model.facts
    known = facts.layers if facts is not None else ()
    lineage = descent(service, model)
    return page(
        request,
        "model.html.j2",
        model=model,
        rows=layers.rows(known),
        ribbons=[(name, layers.ribbon(known, of)) for name, of in (("Parameters", "parameters"), ("MACs", "macs"))],
        legend=layers.legend(known),
        tree=layers.tree(known),
        lineage=lineage,
        original=_original(lineage) if facts is not None and what_is_left(facts) else None,
        jobs=service.jobs.list(10, naming=(model.id,)).data,
        left=what_is_left(facts),
        takes=sorted(takes(facts)),
        asks_architecture=model.error is not None and model.error.code in NEEDS_ARCHITECTURE,
    )


def _original(lineage: Drawing | None) -> str | None:
    """The id of the model that this one was made from, where it is here."""
    before = lineage.before if lineage is not None else ()
    return next((node.key for node in before if node.kind == "model" and node.address), None)


def what_is_left(facts: ModelFacts | None) -> str:
    """What can still be done with a model that is finished, in words; nothing for one that takes every technique."""
    if facts is None or (facts.trainable and not facts.finished_layers):
        return ""
    if facts.finished_layers:
        return (
            f"Nothing more can be taken from it: {facts.finished_layers} of its {len(facts.layers)} layers hold "
            "integers or halves already, and no technique works on a model with such layers. It can still teach, as a "
            "teacher that another model's distillation names. To compress otherwise, start from the model that it was "
            "made from."
        )
    return (
        "It came as ONNX, which is a finished graph: it can be quantized and encoded, and leaves as ONNX alone. "
        "To prune, train, distil or merge it, upload the .pt2 that it was made from."
    )
