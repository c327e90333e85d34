"""FieldError: what is wrong with one field of a request, and how its value is shown."""

from __future__ import annotations

import json

from pydantic import BaseModel, Field

_MAX_SHOWN = 80  # characters of a value in a message
_MAX_ITEMS = 20  # of a list or an object that is shown


class FieldError(BaseModel):
    """One invalid field of a request."""

    field: str
    value: str = Field(description="The value received, shortened.")
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}, got {self.value}"


def show(value: object) -> str:
    """Return a value as a short literal. Characters that JSON cannot carry are escaped."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list | dict) and len(value) > _MAX_ITEMS:
        kind = "a list" if isinstance(value, list) else "an object"
        return f"{kind} of {len(value)} items"
    shown = repr(value[:_MAX_SHOWN] if isinstance(value, str) else value)
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 3] + "..."
