"""POST /cells: values of cells, the search for cells, and the errors of a request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.cells.correlation import span_values, strongest
from model.checkpoints.checkpoint import Checkpoint
from model.pytorch.network import CharLSTM
from model.text.properties import PROPERTIES
from tests.app.api.generate_requests import ask, invalid_field
from tests.conftest import CHARACTERS
from tests.model.cells.test_correlation import correlate
from tests.server import RunningServer, running_server

CELLS: list[dict[str, Any]] = [
    {"layer": 1, "cell": 30},
    {"layer": 0, "cell": 2},
    {"layer": 1, "cell": 30},
]
TEXT = "(a\nB ab) 'c'\n\nFirst! (d)" * 5


def post(server: RunningServer, **fields: Any) -> dict[str, Any]:
    return ask(server, "/cells", fields)


def reference(model: Checkpoint, prime: str, text: str) -> npt.NDArray[np.float64]:
    """tanh of all cell states after each character of a text, by torch's LSTM cells in fp32."""
    network, ids = CharLSTM.of(model), model.vocabulary.encode(prime + text).tolist()
    states, values = None, []
    with torch.no_grad():
        for character in ids:
            _, states = network(torch.tensor([[character]]), states)
            values.append(states[1].tanh().flatten().numpy())
    return np.array(values[len(prime) :], np.float64)


texts = st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=60)


@settings(max_examples=20)
@given(text=texts, prime=texts)
def test_values_are_those_of_torch_within_quantization(
    server: RunningServer, tiny: Checkpoint, text: str, prime: str
) -> None:
    expected = reference(tiny, prime, text)
    body = post(server, text=text, prime=prime, cells=CELLS)
    assert body["characters"] == len(text)
    assert [{"layer": c["layer"], "cell": c["cell"]} for c in body["cells"]] == CELLS
    for cell in body["cells"]:
        assert set(cell) == {"layer", "cell", "values"}
        own = expected[:, 32 * cell["layer"] + cell["cell"]]
        np.testing.assert_allclose(cell["values"], own, atol=0.1)
        assert all(round(value, 4) == value for value in cell["values"])


def test_a_text_without_a_prime_is_read_after_a_newline(server: RunningServer) -> None:
    expected = post(server, text="abc", cells=CELLS, prime="\n")
    assert post(server, text="abc", cells=CELLS) == expected
    assert post(server, text="abc", cells=CELLS, prime="") == expected


def test_a_text_has_the_same_values_whatever_else_runs(server: RunningServer) -> None:
    requests: list[dict[str, Any]] = [
        {"text": TEXT[n:], "prime": TEXT[: n % 4], "cells": CELLS[: 1 + n % 3]} for n in range(20)
    ]
    requests += [{"text": TEXT[n:], "find": "brackets" if n % 2 else [[3, 7]]} for n in range(6)]
    alone = [post(server, **fields) for fields in requests]
    with ThreadPoolExecutor(12) as pool:
        pool.submit(_generate, server)
        together = list(pool.map(lambda fields: post(server, **fields), requests))
    assert together == alone


def _generate(server: RunningServer) -> None:
    with server.client() as client:
        assert client.post("/generate", json={"length": 2000, "logprobs": 3}).is_success


