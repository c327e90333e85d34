"""Native: the backend in C++, and its Python side."""
