"""Engines that start and kill worker processes."""
