"""Cross-site requests: CORS headers for allowed pages, and refusals for the others.

A browser sends requests to a service on the user's own machine for any page that the user visits.
The page cannot read the response without CORS, but it could occupy the processor.
"""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from app.errors import CrossSiteError
from app.settings import Settings


class Cors(CORSMiddleware):
    """Adds the CORS headers for the origins that the operator allows, and answers preflights.

    Its errors have the format of this service.
    """

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        content = {"detail": bytes(response.body).decode(), "code": "cors"}
        headers = {k: v for k, v in response.headers.items() if not k.startswith("content-")}
        return JSONResponse(content, response.status_code, headers)


async def refuse_cross_site(request: Request) -> None:
    """Raise CrossSiteError for a request from another site's page, unless CORS allows its origin.

    Browsers send the header Sec-Fetch-Site (W3C, "Fetch Metadata Request Headers"). A page cannot
    change it, and other clients do not send it. A link that a user follows is allowed. Frames and
    forms navigate too, but are not.
    """
    headers = request.headers
    if headers.get("sec-fetch-site") != "cross-site" or _follows_link(request):
        return
    settings: Settings = request.app.state.settings
    if "*" not in settings.cors_origins and headers.get("origin") not in settings.cors_origins:
        raise CrossSiteError


def _follows_link(request: Request) -> bool:
    """Whether a user opens the address as a page of its own."""
    fetch = [request.headers.get(f"sec-fetch-{name}") for name in ("dest", "user")]
    return request.method == "GET" and fetch == ["document", "?1"]
