"""Language models: which one, what it costs, and the journal that no call goes around."""
