"""Fuzzers: they run for as long as they are asked to, and print what they have seen."""
