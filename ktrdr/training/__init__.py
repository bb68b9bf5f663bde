"""Neuro-fuzzy training; knows no operation and no database."""
