"""Market data sets, indicators and fuzzy features, cut so that nothing sees ahead."""
