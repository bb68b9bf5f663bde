"""Who proposes a strategy."""
