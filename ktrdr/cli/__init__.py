"""The command line: an HTTP client, nothing more."""
