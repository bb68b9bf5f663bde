"""The research session: its service, its loop and its phases."""
