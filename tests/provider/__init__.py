"""A provider of language models on loopback: real protocols, scripted answers, every request counted."""
