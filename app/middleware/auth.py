"""Auth: check API keys and request rates."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Hashable, Iterable

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from app.errors import ForbiddenError, RateLimitError, UnauthorizedError
from app.middleware.rate_limit import RateLimit
from app.middleware.request_log import RequestRecord

# Describes the header in the OpenAPI document, and checks nothing.
DESCRIBED_KEY = Depends(
    HTTPBearer(auto_error=False, description="Required if CHARSTREAM_API_KEYS is set.")
)


class Auth:
    """Two FastAPI dependencies: `check_user` for users' and `check_operator` for operators'
    endpoints.

    Args:
        keys: users' keys. Without any, `check_user` accepts every request.
        operator_keys: operators' keys. Without any, `check_operator` accepts users' keys.
        per_minute: requests allowed per minute and key, or per address if there are no keys. 0
            means no limit.
    """

    def __init__(
        self, keys: Iterable[str], operator_keys: Iterable[str] = (), per_minute: float = 0
    ) -> None:
        self.set_keys(keys)
        self._operator_keys = _digests(operator_keys)
        self._rate = RateLimit(per_minute)

    def set_keys(self, keys: Iterable[str]) -> None:
        """Replace the users' keys."""
        self._keys = _digests(keys)

    async def check_user(self, request: Request) -> None:
        """Find out which client sends a request: by the digest of its key, or by its address.

        Raises:
            UnauthorizedError: without a valid key.
            RateLimitError: over the rate limit.
        """
        client: Hashable = request.client.host if request.client else None
        if self._keys:
            client = _check_key(self._keys, request)
        RequestRecord.of(request.scope).lease.client = client
        if wait := self._rate.take(client):
            raise RateLimitError(wait)

    async def check_operator(self, request: Request) -> None:
        """Raise UnauthorizedError without a valid operator's key, or ForbiddenError if no keys are
        configured.
        """
        if self._operator_keys:
            _check_key(self._operator_keys, request, "an admin key (CHARSTREAM_ADMIN_KEYS)")
        elif self._keys:
            _check_key(self._keys, request)
        else:
            raise ForbiddenError


def _digests(keys: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(_digest(key.encode()) for key in keys)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _check_key(keys: tuple[bytes, ...], request: Request, needed: str = "a valid key") -> bytes:
    """Return the digest of a valid key. Every key is compared, so that the time reveals nothing.

    `needed` says what the request needs, if it lacks one.
    """
    given = _digest(_key(request))
    matches = [secrets.compare_digest(given, key) for key in keys]
    if not any(matches):
        raise UnauthorizedError(needed)
    return given


def _key(request: Request) -> bytes:
    """Return the key of a request, empty if there is none.

    FastAPI's own parsing strips what is a space in latin-1, which the UTF-8 bytes of a key may be.
    """
    header = next((v for name, v in request.scope["headers"] if name == b"authorization"), b"")
    scheme, _, key = bytes(header).partition(b" ")
    return key.strip(b" \t") if scheme.lower() == b"bearer" else b""
