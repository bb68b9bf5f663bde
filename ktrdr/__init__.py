"""ktrdr: an autonomous trading-strategy research backend whose sessions are unkillable."""

__version__ = "0.1.0"
