"""Secrets as values: what the references to them say, and how an instance is handed them. Pure."""
