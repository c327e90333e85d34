"""Clients of the service, for users to copy or install."""
