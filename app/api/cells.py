"""The endpoint POST /cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api import openapi
from app.api.dependencies import CurrentRecord, ModelsAfterBody, submit
from app.api.find import Find, property_values
from app.api.json_pieces import list_of_slices
from app.api.json_response import json_response, reserve_memory
from app.api.parsing import check_no_query, parse_body
from app.api.response_budget import largest_bytes
from app.api.schemas import MODEL, ModelName
from app.engine.cell_search import CellSearch
from app.engine.generation import Generation
from app.engine.job import Job
from app.errors import InvalidFieldError
from app.middleware.body_limit import Body
from app.service import Service
from model.choice.read_cells import CellValues

MAX_CELLS = 64
_DECIMALS = 4
_SLICE = 2000  # numbers per piece of JSON: about a millisecond of work

router = APIRouter(tags=["Text"], responses=openapi.errors(401, 403, 429, 500))


class Cell(BaseModel):
    """A cell of the LSTM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: int = Field(ge=0, description="Layer of the cell, counted from 0.")
    cell: int = Field(ge=0, description="Number of the cell in its layer, counted from 0.")


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
    dependencies=[Depends(check_no_query)],
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
async def cells(
    request: Request, body: Body, models: ModelsAfterBody, record: CurrentRecord
) -> Response:
    """Returns the values of cells while the model reads a text. With `find`, it searches for the
    cells that follow a property of the text.
    """
    params = parse_body(CellsRequest, body.take())
    service = models.find(params.model)
    job = _job(service, params)
    cells = params.top if params.cells is None else len(params.cells)
    reservation = reserve_memory(request, largest_bytes(len(params.text), cells=cells))
    generation = submit(service, record, job)
    del params  # its texts are not needed while the model reads them
    return await json_response(request, reservation, _content(service, generation), [generation])


async def _content(service: Service, generation: Generation) -> dict[str, Any]:
    text = await generation.read()
    assert text.cells is not None
    return {
        "characters": len(text),
        "cells": _cells(service, generation, text.cells),
        "model": service.model._asdict(),
    }


def _job(service: Service, params: CellsRequest) -> Job:
    """Translate a request into a job; raise CharstreamError if this server cannot serve it."""
    _check_choice(params)
    prime = service.encode_read("prime", params.prime)
    text = service.encode_read("text", params.text, "reject")
    if params.cells is not None:
        service.check_cells("cells", params.cells)
        service.check_cell_values("cells", len(text), len(params.cells))
        return service.cells_job(prime, text, service.cell_numbers(params.cells))
    assert params.find is not None
    service.check_cell_values("top", len(text), params.top)
    values = property_values(params.find, params.text)
    return service.search_job(prime, text, CellSearch(values, params.top))


def _check_choice(params: CellsRequest) -> None:
    """Raise InvalidFieldError unless a request has either `cells` or `find`."""
    if params.cells is None and params.find is None:
        raise InvalidFieldError("cells", None, "is required, unless the request has find")
    if params.cells is not None and params.find is not None:
        raise InvalidFieldError("find", params.find, "must not be given together with cells")
    if params.find is None and "top" in params.model_fields_set:
        raise InvalidFieldError("top", params.top, "must be given with find only")


def _cells(service: Service, generation: Generation, values_nC: CellValues) -> list[dict[str, Any]]:
    """Return the fields of a `ReadCell` for each cell."""
    found = generation.found
    numbers = generation.job.cells if found is None else found.cells
    content = []
    for column, number in enumerate(numbers.tolist()):
        layer, cell = divmod(number, service.checkpoint.config.hidden_size)
        fields: dict[str, Any] = {"layer": layer, "cell": cell}
        if found is not None:
            fields["correlation"] = round(float(found.correlations[column]), _DECIMALS)
        content.append({**fields, "values": list_of_slices(_slices(values_nC[:, column]))})
    return content


def _slices(values_n: CellValues) -> Iterator[list[float]]:
    """Yield the values of a cell, rounded, slice by slice."""
    for first in range(0, len(values_n), _SLICE):
        rounded = np.round(values_n[first : first + _SLICE].astype(np.float64), _DECIMALS)
        yield (rounded + 0.0).tolist()  # turns -0 into 0
