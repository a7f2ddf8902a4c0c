"""Signing in with a key, where keys are asked for, and signing out."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers

from app import cookie
from app.pages.failing import local, sign_in_page
from app.service import ThePremises
from pith.errors import PithError

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
def form(request: Request, premises: ThePremises, next: Annotated[str, Query(max_length=2000)] = "/") -> Response:
    if not premises.settings.keys_required:
        return RedirectResponse("/", 303)
    return sign_in_page(request, None, local(next))


@router.post("/sign-in")
async def sign_in(
    request: Request,
    premises: ThePremises,
    key: Annotated[str, Form(max_length=500)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """The key stays in the browser's cookie, and is looked up with every request, as one in a header is."""
    scheme = request.url.scheme
    try:
        bearer = Headers({"authorization": f"Bearer {key.strip()}"})
        await run_in_threadpool(premises.doors.admit, bearer, scheme)
    except (PithError, UnicodeEncodeError) as error:
        told = error if isinstance(error, PithError) else PithError("key_refused", reason="it is not plain ASCII")
        return sign_in_page(request, told.problem, local(next))
    answer = RedirectResponse(local(next), 303)
    cookie.keep(answer, key.strip(), scheme)
    return answer


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    answer = RedirectResponse("/sign-in", 303)
    cookie.drop(answer, request.url.scheme)
    return answer
