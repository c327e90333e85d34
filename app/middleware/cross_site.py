"""Cross-site check: refuse requests of web pages that the operator has not allowed.

A browser sends requests to a service on the user's own machine for any page that the user visits.
The page cannot read the response without CORS, but it could occupy the processor.
"""

from __future__ import annotations

from fastapi import Request

from app.errors import CrossSiteError
from app.settings import Settings


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
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("sec-fetch-dest") == "document"
        and headers.get("sec-fetch-user") == "?1"
    )
