"""Kills a research session at every boundary of its durability, and at any instant."""
