"""Cors: Starlette's CORS middleware, with errors in the format of this service."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response


class Cors(CORSMiddleware):
    """Adds the CORS headers for the origins that the operator allows, and answers preflights."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        content = {"detail": bytes(response.body).decode(), "code": "cors"}
        headers = {k: v for k, v in response.headers.items() if not k.startswith("content-")}
        return JSONResponse(content, response.status_code, headers)
