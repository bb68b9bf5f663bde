"""What a training or a backtest operation is."""
