"""State file: a run's saved state as the bytes of state.pt, with a digest that detects damage.

The bytes are an archive of `torch.save`. Its zip comment holds a SHA-256 of everything before it,
so `torch.load` reads the file too.
"""

from __future__ import annotations

import hashlib
import io
import struct
from typing import Any

import torch

_VERSION = 1  # of the format; a state of another version cannot be resumed
_LABEL = b"sha256:"
_COMMENT_SIZE = len(_LABEL) + 64

# Names and types of the values that the trainer and the learner save.
_TYPES: dict[str, type] = {
    "fingerprint": dict,
    "step": int,
    "best_loss": float,
    "losses": list,
    "seconds": float,
    "pace": dict,
    "network": dict,
    "average": dict,
    "optimizer": dict,
    "muon": dict,
    "hidden": torch.Tensor,
    "cell": torch.Tensor,
    "teachers": dict,
}
_FINGERPRINT_TYPES: dict[str, type] = {
    "corpus": str,
    "vocabulary": str,
    "network": dict,
    "settings": dict,
    "initial": str,
    "teachers": list,
}
_SETTING = (str, int, float, type(None))


class UnusableStateError(Exception):
    """The bytes are not a complete, unaltered state of this version. The message says why."""


def encode_state(state: dict[str, Any]) -> memoryview:
    """Return the content of a state file."""
    archive = io.BytesIO()
    torch.save({"version": _VERSION} | state, archive)
    archive.seek(-2, io.SEEK_END)
    archive.write(struct.pack("<H", _COMMENT_SIZE))
    digest = hashlib.sha256(archive.getbuffer()).hexdigest()
    archive.write(_LABEL + digest.encode())
    return archive.getbuffer()


def decode_state(content: bytes, device: torch.device) -> dict[str, Any]:
    """Return the state in the content of a state file, with its tensors on a device.

    Raises:
        UnusableStateError: if the content is not a complete, unaltered state of this version.
    """
    _check_digest(content)
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise UnusableStateError("it cannot be read") from error
    if not isinstance(state, dict):
        raise UnusableStateError("it is not a training state")
    version = state.get("version")
    if not isinstance(version, int) or version != _VERSION:
        raise UnusableStateError(f"it does not have version {_VERSION} of the format")
    _check_types(state, _TYPES)
    _check_types(state["fingerprint"], _FINGERPRINT_TYPES)
    _check_values(state, state["fingerprint"])
    return state


def _check_digest(content: bytes) -> None:
    archive, comment = memoryview(content)[:-_COMMENT_SIZE], content[-_COMMENT_SIZE:]
    if comment != _LABEL + hashlib.sha256(archive).hexdigest().encode():
        raise UnusableStateError("it is cut off or altered")


def _check_values(state: dict[str, Any], fingerprint: dict[str, Any]) -> None:
    settings = [*fingerprint["network"].values(), *fingerprint["settings"].values()]
    if (
        state["step"] < 0
        or not all(isinstance(loss, float) for loss in state["losses"])
        or not all(isinstance(value, _SETTING) for value in settings)
    ):
        raise UnusableStateError("its values make no sense")


def _check_types(values: dict[str, Any], types: dict[str, type]) -> None:
    wrong = [name for name, kind in types.items() if not isinstance(values.get(name), kind)]
    if wrong:
        raise UnusableStateError(f"it is not a training state: {', '.join(wrong)} missing or wrong")
