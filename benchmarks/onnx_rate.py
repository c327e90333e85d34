"""Rate of ONNX Runtime, a general-purpose runtime, with the same network in int8."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.checkpoints.checkpoint import Checkpoint

Floats = npt.NDArray[np.float32]
Shape = list[str | int | None]

_WARMUP_STEPS = 10


def onnx_rate(checkpoint: Checkpoint, streams: int, seconds: float) -> float:
    """Return the characters per second of all streams together, without sampling.

    Every step reads the same character.

    Raises:
        ImportError: if the extra `bench` is not installed.
    """
    session, inputs = _session(checkpoint), _inputs(checkpoint, streams)
    states = [name for name in inputs if name != "character"]
    steps, began = -_WARMUP_STEPS, math.inf
    while steps < 0 or time.perf_counter() - began < seconds:
        if steps == 0:
            began = time.perf_counter()
        _, *state = session.run(None, inputs)
        inputs.update(zip(states, state, strict=True))
        steps += 1
    return steps * streams / (time.perf_counter() - began)


def _session(checkpoint: Checkpoint) -> Any:
    """Return an inference session with weights in int8."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    onnxruntime.set_default_logger_severity(3)
    with tempfile.TemporaryDirectory() as folder:
        plain, int8 = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        plain.write_bytes(_model(checkpoint).SerializeToString())
        logging.disable(logging.WARNING)  # its advice is for other kinds of networks
        quantize_dynamic(plain, int8, per_channel=True, weight_type=QuantType.QInt8)
        logging.disable(logging.NOTSET)
        return onnxruntime.InferenceSession(int8)


def _inputs(checkpoint: Checkpoint, streams: int) -> dict[str, Floats]:
    """Return the inputs of the first step: a state of zeros and one-hot characters."""
    config = checkpoint.config
    inputs: dict[str, Floats] = {
        f"{kind}{layer}": np.zeros((1, streams, config.hidden_size), np.float32)
        for layer in range(config.layers)
        for kind in ("hidden", "cell")
    }
    inputs["character"] = np.zeros((1, streams, config.vocabulary_size), np.float32)
    inputs["character"][..., checkpoint.vocabulary.start_id] = 1
    return inputs


def _model(checkpoint: Checkpoint) -> Any:
    """Return the ONNX model of one step: a one-hot character and a state in, logits and state out.

    Raises:
        ValueError: if the network has an embedding.
    """
    from onnx import TensorProto, helper, numpy_helper

    config = checkpoint.config
    if config.embedding_size is not None:
        raise ValueError("the ONNX benchmark needs a network without an embedding")
    characters: Shape = [1, "streams", config.vocabulary_size]
    state: Shape = [1, "streams", config.hidden_size]
    inputs, outputs = {"character": characters}, {"logits": characters}
    for layer in range(config.layers):
        inputs |= {f"hidden{layer}": state, f"cell{layer}": state}
        outputs |= {f"new_hidden{layer}": state, f"new_cell{layer}": state}
    graph = helper.make_graph(
        _nodes(checkpoint),
        "step",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in _constants(checkpoint).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _nodes(checkpoint: Checkpoint) -> list[Any]:
    """Return the operators: an LSTM and a squeeze per layer, then the output layer."""
    from onnx import helper

    nodes, below = [], "character"
    for layer in range(checkpoint.config.layers):
        state = [f"hidden{layer}", f"cell{layer}"]
        nodes.append(
            helper.make_node(
                "LSTM",
                [below, f"W{layer}", f"R{layer}", f"B{layer}", "", *state],
                [f"sequence{layer}", *(f"new_{name}" for name in state)],
                hidden_size=checkpoint.config.hidden_size,
            )
        )
        nodes.append(helper.make_node("Squeeze", [f"sequence{layer}", "axis"], [f"out{layer}"]))
        below = f"out{layer}"
    nodes.append(helper.make_node("MatMul", [below, "V"], ["product"]))
    nodes.append(helper.make_node("Add", ["product", "b"], ["logits"]))
    return nodes


def _constants(checkpoint: Checkpoint) -> dict[str, npt.NDArray[Any]]:
    """Return the weights by the names that the operators use."""
    weights = checkpoint.weights
    constants: dict[str, npt.NDArray[Any]] = {
        "axis": np.array([1], np.int64),
        "V": weights["output.weight"].T.copy(),
        "b": weights["output.bias"],
    }
    for layer in range(checkpoint.config.layers):
        constants[f"W{layer}"] = _reordered(weights[f"lstm.weight_ih_l{layer}"])[None]
        constants[f"R{layer}"] = _reordered(weights[f"lstm.weight_hh_l{layer}"])[None]
        biases = [_reordered(weights[f"lstm.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")]
        constants[f"B{layer}"] = np.concatenate(biases)[None]
    return constants


def _reordered(rows_GK: Floats) -> Floats:
    """Reorder gate rows from torch's input, forget, cell, output to ONNX's.

    ONNX's order is input, output, forget, cell.
    """
    input_gate, forget_gate, cell_gate, output_gate = np.split(rows_GK, 4)
    return np.concatenate([input_gate, output_gate, forget_gate, cell_gate])
