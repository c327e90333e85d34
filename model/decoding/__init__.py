"""Decoding: advance many texts character by character, on any backend."""
