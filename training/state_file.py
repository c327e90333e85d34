"""State file: a run's saved state as the bytes of state.pt, with a digest that detects damage.

The bytes are an archive of `torch.save`. Its zip comment holds a SHA-256 of everything before it,
so `torch.load` reads the file too. States of the first release have no comment and no digest.
"""

from __future__ import annotations

import hashlib
import io
import struct
from typing import Any

import torch

_END = b"PK\x05\x06"  # signature of the zip record that ends the archive
_END_SIZE = 22  # its length without a comment
_LABEL = b"sha256:"
_COMMENT_SIZE = len(_LABEL) + 64

# Names and types of the values that the trainer and the learner save.
_TYPES: dict[str, type] = {
    "fingerprint": dict,
    "step": int,
    "best_loss": float,
    "losses": list,
    "seconds": float,
    "network": dict,
    "average": dict,
    "optimizer": dict,
    "hidden": torch.Tensor,
    "cell": torch.Tensor,
}
# The states of the first release lack these.
_ADDED_TYPES: dict[str, type] = {"pace": dict, "muon": dict, "teachers": dict}
_FINGERPRINT_TYPES: dict[str, type] = {"corpus": str, "network": dict, "settings": dict}


class DamagedStateError(Exception):
    """The bytes are not a complete, unaltered state. The message gives the reason."""


def encode_state(state: dict[str, Any]) -> memoryview:
    """Return the content of a state file."""
    archive = io.BytesIO()
    torch.save(state, archive)
    archive.seek(-2, io.SEEK_END)
    archive.write(struct.pack("<H", _COMMENT_SIZE))
    digest = hashlib.sha256(archive.getbuffer()).hexdigest()
    archive.write(_LABEL + digest.encode())
    return archive.getbuffer()


def decode_state(content: bytes, device: torch.device) -> dict[str, Any]:
    """Return the state in the content of a state file, with its tensors on a device.

    Raises:
        DamagedStateError: if the content is not a complete, unaltered state.
    """
    _check_digest(content)
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise DamagedStateError("it cannot be read") from error
    if not isinstance(state, dict):
        raise DamagedStateError("it is not a training state")
    added = {name: kind for name, kind in _ADDED_TYPES.items() if name in state}
    _check_types(state, _TYPES | added)
    _check_types(state["fingerprint"], _FINGERPRINT_TYPES)
    if state["step"] < 0 or not all(isinstance(loss, float) for loss in state["losses"]):
        raise DamagedStateError("its values make no sense")
    return state


def _check_digest(content: bytes) -> None:
    """Check the digest. Only a whole archive without a comment may lack one."""
    if content[-_END_SIZE:].startswith(_END) and content.endswith(b"\0\0"):
        return
    archive, comment = memoryview(content)[:-_COMMENT_SIZE], content[-_COMMENT_SIZE:]
    if comment != _LABEL + hashlib.sha256(archive).hexdigest().encode():
        raise DamagedStateError("it is cut off or altered")


def _check_types(values: dict[str, Any], types: dict[str, type]) -> None:
    wrong = [name for name, kind in types.items() if not isinstance(values.get(name), kind)]
    if wrong:
        raise DamagedStateError(f"it is not a training state: {', '.join(wrong)} missing or wrong")
