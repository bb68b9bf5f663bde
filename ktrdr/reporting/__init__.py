"""The tear sheet of a backtest: from its report, which is plain JSON, to one HTML file."""
