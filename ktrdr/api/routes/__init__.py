"""HTTP in, service call, envelope out."""
