"""Training: turns a text into a checkpoint, without a server."""
