"""Jobs: commands that run once, as transient units.

systemd-run makes the unit, hands it the caller's own stdin, stdout and stderr, and keeps its terminal (``--pty``).
Such a unit is of ``Type=oneshot``, for which systemd counts death by SIGTERM and its like as a failure, too: so every
end but exit code 0 leaves a failed unit, from which the exact exit code or signal is read before it is forgotten.

Values of the environment go through a file that only the unit's manager can read: arguments and D-Bus properties are
seen by everybody on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pysup import check, disk, jobs, names, preflight, states
from pysup.app import Limits
from pysup.bus import systemd1
from pysup.bus.call import NO_SUCH_UNIT
from pysup.bus.protocol import Bus
from pysup.errors import BusError, Conflict, JobFailed, NotPermitted, SpecError, StoreError
from pysup.host import features, ground, owners, users
from pysup.isolation import account
from pysup.render.service import limits, span
from pysup.unit import Exit, Scope
from pysup.unitfile import print_environment

TIMED_OUT = 124  # as timeout(1) has it

_SIGNALLED = 128  # as shells have it
_EXPANDS = 254  # the first version in which it can be said whether systemd-run's arguments are expanded


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The conditions a job lives under.

    ``cwd`` empty is the caller's. ``timeout`` in seconds: then systemd stops it. ``pty`` gives it a terminal of its
    own, which the caller's then is. ``name`` becomes part of the unit's. With ``capture`` its output is in the result,
    and its stdin is ``input``; without, it has the caller's stdin, stdout and stderr.
    """

    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    group: str = ""
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    nice: int | None = None
    timeout: float | None = None
    pty: bool = False
    name: str = ""
    description: str = ""
    capture: bool = False
    input: bytes = b""

    def __post_init__(self) -> None:
        for key, value in self.env.items():
            check.env_name(key, "env")
            check.env_value(value, f"env {key}")
        if self.name:
            check.app_name(self.name, "name")
        if self.cwd:
            check.path(self.cwd, "cwd")
        check.account(self.user, "user")
        check.account(self.group, "group")
        check.line(self.description, "description")
        if self.nice is not None:
            check.between(self.nice, -20, 19, "nice")
        if self.timeout is not None:
            check.positive(self.timeout, "timeout")
        if self.pty and self.capture:
            raise SpecError("a job with a terminal cannot have its output captured", hint="Take pty or capture.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a job ended. ``output`` and ``error`` are empty when they went to the caller's own terminal or files.

    ``result`` is systemd's word: ``success``, ``exit-code``, ``signal``, ``timeout``, ``oom-kill`` …
    """

    unit: str
    code: int | None = None
    signal: int | None = None
    result: str = "success"
    output: bytes = b""
    error: bytes = b""

    @property
    def returncode(self) -> int:
        """The exit code for a caller of one's own: 128 and the signal for a signal, 124 for a timeout."""
        if self.result == "timeout":
            return TIMED_OUT
        return _SIGNALLED + self.signal if self.signal is not None else self.code or 0


async def run(bus: Bus, scope: Scope, argv: Sequence[str], options: RunOptions) -> RunResult:
    """Run a command and wait until it has ended; when cancelled, stop it first.

    Raises SpecError when it cannot be run, Conflict when a job of that name runs, JobFailed when systemd refuses.
    """
    vector = _vector(argv, options)
    _check_accounts(options, scope)
    preflight.check_parts(options.limits, "limits")
    if scope is Scope.SYSTEM and not options.user and not owners.may_be_root():
        raise account.unsaid(f"{argv[0]!r}", owners.of(vector, options.cwd or _here()))
    unit = f"{names.PREFIX}run-{options.name or secrets.token_hex(6)}.service"
    await _check_free(bus, unit)
    version = features.parse_version(str((await bus.call(systemd1.manager_property("Version")))[0]))
    with _environment_file(scope, unit, options.env) as file:
        command = command_line(vector, options, scope=scope, unit=unit, env_file=file, version=version or 0)
        return await _carry_out(bus, scope, unit, command, options)


def command_line(
    vector: Sequence[str], options: RunOptions, *, scope: Scope, unit: str, env_file: str, version: int
) -> list[str]:
    """What is executed to make the unit: systemd-run(1)."""
    properties = [("TimeoutStopSec", "10s"), *limits(options.limits, options.nice)]
    if options.timeout is not None:
        properties.append(("TimeoutStartSec", span(options.timeout)))
    if env_file:
        properties.append(("EnvironmentFile", env_file))
    if options.description:
        properties.append(("Description", options.description))
    wanted = [("uid", options.user), ("gid", options.group)]
    return [
        *("systemd-run", f"--{scope.value}", f"--unit={unit}", "--quiet", "--wait", "--no-ask-password"),
        *("--pty" if options.pty else "--pipe", "--service-type=oneshot"),
        *(["--expand-environment=yes"] if version >= _EXPANDS else []),
        f"--working-directory={options.cwd or _here()}",
        *(f"--{option}={value}" for option, value in wanted if value),
        *(f"--property={key}={value}" for key, value in properties),
        "--",
        # The unit's manager puts the values of variables in; $$ is a plain $: systemd.service(5), "Command lines".
        *(word.replace("$", "$$") for word in vector),
    ]


async def _carry_out(bus: Bus, scope: Scope, unit: str, command: Sequence[str], options: RunOptions) -> RunResult:
    beginning = asyncio.ensure_future(_begin(scope, command, options))
    try:
        # asyncio must not be interrupted here: it would kill systemd-run, and then wait for the job to close its pipes.
        process = await asyncio.shield(beginning)
        output, error = await process.communicate(options.input if options.capture else None)
    except BaseException:
        await _stop(bus, unit, await beginning)
        raise
    end, result = await _end(bus, unit)
    if end is None and process.returncode:
        said = error.decode(errors="replace").strip() if error else ""
        raise JobFailed(
            f"systemd did not run {command[command.index('--') + 1]!r}" + (f": {said}" if said else ""),
            results=[(unit, result)],
            hint="" if said else "Its own words are above.",
        )
    return RunResult(
        unit=unit,
        code=end.code if end else 0,
        signal=end.signal if end else None,
        result=result,
        output=output or b"",
        error=error or b"",
    )


async def _begin(scope: Scope, command: Sequence[str], options: RunOptions) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE if options.capture else None
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=_own_environment(scope),
        start_new_session=not options.pty,  # Ctrl-C is for us, who stop the unit; --pty needs its terminal's session
    )


