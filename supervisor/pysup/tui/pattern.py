"""What log lines are searched for: a regular expression that no line can make backtrack for ever."""

from __future__ import annotations

import re
import time
from typing import Any

import re2

PATIENCE = 0.5
"""So many seconds of the processor may one look at all lines take: nothing else is drawn meanwhile."""

_MEMORY = 1 << 18  # bytes: larger patterns are plain words; of those that fit, none takes a second for the longest line


class Pattern:
    """A regular expression of RE2's, or plain words if it is none; capitals count where there are some.

    It is searched for until that takes too long; from then on it ``is_slow``, and found nowhere.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._is_plain = self.is_slow = False
        self._took = 0.0
        options = re2.Options()
        options.case_sensitive = words != words.lower()
        options.max_mem, options.never_capture = _MEMORY, True
        options.log_errors = False  # which would stand on the screen
        try:
            self._compiled = re2.compile(words, options)
        except (re2.error, UnicodeEncodeError):
            self._is_plain = True  # for which RE2 would have a limit, too
            self._compiled = re.compile(re.escape(words), re.NOFLAG if options.case_sensitive else re.IGNORECASE)

    def __str__(self) -> str:
        """What was written, and what became of it if that is not what was meant."""
        if self.is_slow:
            return f"{self._words} (takes too long, is off)"
        return f"{self._words} (as plain words)" if self._is_plain else self._words

    def begin(self) -> None:
        """Have all its time again, for a look at all lines."""
        self._took = 0.0

    def is_in(self, text: str) -> bool:
        """Whether it is found there."""
        return bool(self._look(self._compiled.search, text))

    def places(self, text: str) -> list[tuple[int, int]]:
        """Where it begins and ends, wherever it is found."""
        return self._look(lambda whole: [found.span() for found in self._compiled.finditer(whole)], text) or []

    def _look(self, look: Any, text: str) -> Any:
        if self.is_slow:
            return None
        began = time.thread_time()  # a machine that is busy with others is no reason to give up
        found = look(text)
        self._took += time.thread_time() - began
        self.is_slow = self._took > PATIENCE
        return found


def pattern(words: str) -> Pattern | None:
    """What was written as a pattern; None for nothing."""
    return Pattern(words) if words else None
