"""The endpoint POST /cells."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.api import openapi
from app.api.checks import check_cell_values, check_cells, encode_read, known_text
from app.api.dependencies import current_models, respond
from app.api.field_types import Cell, OrNull
from app.api.parsing import read_request
from app.api.schemas import MODEL, UNKNOWN_FIELD, ModelName
from app.api.sizes import result_bytes
from app.engine.cell_search import CellSearch
from app.engine.chunk import Chunk
from app.engine.generation import Generation
from app.engine.job import Job
from app.errors import InvalidFieldError
from app.service import Service
from app.settings import Unknown
from model.cells.correlation import Floats, check_varies, span_values
from model.errors import CorrelationError
from model.text.properties import PROPERTIES

MAX_CELLS = 64
MAX_SPANS = 100
_DECIMALS = 4

router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))

Spans = list[list[int]]  # half-open: the first character, and the one after the last


def _checked(value: Any) -> str | Spans:
    if isinstance(value, str):
        if value not in PROPERTIES:
            message = "unknown property; expected one of {names}, or a list of [from, to]"
            raise PydanticCustomError("property", message, {"names": ", ".join(PROPERTIES)})
        return value
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SPANS:
        message = "must be the name of a property, or a list of 1 to {most} spans [from, to]"
        raise PydanticCustomError("find", message, {"most": MAX_SPANS})
    for number, span in enumerate(value):
        if not isinstance(span, list) or [type(end) for end in span] != [int, int]:
            message = "span {number} must be [from, to], two integers"
            raise PydanticCustomError("span", message, {"number": number})
    return value


_SPAN = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
Find = Annotated[
    str | Spans,
    PlainValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": list(PROPERTIES)},
                {"type": "array", "items": _SPAN, "minItems": 1, "maxItems": MAX_SPANS},
            ]
        }
    ),
]


class CellsRequest(BaseModel):
    """A text to read, and either the cells whose values to return, or what to search for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, description="Text to read.")
    prime: str = Field(
        "",
        description="Text that the model reads before `text`. If it is empty, the model reads a "
        "newline.",
    )
    cells: list[Cell] | None = Field(
        None, min_length=1, max_length=MAX_CELLS, description="Cells whose values to return."
    )
    find: Find | None = Field(
        None,
        description="Search for the cells that correlate best with a property of the text, or with "
        "spans of it. A span [from, to] covers the characters from index `from` up to, but not "
        "including, index `to`, counted from 0.",
    )
    top: int = Field(8, ge=1, le=MAX_CELLS, description="Number of cells to return for a search.")
    unknown: Annotated[Unknown | None, OrNull] = UNKNOWN_FIELD
    model: str | None = MODEL


class ReadCell(Cell):
    """A cell and its values while the model read the text."""

    values: list[float] = Field(
        description="tanh of the cell state after each character of the text."
    )
    correlation: float | None = Field(
        None, description="With `find`: Pearson's correlation of the values, -1 to 1."
    )


class CellsResponse(BaseModel):
    """Cells in the order of the request, or with `find` the strongest correlation first."""

    characters: int = Field(description="Number of characters of the text.")
    cells: list[ReadCell]
    model: ModelName


@router.post(
    "/cells",
    summary="Read the model's cells",
    response_model=CellsResponse,
    response_model_exclude_none=True,
    responses=openapi.errors(400, 404, 409, 413, 422, 503, 504),
    openapi_extra=openapi.body(
        CellsRequest,
        values={"text": '"Why?" he asked.', "cells": [{"layer": 1, "cell": 293}]},
        property={"text": '"Why?" he asked.', "find": "quotes", "top": 3},
        spans={"text": '"Why?" he asked.', "find": [[0, 6]], "top": 3},
    ),
)
async def cells(request: Request) -> Response:
    """Returns the values of cells while the model reads a text. With `find`, it searches for the
    cells that follow a property of the text.
    """
    params = await read_request(request, CellsRequest)
    service = current_models(request).find(params.model)
    params = _with_known_text(service, params)
    job = _job(service, params)
    cells = params.top if params.cells is None else len(params.cells)
    size = result_bytes(len(params.text), cells=cells)
    return await respond(request, service, job, size, _content)


def _with_known_text(service: Service, params: CellsRequest) -> CellsRequest:
    """Return the request with what its field `unknown` makes of the text."""
    text = known_text(service, params.text, params.unknown)
    if text == params.text:
        return params
    if not text:
        message = "must have a character that the model knows"
        raise InvalidFieldError("text", params.text, message)
    if isinstance(params.find, list):
        message = "is not supported with spans of a text that it changes"
        raise InvalidFieldError("unknown", params.unknown, message)
    return params.model_copy(update={"text": text})


def _content(service: Service, generation: Generation, text: Chunk) -> dict[str, Any]:
    assert text.cells is not None
    found = generation.found
    numbers = generation.job.cells if found is None else found.cells
    values_nC = np.round(text.cells.astype(np.float64), _DECIMALS) + 0.0  # turns -0 into 0
    cells = []
    for column, number in enumerate(numbers.tolist()):
        layer, cell = divmod(number, service.checkpoint.config.hidden_size)
        fields: dict[str, Any] = {"layer": layer, "cell": cell}
        if found is not None:
            fields["correlation"] = round(float(found.correlations[column]), _DECIMALS)
        cells.append({**fields, "values": np.ascontiguousarray(values_nC[:, column])})
    return {"characters": len(text), "cells": cells, "model": service.model._asdict()}


def _job(service: Service, params: CellsRequest) -> Job:
    """Translate a request into a job; raise CharstreamError if this server cannot serve it."""
    _check_choice(params)
    prime = encode_read(service, "prime", params.prime, params.unknown, has_choice=True)
    text = encode_read(service, "text", params.text, "reject", has_choice=True)
    if params.cells is not None:
        check_cells(service, "cells", params.cells)
        check_cell_values("cells", len(text), len(params.cells))
        size = service.checkpoint.config.hidden_size
        numbers = np.array([each.layer * size + each.cell for each in params.cells], np.int32)
        return service.cells_job(prime, text, numbers)
    assert params.find is not None
    check_cell_values("top", len(text), params.top)
    values = _property_values(params.find, params.text)
    return service.search_job(prime, text, CellSearch(values, params.top))


def _check_choice(params: CellsRequest) -> None:
    """Raise InvalidFieldError unless a request has either `cells` or `find`."""
    if params.cells is None and params.find is None:
        raise InvalidFieldError("cells", None, "is required, unless the request has find")
    if params.cells is not None and params.find is not None:
        raise InvalidFieldError("find", params.find, "must not be given together with cells")
    if params.find is None and "top" in params.model_fields_set:
        raise InvalidFieldError("top", params.top, "must be given with find only")


def _property_values(find: str | Spans, text: str) -> Floats:
    """Return the values to correlate cells with, one per character of the text."""
    name = f"property {find!r}" if isinstance(find, str) else "the marked part"
    try:
        values = PROPERTIES[find](text) if isinstance(find, str) else span_values(find, len(text))
        check_varies(values, name)
    except CorrelationError as error:
        raise InvalidFieldError("find", find, str(error)) from error
    return values
