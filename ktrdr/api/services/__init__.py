"""Use cases; each stands on the domain and the unit of work, none on another."""
