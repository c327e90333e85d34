"""Fuzzers: they run for a given time or number of tries, and count the results."""
