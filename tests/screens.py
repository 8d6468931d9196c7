"""The command on a terminal of which can be seen what stands on it."""

from __future__ import annotations

import re
import select
import time

import pyte

from running import PATIENCE, OnTerminal


class OnScreen(OnTerminal):
    """The same, with what is to be seen on that terminal: ``lines()``."""

    def __init__(self, *words: str, env: dict[str, str] | None = None, size: tuple[int, int] = (24, 80)) -> None:
        self._screen = pyte.Screen(size[1], size[0])
        self._stream = pyte.ByteStream(self._screen)
        super().__init__(*words, env={"TERM": "xterm-256color", **(env or {})}, size=size)

    def lines(self) -> list[str]:
        """What is to be seen now."""
        return [line.rstrip() for line in self._screen.display]

    def until(self, *patterns: str) -> list[str]:
        """Read on until each of the patterns is in a line that is to be seen; the lines in which they are."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [next((line for line in self.lines() if re.search(pattern, line)), None) for pattern in patterns]
            if None not in found:
                return [line for line in found if line is not None]
            ready, _, _ = select.select([self.output], [], [], max(0, deadline - time.monotonic()))
            shown = "\n".join(self.lines())
            assert ready, f"{patterns} did not all come:\n{shown}"
            piece = self._read()
            assert piece, f"it ended before {patterns}:\n{shown}"
            self.seen += piece
            self._stream.feed(piece)