@pytest.mark.parametrize("find", ["quotes", "brackets", "line_position", [[0, 3], [2, 9]]])
@pytest.mark.parametrize("top", [1, 5, 64])
def test_a_search_finds_what_correlates_best_among_all_cells(
    server: RunningServer, tiny: Checkpoint, find: Any, top: int
) -> None:
    text = TEXT.replace("'", '"').replace('"', "(") if find == "brackets" else TEXT
    text = text.replace("First", '"First"') if find == "quotes" else text
    everything = [{"layer": n // 32, "cell": n % 32} for n in range(64)]
    all_cells = post(server, text=text, cells=everything)["cells"]
    values_nC = np.array([cell["values"] for cell in all_cells]).T
    property_n = PROPERTIES[find](text) if isinstance(find, str) else span_values(find, len(text))
    expected = correlate(values_nC, property_n)
    body = post(server, text=text, find=find, top=top)
    assert body["characters"] == len(text)
    assert len(body["cells"]) == top
    sizes = [abs(cell["correlation"]) for cell in body["cells"]]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes == pytest.approx(np.abs(expected)[strongest(expected, top)], abs=1e-3)
    for cell in body["cells"]:
        number = 32 * cell["layer"] + cell["cell"]
        assert cell["correlation"] == pytest.approx(expected[number], abs=1e-3)
        assert cell["values"] == all_cells[number]["values"]


def test_a_search_returns_eight_cells_by_default(server: RunningServer) -> None:
    assert len(post(server, text=TEXT, find="capitals")["cells"]) == 8


@pytest.mark.parametrize(
    ("prime", "fields"), [("given ", {"cells": CELLS}), ("found ", {"find": "capitals"})]
)
def test_the_prefix_cache_keeps_the_state_after_a_text(
    server: RunningServer, prime: str, fields: dict[str, Any]
) -> None:
    post(server, prime=prime, text="(A b) cd", **fields)
    whole = prime + "(A b) cd"
    with server.client() as client:
        response = client.post("/generate", json={"prime": whole + "e", "length": 1})
    assert response.json()["usage"]["cached_characters"] == len(whole)


def test_a_text_longer_than_an_output_buffer_is_read_whole(tiny_path: Path) -> None:
    text = TEXT * 80
    with running_server(tiny_path) as large:
        body = post(large, text=text, find="line_position", top=3)
        cells = [{"layer": c["layer"], "cell": c["cell"]} for c in body["cells"]]
        values = [cell["values"] for cell in body["cells"]]
        assert len(text) == len(values[0]) > 9000
        assert [cell["values"] for cell in post(large, text=text, cells=cells)["cells"]] == values


@pytest.mark.parametrize(
    ("fields", "named", "message"),
    [
        ({"cells": CELLS, "text": ""}, "text", "at least 1 character"),
        ({"cells": CELLS, "text": "aZ"}, "text", "vocabulary"),
        ({"cells": CELLS, "prime": "Z"}, "prime", "vocabulary"),
        ({"cells": CELLS, "text": "a" * 2001}, "text", "at most 2000 characters"),
        ({}, "cells", "is required, unless the request has find"),
        ({"cells": []}, "cells", "at least 1 item"),
        ({"cells": CELLS * 22}, "cells", "at most 64 items"),
        ({"cells": [{"layer": 2, "cell": 0}]}, "cells.0.layer", "must be from 0 to 1"),
        ({"cells": [*CELLS, {"layer": 0, "cell": 32}]}, "cells.3.cell", "must be from 0 to 31"),
        ({"cells": [{"layer": -1, "cell": 0}]}, "cells.0.layer", "greater than or equal to 0"),
        ({"cells": [{"layer": 1}]}, "cells.0.cell", "required"),
        ({"cells": [{"layer": 1, "cell": 2, "value": 1}]}, "cells.0.value", "unknown field"),
        ({"cells": CELLS, "find": "quotes"}, "find", "not be given together with cells"),
        ({"cells": CELLS, "top": 3}, "top", "with find only"),
        ({"find": "verbs"}, "find", "expected one of quotes, brackets, line_position,"),
        ({"find": 3}, "find", "the name of a property, or a list of 1 to 100 spans"),
        ({"find": []}, "find", "a list of 1 to 100 spans"),
        ({"find": [[0, 1]] * 101}, "find", "a list of 1 to 100 spans"),
        ({"find": [[0, 1], [2]]}, "find", "span 1 must be [from, to], two integers"),
        ({"find": [[0, 1.5]]}, "find", "span 0 must be [from, to], two integers"),
        ({"find": [[3, 3]]}, "find", "0 <= from < to <= 6"),
        ({"find": [[-1, 3]]}, "find", "0 <= from < to <= 6"),
        ({"find": [[0, 7]]}, "find", "0 <= from < to <= 6"),
        ({"find": [[0, 10**400]]}, "find", "0 <= from < to <= 6"),
        ({"find": [[0, 6]]}, "find", "does not vary in this text: it is 1 at every character"),
        ({"find": "digits"}, "find", "does not vary in this text: it is 0 at every character"),
        ({"find": "capitals", "text": "A"}, "find", "does not vary in this text"),
        ({"find": "capitals", "top": 0}, "top", "greater than or equal to 1"),
        ({"find": "capitals", "top": 65}, "top", "less than or equal to 64"),
        ({"cells": CELLS, "length": 3}, "length", "unknown field"),
        ({"cells": CELLS, "text": "Ω", "unknown": "skip"}, "text", "that the model knows"),
        ({"find": [[0, 1]], "text": "Ωabc", "unknown": "skip"}, "unknown", "with spans"),
    ],
)
def test_an_invalid_request_names_the_field_and_what_is_expected(
    server: RunningServer, fields: dict[str, Any], named: str, message: str
) -> None:
    error = invalid_field(server, "/cells", {"text": "abCdef", **fields})
    assert error["field"] == named
    assert message in error["message"]


def test_a_response_has_a_limit(tiny_path: Path) -> None:
    cells = [{"layer": 0, "cell": 0}] * 17
    with running_server(tiny_path) as large:
        error = invalid_field(large, "/cells", {"text": "ab" * 50_000, "cells": cells})
        assert (error["field"], error["value"]) == ("cells", "'100000 characters x 17 cells'")
        assert "must be at most 800000 in one response" in error["message"]
        error = invalid_field(
            large, "/cells", {"text": "aB" * 50_000, "find": "capitals", "top": 64}
        )
        assert error["field"] == "top"
