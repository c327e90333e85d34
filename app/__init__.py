"""The service: text over HTTP from a checkpoint."""

__version__ = "0.1.0"
