"""Text: the characters that a model knows, and properties of texts."""
