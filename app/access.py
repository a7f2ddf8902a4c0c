"""What a route demands of who calls it."""

from typing import Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from pith.access import SCOPES, Scope
from pith.errors import PithError
from store.access import Caller


class Needs(HTTPBearer):
    """A dependency: the caller has this scope; None is any caller. Resolved before a body is read."""

    def __init__(self, scope: Scope | None) -> None:
        super().__init__(scheme_name="key", description="A key of this service, as `pith keys create` makes it.")
        self.scope = scope

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Raises PithError ``scope_required``."""
        caller = caller_of(request)
        if self.scope is not None and self.scope not in caller.scopes:
            raise PithError("scope_required", name=caller.name, scope=self.scope, has=listed(caller.scopes))


def needs(scope: Scope | None = None) -> Any:
    """For ``dependencies=[needs("jobs")]``."""
    return Depends(Needs(scope))


def caller_of(request: Request) -> Caller:
    """Whom the guard has let in. Raises PithError ``key_required`` where it let nobody in."""
    caller = request.scope.get("state", {}).get("caller")
    if not isinstance(caller, Caller):
        raise PithError("key_required")
    return caller


def listed(scopes: frozenset[Scope]) -> str:
    return ", ".join(scope for scope in SCOPES if scope in scopes) or "none"
