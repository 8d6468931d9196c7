"""Metrics: what apps and instances use, and how they are, for Prometheus and for charts."""
