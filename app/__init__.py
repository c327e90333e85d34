"""Online: from a checkpoint to text over HTTP."""

__version__ = "0.1.0"
