"""ONNX Runtime's int8 LSTM on the same network, without sampling: the best off the shelf."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.checkpoint import Checkpoint

Floats = npt.NDArray[np.float32]


def onnx_rate(checkpoint: Checkpoint, streams: int, seconds: float) -> float:
    """Characters per second, all streams together; the next character is a fixed one.

    Raises:
        ImportError: without the extra `bench`.
    """
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    onnxruntime.set_default_logger_severity(3)
    with tempfile.TemporaryDirectory() as folder:
        plain, int8 = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        plain.write_bytes(_graph(checkpoint).SerializeToString())
        logging.disable(logging.WARNING)  # it advises on networks of another kind
        quantize_dynamic(plain, int8, per_channel=True, weight_type=QuantType.QInt8)
        logging.disable(logging.NOTSET)
        session = onnxruntime.InferenceSession(int8)
    config = checkpoint.config
    inputs: dict[str, Floats] = {
        f"{kind}{layer}": np.zeros((1, streams, config.hidden_size), np.float32)
        for layer in range(config.layers)
        for kind in ("hidden", "cell")
    }
    inputs["character"] = np.zeros((1, streams, config.vocabulary_size), np.float32)
    inputs["character"][..., checkpoint.vocabulary.start_id] = 1
    names = [name for name in inputs if name != "character"]
    steps, began = -10, math.inf
    while steps < 0 or time.perf_counter() - began < seconds:
        if steps == 0:
            began = time.perf_counter()
        _, *state = session.run(None, inputs)
        inputs.update(zip(names, state, strict=True))
        steps += 1
    return steps * streams / (time.perf_counter() - began)


def _graph(checkpoint: Checkpoint) -> Any:
    """One step: a one-hot character and the state in, logits and the state out."""
    from onnx import TensorProto, helper, numpy_helper

    config, weights = checkpoint.config, checkpoint.weights
    if config.embedding_size is not None:
        raise ValueError("only for networks that read characters one-hot")
    state_shape: list[str | int | None] = [1, "streams", config.hidden_size]
    nodes, constants = [], {}
    inputs: list[tuple[str, list[str | int | None]]]
    inputs = [("character", [1, "streams", config.vocabulary_size])]
    outputs: list[tuple[str, list[str | int | None]]] = [
        ("logits", [1, "streams", config.vocabulary_size])
    ]
    below = "character"
    for layer in range(config.layers):
        constants[f"W{layer}"] = _reordered(weights[f"lstm.weight_ih_l{layer}"].numpy())[None]
        constants[f"R{layer}"] = _reordered(weights[f"lstm.weight_hh_l{layer}"].numpy())[None]
        constants[f"B{layer}"] = np.concatenate(
            [_reordered(weights[f"lstm.bias_{kind}_l{layer}"].numpy()) for kind in ("ih", "hh")]
        )[None]
        state = [f"hidden{layer}", f"cell{layer}"]
        inputs += [(name, state_shape) for name in state]
        outputs += [(f"new_{name}", state_shape) for name in state]
        nodes.append(
            helper.make_node(
                "LSTM",
                [below, f"W{layer}", f"R{layer}", f"B{layer}", "", *state],
                [f"sequence{layer}", *(f"new_{name}" for name in state)],
                hidden_size=config.hidden_size,
            )
        )
        nodes.append(helper.make_node("Squeeze", [f"sequence{layer}", "axis"], [f"out{layer}"]))
        below = f"out{layer}"
    constants["axis"] = np.array([1], np.int64)
    constants["V"] = weights["output.weight"].numpy().T.copy()
    constants["b"] = weights["output.bias"].numpy()
    nodes.append(helper.make_node("MatMul", [below, "V"], ["product"]))
    nodes.append(helper.make_node("Add", ["product", "b"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "step",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def _reordered(rows_GK: Floats) -> Floats:
    """From torch's order of gates (input, forget, cell, output) to ONNX's (input, output, ...)."""
    write, keep, candidate, show = np.split(rows_GK, 4)
    return np.concatenate([write, show, keep, candidate])
