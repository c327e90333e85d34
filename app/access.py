"""Access: who may use the service, when the operator has set keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated

from fastapi import Header
from starlette.exceptions import HTTPException


def bearer_key_check(keys: frozenset[str]) -> Callable[[str | None], None]:
    """A dependency that answers 401 unless a request carries one of the keys, if there are any."""
    known = [key.encode() for key in keys]

    def check(authorization: Annotated[str | None, Header()] = None) -> None:
        if not known:
            return
        scheme, _, key = (authorization or "").partition(" ")
        # Every key is compared, each in constant time, so that the time tells nothing.
        matches = [secrets.compare_digest(key.strip().encode(), k) for k in known]
        if scheme.lower() != "bearer" or not any(matches):
            detail = "a valid key is needed: send the header Authorization: Bearer KEY"
            raise HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})

    return check
