"""Who looks at the pages: the same callers as those of the API, by the same keys."""

from typing import Any

from fastapi import Depends, Request

from app.access import Needs
from pith.access import Scope
from store.access import Caller


def visitor(request: Request) -> Caller:
    """Who it is goes along with the request, as the guard does it for the API.

    Raises:
        PithError: ``key_required``, ``key_refused``, ``rate_limited``.
    """
    doors = request.app.state.service.doors
    caller: Caller = doors.admit(request.headers, request.url.scheme).caller
    request.scope.setdefault("state", {})["caller"] = caller
    return caller


def pages_for(scope: Scope | None = None) -> list[Any]:
    """For ``APIRouter(dependencies=pages_for("admin"))``: who is let in, and has this scope."""
    return [Depends(visitor), Depends(Needs(scope))]
