"""Templates to pages. Every value is escaped, a name that a template does not get is a fault, and a page may load
nothing but what this service serves: no inline script, no inline style."""

import gzip
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from app.pages import gains, static, words
from app.pages.plainly import plainly
from pith import __version__
from pith.access import DEFAULT_PROJECT
from store.access import Caller

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CSP,
    # With no-referrer a browser hides from us, too, that a form was ours.
    "Referrer-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
SHORT = 4096
"""Bytes that are not worth packing. A page holds no secret, so that its packed length tells nothing of one."""
NOBODY: frozenset[str] = frozenset()


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("app"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.globals.update(static=static.address, version=__version__, default_project=DEFAULT_PROJECT)
    made.filters.update(
        size=words.size,
        count=words.count,
        whole=words.whole,
        shape=words.shape,
        dotted=words.dotted,
        duration=words.duration,
        when=words.when,
        gains=lambda outcome: list(gains.gains(outcome)),
        reached=gains.reached,
        doubt=gains.doubt,
        metric=words.metric,
        plainly=plainly,
        capitalised=words.capitalised,
    )
    return made


ENVIRONMENT = _environment()


def page(
    request: Request, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: object
) -> HTMLResponse:
    """A template as an answer.

    Besides ``values`` it is given ``caller`` (None for who is not let in), ``may``, the scopes of the caller,
    ``signed_in``, whether it is by a key that was typed in, and ``here``, the path.
    """
    html = fragment(request, template, **values).encode()
    sent = {**HEADERS, **(headers or {})}
    if len(html) > SHORT and "gzip" in request.headers.get("accept-encoding", ""):
        html, sent["Content-Encoding"] = gzip.compress(html, 5, mtime=0), "gzip"
    return HTMLResponse(html, status, sent)


def fragment(request: Request, template: str, **values: object) -> str:
    """The same as text: a part of a page."""
    caller = request.scope.get("state", {}).get("caller")
    known = {
        "caller": caller if isinstance(caller, Caller) else None,
        "may": caller.scopes if isinstance(caller, Caller) else NOBODY,
        "signed_in": isinstance(caller, Caller) and request.app.state.service.settings.keys_required,
        "here": request.url.path,
    }
    return ENVIRONMENT.get_template(template).render(**known, **values)
