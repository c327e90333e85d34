"""Patterns: regular expressions as tables of states over a vocabulary."""
