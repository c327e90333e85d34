"""The HTTP endpoints of charstream, except for the OpenAI-compatible ones."""
