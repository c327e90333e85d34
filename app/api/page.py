"""Playground: the files of the web page, and its content security policy."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent.parent / "static"

router = APIRouter()

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-cache",  # the browser revalidates each file, so that versions never mix
    "Accept-Ranges": "none",
}


class PageFiles(StaticFiles):
    """The scripts and styles of the playground."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        _ignore_range(scope)
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


@router.head("/", include_in_schema=False)
@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """Return the HTML of the playground."""
    _ignore_range(request.scope)
    return FileResponse(STATIC / "index.html", headers=_HEADERS)


def _ignore_range(scope: Scope) -> None:
    """Remove the header Range, as RFC 9110, section 14.2, allows.

    Starlette would refuse a malformed one in a format of its own.
    """
    scope["headers"] = [header for header in scope["headers"] if header[0] != b"range"]
