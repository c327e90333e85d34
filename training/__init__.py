"""Offline: from a text to a checkpoint."""
