"""What the dashboard asks of the machine, and has done there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from pysup.describe import Description
from pysup.host import cpus
from pysup.tui import follow
from pysup.tui.feed import Connect, Feed, Look
from pysup.tui.follow import News, Source
from pysup.tui.loglines import safe
from pysup.tui.verbs import Verb


class Detail(NamedTuple):
    """A line of a description: a name and a value, or a heading (no value)."""

    title: str
    value: str = ""


class World(Protocol):
    """What there is to look at; pictures in tests have one that stands still."""

    def looks(self) -> AsyncGenerator[Look, None]: ...

    def lines(self, selector: str) -> AsyncGenerator[News, None]: ...

    async def details(self, selector: str) -> list[Detail]: ...

    async def do(self, verb: Verb, target: str) -> None: ...

    def scaled(self, text: str, there: int) -> int: ...


Describe = Callable[[Description], Iterable[tuple[str, str, str]]]
"""What ``pysup describe`` says: names, values, colours."""


class Machine:
    """This machine. Each call has a connection of its own, so a bus that went away is met once at most."""

    def __init__(
        self,
        connect: Connect,
        selectors: str | Sequence[str],
        *,
        interval: float,
        source: Source,
        describe: Describe,
    ) -> None:
        self._connect = connect
        self._selectors = selectors
        self._interval = interval
        self._source = source
        self._describe = describe

    def looks(self) -> AsyncGenerator[Look, None]:
        """Look at the apps, on and on."""
        return Feed(self._connect, self._selectors, interval=self._interval).looks()

    def lines(self, selector: str) -> AsyncGenerator[News, None]:
        """Follow the logs of an app or an instance."""
        return follow.news(self._source, selector)

    async def details(self, selector: str) -> list[Detail]:
        """All about an app or an instance."""
        async with self._connect() as manager:
            found = await manager.describe(selector, lines=0)
        return [Detail(title, safe(value)) for one in found for title, value, _ in self._describe(one) if value]

    async def do(self, verb: Verb, target: str) -> None:
        """Have it done, and wait until it has happened."""
        async with self._connect() as manager:
            await verb.call(manager, target)

    def scaled(self, text: str, there: int) -> int:
        """How many instances ``4``, ``+2``, ``-1`` or ``max`` make of those that are there."""
        return cpus.scaled(text, there)
