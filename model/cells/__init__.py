"""Cells: those of a network that track properties of a text."""
