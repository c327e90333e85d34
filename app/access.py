"""Access: who may use the service, and how often."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from app.errors import RateLimitError
from app.rate_limit import RateLimit

_bearer = HTTPBearer(auto_error=False, description="Needed where CHARSTREAM_API_KEYS is set.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


class Access:
    """Two dependencies: `check` for who uses the service, `check_operator` for who runs it.

    Args:
        keys: of users; none: open to all.
        operator_keys: of operators; none: any user's key will do, and without those nobody is one.
        per_minute: requests of one key, or of one address where there are no keys; 0: any number.
    """

    def __init__(
        self, keys: Iterable[str], operator_keys: Iterable[str] = (), per_minute: float = 0
    ) -> None:
        self.set_keys(keys)
        self._operator_keys = _digests(operator_keys)
        self._rate = RateLimit(per_minute)

    def set_keys(self, keys: Iterable[str]) -> None:
        """Replaces the users' keys."""
        self._keys = _digests(keys)

    async def check(self, request: Request, credentials: Credentials) -> None:
        """Answers 401 without a valid key where there are keys, and 429 over the rate."""
        client: object = request.client.host if request.client else None
        if self._keys:
            client = _known(self._keys, credentials)
        if wait := self._rate.take(client):
            raise RateLimitError(wait)

    async def check_operator(self, credentials: Credentials) -> None:
        """Answers 401 without an operator's key, and 403 where there can be none."""
        keys = self._operator_keys or self._keys
        if not keys:
            detail = (
                "this is for operators, and no keys are set: set CHARSTREAM_ADMIN_KEYS, "
                "or send the process SIGHUP"
            )
            raise HTTPException(403, detail)
        _known(keys, credentials)


def _digests(keys: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(_digest(key.encode()) for key in keys)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _known(keys: tuple[bytes, ...], credentials: HTTPAuthorizationCredentials | None) -> bytes:
    """The digest of the key given; every key is compared, so that the time tells nothing."""
    text = credentials.credentials.strip() if credentials else ""
    given = _digest(text.encode("latin-1", "replace"))  # the bytes of the header
    matches = [secrets.compare_digest(given, key) for key in keys]
    if not any(matches):
        detail = "a valid key is needed: send the header Authorization: Bearer KEY"
        raise HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})
    return given
