"""Limits of control groups and processes: their values, and what systemd calls them."""

from pysup.limits.values import Limits, NumaPolicy

__all__ = ["Limits", "NumaPolicy"]
