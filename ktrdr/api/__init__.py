"""The HTTP backend."""
