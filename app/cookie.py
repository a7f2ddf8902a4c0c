"""The cookie in which a browser keeps the key that was typed into the sign-in page.

It is read where the header ``Authorization`` is missing. Pages of another site cannot have it sent along, and scripts
cannot read it.
"""

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.responses import Response

PLAIN, OVER_TLS = "pith", "__Host-pith"
"""Over https its name is one that a browser takes from nobody but this very host."""


def name_for(scheme: str) -> str:
    return OVER_TLS if scheme == "https" else PLAIN


def carried(headers: Headers, scheme: str) -> str | None:
    """The key; None without a cookie."""
    found: SimpleCookie = SimpleCookie()
    for line in headers.getlist("cookie"):
        try:
            found.load(line)
        except CookieError:
            return None
    kept = found.get(name_for(scheme))
    return kept.value if kept is not None and kept.value else None


def keep(response: Response, key: str, scheme: str) -> None:
    """Until the browser is closed, or ``drop``."""
    response.set_cookie(name_for(scheme), key, httponly=True, samesite="strict", secure=scheme == "https", path="/")


def drop(response: Response, scheme: str) -> None:
    response.delete_cookie(name_for(scheme), httponly=True, samesite="strict", secure=scheme == "https", path="/")
