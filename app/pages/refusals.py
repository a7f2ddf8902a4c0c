"""What a page says in the place of one that cannot be shown: for people, with a link that leads on. The API says
the same for programs."""

from collections.abc import Iterator
from typing import NamedTuple

from fastapi import Request

from pith.errors import Problem

PLACES = {
    "jobs": "job",
    "models": "model",
    "datasets": "dataset",
    "webhooks": "webhook",
    "keys": "key",
    "projects": "project",
}
"""Where lists are, and what one thing of them is called."""


class Refusal(NamedTuple):
    """``links`` are addresses, and what to call them."""

    title: str
    says: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def refusal(request: Request, problem: Problem) -> Refusal:
    place = request.url.path.split("/")[1]
    title, says = _said(request, problem, PLACES.get(place, "page"))
    return Refusal(title, says, tuple(_links(request, problem, place)))


def _said(request: Request, problem: Problem, noun: str) -> tuple[str, tuple[str, ...]]:
    path = request.url.path[:255]
    match problem.code:
        case "not_found":
            last = path.rstrip("/").split("/")[2:3]
            called = f" called {last[0]}" if last and "_" in last[0] else ""
            why = "The address may be cut short or mistyped, or it belongs to another project."
            return f"There is no such {noun}", (f"There is no {noun}{called} here. {why}",)
        case "gone":
            return f"This {noun} was deleted", (problem.detail,)
        case "route_not_found":
            return "There is no such page", (f"Nothing is at {path}. The address may be cut short or mistyped.",)
        case "method_not_allowed":
            return "Nothing can be sent here", (f"{path} is only for reading.",)
        case "bad_cursor":
            return "The list does not go on there", (
                "The address names a place in the list that is not there any more.",
            )
        case "malformed_request" if request.method == "GET" and problem.errors:
            return "The address asks for something that is not there", tuple(_asked(request, problem))
    return problem.title, (problem.detail, *(f"{each.pointer}: {each.detail}" for each in problem.errors))


def _asked(request: Request, problem: Problem) -> Iterator[str]:
    """Each part of the query that is wrong, once."""
    unknown = {_name(each.pointer): each.code == "extra_forbidden" for each in problem.errors}
    for name, means_nothing in unknown.items():
        given = request.query_params.get(name, "")[:64]
        yield f"“{name}” means nothing on this page." if means_nothing else f"“{name}” cannot be “{given}”."


def _name(pointer: str) -> str:
    return pointer.removeprefix("/query/").split("/")[0].replace("~1", "/").replace("~0", "~")


def _links(request: Request, problem: Problem, place: str) -> Iterator[tuple[str, str]]:
    _, _, id, *further = (*request.url.path.split("/"), "", "")
    if problem.code in ("report_not_ready", "not_ready") and any(further):
        yield f"/{place}/{id}", f"Back to the {PLACES.get(place, 'page')}"
    if place in PLACES:
        yield f"/{place}", f"All {place}"
    yield "/", "Overview"
