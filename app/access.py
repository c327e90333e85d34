"""Access: who may use the service, when the operator has set keys."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

_bearer = HTTPBearer(auto_error=False, description="Needed where CHARSTREAM_API_KEYS is set.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def bearer_key_check(keys: frozenset[str]) -> Callable[[Credentials], Awaitable[None]]:
    """A dependency that answers 401 unless a request carries one of the keys, if there are any."""
    known = [key.encode() for key in keys]

    async def check(credentials: Credentials) -> None:
        if not known:
            return
        given = credentials.credentials.strip().encode() if credentials else b""
        # Every key is compared, each in constant time, so that the time tells nothing.
        matches = [secrets.compare_digest(given, key) for key in known]
        if not any(matches):
            detail = "a valid key is needed: send the header Authorization: Bearer KEY"
            raise HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})

    return check
