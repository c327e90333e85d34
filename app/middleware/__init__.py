"""The request log, and the dependencies that check keys, rates, origins and body size."""
