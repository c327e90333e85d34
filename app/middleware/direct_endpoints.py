"""DirectEndpoints: calls the endpoints of users without the framework's routing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class DirectEndpoints:
    """ASGI middleware that answers the requests to some routes itself.

    To match a route, to resolve its dependencies and to open its exit stacks takes the framework
    longer than the model needs for a short text. The routes stay registered: the framework
    documents them, answers other methods, and traces them if traces are on.

    Args:
        app: the application with the routes.
        routes: routes whose endpoints take nothing but the request, and return a response.
        checks: what to call before an endpoint. Each raises an error to refuse the request.
        errors: the types of the errors that `respond` knows.
        respond: returns the response to an error.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[APIRoute],
        checks: Sequence[Callable[[Request], Awaitable[None]]],
        errors: tuple[type[Exception], ...],
        respond: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._app = app
        self._routes = {(method, r.path): r for r in routes for method in r.methods or ()}
        self._checks, self._errors, self._respond = checks, errors, respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (route := self._route(scope)) is None:
            await self._app(scope, receive, send)
        else:
            scope["route"] = route  # as the framework does, for the request log
            response = await self._response(route, Request(scope, receive))
            await response(scope, receive, send)

    async def _response(self, route: APIRoute, request: Request) -> Response:
        try:
            for check in self._checks:
                await check(request)
            response: Response = await route.endpoint(request)
        except self._errors as error:
            return await self._respond(request, error)
        return response

    def _route(self, scope: Scope) -> APIRoute | None:
        if scope["type"] != "http" or scope.get("root_path") or "fastapi.telemetry" in scope:
            return None
        return self._routes.get((scope["method"], scope["path"]))
