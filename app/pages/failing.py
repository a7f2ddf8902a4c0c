"""An error as a page, for a browser that asked for one: in words, with the way out. Who is not let in gets the sign-in
page in its place."""

from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response

from app import cookie
from app.accept import preferred
from app.doors import ASKED
from app.pages.refusals import refusal
from app.pages.render import page
from pith.errors import Problem

NOT_LET_IN = frozenset({"key_required", "key_refused"})


def wants_page(request: Request) -> bool:
    """Whether it is not a program that asks."""
    accept = request.headers.get("accept")
    return not request.url.path.startswith(ASKED) and (
        preferred(accept, ("application/problem+json", "application/json", "text/html")) == "text/html"
    )


def error_page(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    if problem.code not in NOT_LET_IN:
        told = refusal(request, problem)
        return page(request, "problem.html.j2", problem.status, headers, problem=problem, refusal=told)
    return sign_in_page(request, problem, back_to=here(request))


def sign_in_page(request: Request, problem: Problem | None, back_to: str) -> Response:
    """``problem`` says why a key does not open anything; nothing is said to who has brought none."""
    refused = problem.detail if problem is not None and problem.code != "key_required" else None
    answer = page(
        request,
        "sign_in.html.j2",
        200 if problem is None else problem.status,
        refused=refused,
        back_to=back_to,
        was_in=cookie.carried(request.headers, request.url.scheme) is not None,
        # A browser sends no strict cookie along with a link from elsewhere, but with what our own page asks for.
        again=request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET",
    )
    # A part of a page that asks by itself is not read by anybody: the page is going to be, and says why.
    if refused is not None and request.headers.get("sec-fetch-dest", "document") == "document":
        cookie.drop(answer, request.url.scheme)
    return answer


def here(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path}{query}" if request.method == "GET" else "/"


def local(path: str) -> str:
    """An address of this service, or else the first page."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain else "/"
