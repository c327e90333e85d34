"""Benchmarks: the programs that measure the performance figures in the README."""
