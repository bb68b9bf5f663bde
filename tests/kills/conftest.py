"""Kills that take minutes; `make test-kills` runs them, `make test` does not."""

from __future__ import annotations

from tests.integration.conftest import backend, sqlite_backend, whole_weights

__all__ = ["backend", "sqlite_backend", "whole_weights"]
