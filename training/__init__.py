"""Offline training: turns a text into a checkpoint."""
