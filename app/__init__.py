"""The service: generates text from a checkpoint and sends it over HTTP."""

__version__ = "0.1.0"
