"""The tear sheet of a backtest: from its report, as plain JSON, to one HTML file. Nothing numeric is imported."""
