"""All apps in a line."""

from __future__ import annotations

from collections.abc import Sequence

from pysup.tui.history import History
from pysup.tui.rows import Mood, mood
from pysup.unit import AppStatus
from pysup.wording import size

Part = tuple[str, str]
"""Text, and what it is: a mood, or ``value``."""


def parts(apps: Sequence[AppStatus], history: History) -> list[Part]:
    """How many there are and how they are, and what they use together; what is not there is not said."""
    each = [one for app in apps for one in app.instances]
    moods = [mood(one.state) for one in each]
    counts = [
        (f"{len(apps)} app" + ("" if len(apps) == 1 else "s"), "value"),
        *((f"{moods.count(one)} {word}", one.value) for one, word in _WORDS if one in moods),
    ]
    memory = sum(one.usage.memory or 0 for one in each)
    return [*counts, (f"CPU {sum(history.shares.values()):.0f} %", "value"), (f"MEM {size(memory)}", "value")]


_WORDS = ((Mood.GOOD, "up"), (Mood.BUSY, "busy"), (Mood.BAD, "failed"), (Mood.IDLE, "stopped"))
