"""Fuzzers: they run for a given time or number of tries, and print counts of the results."""
