"""PyTorch: everything that imports torch to define or compute a network."""
