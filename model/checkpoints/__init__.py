"""Checkpoints: the file that holds the weights, the vocabulary and the training record."""
