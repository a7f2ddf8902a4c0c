"""A query parameter that a route does not know is refused, and the nearest that it knows is named."""

from collections.abc import Iterator
from difflib import get_close_matches

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from pith.errors import FieldProblem, PithError


async def known_query(request: Request) -> None:
    """A dependency of every route. Raises PithError ``malformed_request``."""
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = list(dict.fromkeys(_known(route.dependant)))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise refusal(unknown, known)


def _known(dependant: Dependant) -> Iterator[str]:
    """The query parameters of a route and of all that it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for further in dependant.dependencies:
        yield from _known(further)


def refusal(unknown: list[str], known: list[str]) -> PithError:
    found = tuple(
        FieldProblem(pointer=f"/query/{_escaped(name)}", code="extra_forbidden", detail=_detail(name, known))
        for name in dict.fromkeys(unknown)
    )
    wrong = "One query parameter is unknown" if len(found) == 1 else f"{len(found)} query parameters are unknown"
    summary = "; ".join(f"{each.pointer}: {each.detail}" for each in found[:3])
    return PithError("malformed_request", errors=found[:20], wrong=wrong, summary=summary)


def _detail(name: str, known: list[str]) -> str:
    if not known:
        return "this route takes no query parameters; leave it out"
    close = get_close_matches(name[:64].lower(), known, 1)
    meant = f" did you mean {close[0]}?" if close else ""
    return f"is no parameter of this route;{meant} {'It' if meant else 'it'} takes {', '.join(known)}"


def _escaped(name: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in name[:64])
    return plain.replace("~", "~0").replace("/", "~1")
