"""One instance under another isolation, apart from all clients: whether it comes up, and what it is denied."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pysup import jobs, logs, names, starting, states
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.protocol import Bus
from pysup.errors import SpecError, StartFailed
from pysup.host import seccomp
from pysup.isolation import findings
from pysup.isolation.findings import Finding
from pysup.names import InstanceName
from pysup.render import File
from pysup.store import Store
from pysup.unit import Exit, Scope

_LINES = 500
_CALL = re.compile(r"^(?:audit: type=1326 |SECCOMP ).*\bsyscall=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How it went: ``failure`` is empty if it came up and lived; what it was denied is told in either case."""

    app: App
    failure: str
    found: tuple[Finding, ...]
    log: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One trial: the unit's *files* are those of ``render_trial``, whose lines are those of *name*."""

    bus: Bus
    store: Store
    scope: Scope
    app: App
    files: Mapping[str, File]
    name: InstanceName

    async def run(self, seconds: float, timeout: float | None) -> Trial:
        """Start it, let it live so long, and take it away again. Nothing else of the app is touched."""
        unit, began, failure = names.spare_unit(self.app.name, names.TRIAL), time.time(), ""
        try:
            await asyncio.to_thread(self.store.write_spare, self.files)
            await jobs.perform(self.bus, [systemd1.start_unit(unit)], timeout=timeout)
            try:
                await starting.survive_alone(self.bus, self.scope, self.app, {unit: self.name}, began)
                await asyncio.sleep(seconds)  # a stretch of life in which it may meet what it is denied
                await starting.survive_alone(self.bus, self.scope, self.app, {unit: self.name}, began)
            except StartFailed as exc:
                failure = exc.message
            state = (await self.bus.converse(states.loaded([unit], detail=True))).get(unit)
            end = state.last_exit if state and failure else None
            return await asyncio.to_thread(self._tell, unit, began, failure, end)
        finally:
            await self._clean(unit)

    def _tell(self, unit: str, began: float, failure: str, end: Exit | None) -> Trial:
        lines = logs.last_lines(self.app, self.scope, self.name, _LINES, since=began)
        calls = _ended_by(began) if end and end.signal else []
        heard = findings.Heard(lines=lines, words=_words(self.scope, unit, began), end=end, calls=calls)
        found = findings.read(self.app, heard, os.path.exists)
        return Trial(app=self.app, failure=failure, found=tuple(found), log=tuple(lines))

    async def _clean(self, unit: str) -> None:
        sockets = names.probe_unit(self.app.name, f"{names.TRIAL}*")
        for pattern in (unit, sockets):
            left = await self.bus.converse(states.active([pattern]))
            await jobs.perform(self.bus, [systemd1.stop_unit(one) for one in left])
        await self.bus.calls([systemd1.reset_failed_unit(unit)])
        self.store.remove_spare(self.app.name)


def check(app: App) -> None:
    """Raise SpecError for an app that cannot be tried."""
    if app.is_job:
        raise SpecError(
            f"app {app.name!r} is a job: a trial would do its work",
            hint=f"Set the level, and see at its next run: pysup isolate {app.name} {app.isolate.level}",
        )


def _words(scope: Scope, unit: str, began: float) -> list[str]:
    """What systemd, or its child that was to become the program, said about a unit."""
    field = "UNIT" if scope is Scope.SYSTEM else "USER_UNIT"
    return _journal(f"{field}={unit}", began=began, form="cat").splitlines()


def _ended_by(began: float) -> list[str]:
    """The system calls that seccomp ended processes for, if the caller may read what the kernel says of them."""
    # Nobody collects what is audited on most machines: then the kernel prints it among its messages.
    said = _journal("_AUDIT_TYPE=1326", "+", "_TRANSPORT=kernel", began=began, form="json").splitlines()
    messages = [str(json.loads(line).get("MESSAGE", "")) for line in said]
    numbers = [found[1] for message in messages if (found := _CALL.search(message))]
    return list(filter(None, map(seccomp.name, map(int, dict.fromkeys(numbers)))))


def _journal(*matches: str, began: float, form: str) -> str:
    command = ["journalctl", "--quiet", "--no-pager", f"--output={form}", f"--since=@{began:.6f}", *matches]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
