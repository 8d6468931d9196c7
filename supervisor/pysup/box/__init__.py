"""A private systemd wherever there is none: boot one over a throw-away copy of the machine, use it, forget it."""

from __future__ import annotations

from pysup.box.machine import Box
from pysup.box.state import Share

__all__ = ["Box", "Share"]