async def _stop(bus: Bus, unit: str, process: asyncio.subprocess.Process) -> None:
    """End the job, whether systemd has it already or is just being asked; then forget it."""
    if not await _has_stopped(bus, unit):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await _has_stopped(bus, unit)
    await process.wait()
    await bus.calls([systemd1.reset_failed_unit(unit)])


async def _has_stopped(bus: Bus, unit: str) -> bool:
    """Stop the unit; whether there was one."""
    try:
        await jobs.perform(bus, [systemd1.stop_unit(unit)])
    except BusError as exc:
        if exc.name != NO_SUCH_UNIT:
            raise
        return False
    return True


async def _end(bus: Bus, unit: str) -> tuple[Exit | None, str]:
    """How it ended, and systemd's word for it; a unit that ended well is gone already. Then it is forgotten."""
    wanted = ("ExecMainCode", "ExecMainStatus", "Result")
    path = systemd1.unit_path(unit)
    replies = await bus.calls([systemd1.get(path, systemd1.SERVICE, name) for name in wanted])
    values = {name: reply[0] for name, reply in zip(wanted, replies, strict=True) if isinstance(reply, tuple)}
    await bus.calls([systemd1.reset_failed_unit(unit)])
    return states.exit_of(values), str(values.get("Result", "success"))


async def _check_free(bus: Bus, unit: str) -> None:
    found = (await bus.converse(states.loaded([unit]))).get(unit)
    if found is None:
        return
    if found.active_state.value in ("inactive", "failed"):
        await bus.calls([systemd1.reset_failed_unit(unit)])
        return
    raise Conflict(f"a job of that name runs already: {unit}", hint="Take another name, or wait until it has ended.")


def _vector(argv: Sequence[str], options: RunOptions) -> list[str]:
    """The words, the first of them made absolute by the PATH that the job will have."""
    if isinstance(argv, str) or not argv:
        raise SpecError(f"the command is {argv!r}, must be a list of words", hint="Name the program to run.")
    for index, word in enumerate(argv):
        check.argument(word, f"command[{index}]")
    cwd = options.cwd or _here()
    if not Path(cwd).is_dir():
        raise SpecError(f"cwd {cwd!r} is not a directory", hint="Create it, or name another.")
    path = options.env.get("PATH") or os.environ.get("PATH", os.defpath)
    found = shutil.which(str(Path(cwd, argv[0])) if "/" in argv[0] else argv[0], path=path)
    if found is None:
        where = "there, or not executable" if "/" in argv[0] else f"on PATH ({path})"
        raise SpecError(f"program {argv[0]!r} is not {where}", hint="Install it, or give its whole path.")
    return [str(Path(cwd, found)), *argv[1:]]


def _here() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        raise SpecError("the directory that you are in is gone", hint="Go to another: cd ~") from None


def _check_accounts(options: RunOptions, scope: Scope) -> None:
    if (options.user or options.group) and scope is Scope.USER:
        raise SpecError(
            "user and group can be chosen for the machine's jobs only",
            hint="Your own run as yourself. As root: sudo pysup run --uid … .",
        )
    if options.user:
        users.get(options.user)
    if options.group:
        users.get_group_id(options.group)


@contextlib.contextmanager
def _environment_file(scope: Scope, unit: str, env: Mapping[str, str]) -> Iterator[str]:
    """The file of a job's environment while the block lasts; empty if it has none.

    It is locked meanwhile: what nobody has locked was left by somebody who was killed, and is taken away.
    """
    if not env:
        yield ""
        return
    import fcntl

    folder = ground.lock_dir(scope)
    file = folder / f"{unit.removesuffix('.service')}.env"
    try:
        disk.make(folder)
        new = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(folder / "run.lock", new, 0o600), "w") as sweeping:
            fcntl.flock(sweeping, fcntl.LOCK_EX)  # nobody sweeps between the making of a file and its lock
            _sweep(folder)
            descriptor = os.open(file, new | os.O_EXCL, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except PermissionError as exc:
        raise NotPermitted(f"{folder} may not be written", hint="Run it with sudo, or with --user.") from exc
    except OSError as exc:
        raise StoreError(f"{file} could not be written: {exc.strerror}", hint=f"Look at it: ls -l {folder}") from exc
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(print_environment(env))
            stream.flush()
            yield str(file)
    finally:
        file.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    import fcntl

    for file in folder.glob(f"{names.PREFIX}run-*.env"):
        with contextlib.suppress(OSError), file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()


def _own_environment(scope: Scope) -> dict[str, str]:
    """What systemd-run itself needs: where the bus is, also over su and cron, and what the terminal is."""
    env = {name: os.environ[name] for name in ("PATH", "TERM", "COLORTERM", "LANG") if name in os.environ}
    if scope is Scope.USER:
        env["XDG_RUNTIME_DIR"] = str(ground.user_runtime_dir())
        env["DBUS_SESSION_BUS_ADDRESS"] = ground.bus_address(scope)
    return env
