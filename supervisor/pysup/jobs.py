"""Asking systemd for jobs, and waiting until they have ended."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Sequence

from pysup import states
from pysup.bus import systemd1
from pysup.bus.call import Call, Signal, check
from pysup.bus.protocol import Bus
from pysup.errors import BusError, BusLost, JobTimeout

# systemd asks the bus for a match for each job of a client's, and dbus-daemon gives one connection 512.
AT_ONCE = 200


async def enqueue(bus: Bus, calls: Sequence[Call]) -> list[str]:
    """Have jobs made; their paths. Raises what the first refused one was answered with."""
    return [str(check(reply)[0]) for reply in await bus.calls(calls)]


async def perform(
    bus: Bus, calls: Sequence[Call], *, until: Collection[str] = (), timeout: float | None = None
) -> dict[str, str]:
    """Have jobs made and wait until all have ended: systemd's result for each unit, ``done`` when it worked.

    With *until*, it is enough that each of these units, which the jobs bring about, has had a job that ended. Raises
    JobTimeout after *timeout* seconds; the jobs go on.
    """
    if not calls:
        return {}
    ended = _Ended()
    await bus.match(systemd1.manager_rule())
    await bus.match(systemd1.owner_rule())
    if until:  # systemd tells of jobs that are not our own only if somebody subscribes
        with contextlib.suppress(BusError):  # AlreadySubscribed
            await bus.call(systemd1.subscribe())
    with bus.listening(ended.hear):
        try:
            async with _limit(timeout):
                for start in range(0, len(calls), AT_ONCE):
                    some = calls[start : start + AT_ONCE]
                    paths = set(await enqueue(bus, await _left(bus, some) if start else some))
                    await ended.wait_for(bus, paths, until)
        except TimeoutError:
            units = ", ".join(sorted(str(call.args[0]) for call in calls))
            raise JobTimeout(
                f"not done within {timeout:g} s: {units}",
                hint="It goes on without pysup: pysup list shows how it stands. --wait-timeout waits longer.",
            ) from None
        except BusLost as exc:
            raise BusLost("the bus went away while systemd worked", hint="pysup list shows how it stands.") from exc
    return dict(ended.results)


async def _left(bus: Bus, calls: Sequence[Call]) -> list[Call]:
    """Those of the calls that have something to do yet.

    A target stops all instances with itself; asked to stop one of them then, systemd loads it from disk again for that.
    """
    stops = [str(call.args[0]) for call in calls if call.member == "StopUnit"]
    up = await bus.converse(states.active(stops)) if stops else []
    return [call for call in calls if call.member != "StopUnit" or call.args[0] in up]


class _Ended:
    """The jobs that have ended, as JobRemoved tells it."""

    def __init__(self) -> None:
        self.results: dict[str, str] = {}
        self._paths: set[str] = set()
        self._doubtful = False

    def hear(self, signal: Signal) -> None:
        if signal.member == "JobRemoved":
            _, path, unit, result = signal.args
            self._paths.add(str(path))
            self.results[str(unit)] = str(result)
        elif signal.member == "NameOwnerChanged" and signal.args[2]:
            self._doubtful = True  # a new systemd process: signals of the old one may be missing

    async def wait_for(self, bus: Bus, paths: set[str], until: Collection[str]) -> None:
        """Return once these jobs have ended, or each of the units had one that did."""

        def are_over() -> bool:
            return paths <= self._paths or bool(until and self.results.keys() >= set(until))

        while not are_over():
            await bus.until(lambda: self._doubtful or are_over())
            if self._doubtful:
                await self._look(bus, paths)

    async def _look(self, bus: Bus, paths: set[str]) -> None:
        """Ask for each job whether it is still there."""
        self._doubtful = False
        asked = sorted(paths - self._paths)
        replies = await bus.calls([systemd1.get(path, systemd1.JOB, "State") for path in asked])
        self._paths |= {path for path, reply in zip(asked, replies, strict=True) if isinstance(reply, BusError)}


@contextlib.asynccontextmanager
async def _limit(seconds: float | None) -> AsyncIterator[None]:
    """Raise TimeoutError when it takes longer; only with an event loop can it."""
    if seconds is None:
        yield
        return
    import asyncio  # not without need

    async with asyncio.timeout(seconds):
        yield
