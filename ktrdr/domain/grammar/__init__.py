"""The whole of strategy grammar 3.0: what a valid file may say, whether or not it is run yet.

`ktrdr.domain.strategies` is the part that is run. A file that is valid here and not there is sound,
and waits for a version that acts on it.
"""
