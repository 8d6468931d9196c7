"""App: what a user asks for, as one frozen value that is valid once it exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pysup import check, health
from pysup.app import rules
from pysup.check import vector
from pysup.errors import SpecError
from pysup.health import Ready as Ready  # also from here, as all that an App is made of
from pysup.health import ReadyWhen as ReadyWhen
from pysup.isolate import Isolation
from pysup.limits import Limits as Limits
from pysup.listen import Listen

if TYPE_CHECKING:  # few apps have them
    from pysup.balance import Balance
    from pysup.triggers import Schedule, Watched

PER_CORE: Literal["per-core"] = "per-core"

Instances = int | Literal["per-core"]

HIDDEN = "(secret)"
"""What is shown for a secret's value."""


def _set(value: object, **changes: object) -> None:
    for name, content in changes.items():
        object.__setattr__(value, name, content)


def _directives(table: Mapping[str, object], name: str) -> Mapping[str, tuple[str, ...]]:
    frozen: dict[str, tuple[str, ...]] = {}
    for key, values in table.items():
        frozen[key] = (values,) if isinstance(values, str) else tuple(vector(values, f"{name}.{key}"))  # type: ignore[arg-type]
    return MappingProxyType(frozen)


def _numbered(limits: Mapping[int, Limits]) -> dict[int, Limits]:
    """In order; those that say nothing are none."""
    what = "instance_limits: the instance"
    for number, one in limits.items():
        check.between(check.number(str(number), what), 0, 9999, what)
        check.kind(one, Limits, f"instance_limits.{number}")
    return {int(number): limits[number] for number in sorted(limits, key=int) if limits[number].given}


class Restart(StrEnum):
    """When systemd starts an instance again after it ended: systemd.service(5), ``Restart=``."""

    ALWAYS = "always"
    ON_SUCCESS = "on-success"
    ON_FAILURE = "on-failure"
    ON_ABNORMAL = "on-abnormal"
    ON_ABORT = "on-abort"
    ON_WATCHDOG = "on-watchdog"
    NO = "no"


class KillMode(StrEnum):
    """Whom a stop reaches: systemd.kill(5), ``KillMode=``."""

    CONTROL_GROUP = "control-group"
    MIXED = "mixed"
    PROCESS = "process"


class Placement(StrEnum):
    """Which CPUs an instance may run on."""

    NONE = "none"
    CORE = "core"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Where output goes.

    ``output`` and ``error`` are ``journal``, ``null`` or the absolute path of a file that is appended to
    (``{instance}`` in it stands for the instance's number). ``rate_limit`` is how many lines per 30 s journald keeps,
    0 keeps all.
    """

    output: str = "journal"
    error: str = "journal"
    rate_limit: int = 0

    def __post_init__(self) -> None:
        for name, value in (("log.output", self.output), ("log.error", self.error)):
            if value not in ("journal", "null"):
                check.path(value, name)
        check.between(self.rate_limit, 0, 2**31 - 1, "log.rate_limit")


# What the rules below take for granted.
_KINDS: dict[type, tuple[str, ...]] = {
    Mapping: ("env", "increment", "secrets", "secret_env", "instance_limits", "unit", "service"),
    bool: ("physical", "spread", "on_demand", "autostart", "stdin"),
    Limits: ("limits", "total"),
    Isolation: ("isolate",),
    Ready: ("ready",),
    Log: ("log",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What a user asks for: a command, how many of it, and the conditions it lives under.

    Raises SpecError, with the field, the value and the remedy, if it could not be what the user means.

    ``command`` is the argument vector; with ``interpreter`` (itself a vector) that comes first. Times are seconds.
    ``instances`` is a number or ``PER_CORE``: one per CPU that the caller may run on, each on its own; ``reserve``
    leaves that many CPUs free (the first ones), or just those CPU numbers; ``physical`` counts cores, not threads, and
    gives an instance all threads of its core. ``reserve_for`` is a service that is kept on the CPUs that are left free.
    ``instance_var`` is the variable that holds an instance's number; those of ``increment`` hold theirs plus it, as
    PORT does with ``port``. Unless ``autostart``, neither a boot nor a file of apps starts it, only who names it.
    ``limits`` are of each instance, ``instance_limits`` of single ones by their number, over those; ``total`` of all of
    them together.
    ``restart_delay`` grows by half each time up to ``restart_delay_max``, while starts fail; 0: it does not.
    ``restart_limit`` starts within ``restart_window`` seconds, then systemd gives up; 0 never gives up.
    ``watchdog`` ends, and so restarts, an instance that does not show that it lives; None leaves it alone.
    ``listen`` are addresses on which systemd listens for all instances together; with ``spread`` for each on its own.
    ``schedule`` restarts it at times; with ``restart`` ``no`` it is a job, which runs at those times only. ``watch``
    restarts it when files change, ``memory_restart`` an instance that holds so many bytes. ``stdin`` lets people write
    to it.
    ``balance`` makes the app a balancer, which stands before another app. ``isolate`` keeps it from the machine.
    ``secrets`` are references by name: ``file:PATH`` is where the value in ``env`` came from, which is shown nowhere;
    others are handed over by systemd as files: ``credential:`` or ``encrypted:`` with a path, ``credential:`` with what
    systemd-creds encrypt printed, ``import`` for systemd's own store, ``stored`` for what ``set_secret`` has kept.
    ``secret_env`` are variables that hold one of those, by its name.
    With ``on_demand`` the first connection starts it; after ``idle_timeout`` seconds without one it is stopped, and the
    next one starts it again; 0 is never.
    ``wants``, ``requires`` and ``after`` name other apps, or units (with their suffix); all three order.
    ``unit`` and ``service`` are extra directives, as they would stand in those sections.
    ``origin`` is the file that says what the app is, if one does.
    """

    name: str
    command: tuple[str, ...]
    interpreter: tuple[str, ...] = ()
    namespace: str = ""
    description: str = ""
    cwd: str = "/"

    instances: Instances = 1
    placement: Placement = Placement.NONE
    reserve: int | tuple[int, ...] = 0
    reserve_for: str = ""
    physical: bool = False
    port: int | None = None
    listen: tuple[Listen, ...] = ()
    spread: bool = False
    on_demand: bool = False
    idle_timeout: float = 0.0
    instance_var: str = "NODE_APP_INSTANCE"
    increment: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    balance: Balance | None = None

    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    env_files: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secret_env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    user: str = ""
    group: str = ""
    isolate: Isolation = Isolation()  # noqa: RUF009 (frozen)

    autostart: bool = True
    restart: Restart = Restart.ALWAYS
    restart_delay: float = 0.0
    restart_delay_max: float = 0.0
    restart_limit: int = 16
    restart_window: float = 60.0
    stop_exit_codes: tuple[int, ...] = ()
    stop_signal: str = "SIGTERM"
    stop_timeout: float = 10.0
    kill_mode: KillMode = KillMode.CONTROL_GROUP

    schedule: Schedule | None = None
    watch: Watched | None = None
    memory_restart: int | None = None
    stdin: bool = False

    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    instance_limits: Mapping[int, Limits] = field(default_factory=lambda: MappingProxyType({}))
    total: Limits = Limits()  # noqa: RUF009 (the same)
    nice: int | None = None
    ready: Ready = Ready()  # noqa: RUF009 (frozen)
    watchdog: health.Watchdog | None = None
    log: Log = Log()

    wants: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    unit: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    service: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    origin: str = ""

    def __post_init__(self) -> None:
        self._check_kinds()
        self._freeze()
        self._check_identity()
        self._check_command()
        self._check_numbers()
        self._check_extras()
        rules.hold(self)

    @property
    def argv(self) -> tuple[str, ...]:
        """The whole argument vector that is executed."""
        return self.interpreter + self.command

    @property
    def shown_env(self) -> dict[str, str]:
        """The environment as it may be shown: secrets without their values."""
        shown = {name: HIDDEN if name in self.secrets else value for name, value in self.env.items()}
        return {**shown, **dict.fromkeys(self.secret_env, HIDDEN)}

    @property
    def is_per_core(self) -> bool:
        """Whether each instance has a CPU of its own."""
        return self.instances == PER_CORE or self.placement is Placement.CORE

    @property
    def is_job(self) -> bool:
        """Whether it runs at its times only, each time until it is done."""
        return self.schedule is not None and self.restart is Restart.NO

    @property
    def has_companions(self) -> bool:
        """Whether something beside its instances restarts them, or runs it."""
        return self.schedule is not None or self.watch is not None or self.memory_restart is not None

    def _check_kinds(self) -> None:
        for wanted, names in _KINDS.items():
            for name in names:
                check.kind(getattr(self, name), wanted, name)
        if self.watchdog is not None:
            check.kind(self.watchdog, health.Watchdog, "watchdog")

    def _freeze(self) -> None:
        for name in ("command", "interpreter", "env_files", "wants", "requires", "after", "stop_exit_codes", "listen"):
            _set(self, **{name: vector(getattr(self, name), name)})
        _set(
            self,
            env=MappingProxyType(dict(sorted(self.env.items()))),
            increment=MappingProxyType(dict(sorted(self.increment.items()))),
            secrets=MappingProxyType(dict(sorted(self.secrets.items()))),
            secret_env=MappingProxyType(dict(sorted(self.secret_env.items()))),
            instance_limits=MappingProxyType(_numbered(self.instance_limits)),
            unit=_directives(self.unit, "unit"),
            service=_directives(self.service, "service"),
            restart=check.choice(Restart, self.restart, "restart"),
            kill_mode=check.choice(KillMode, self.kill_mode, "kill_mode"),
            placement=check.choice(Placement, self.placement, "placement"),
            stop_signal=check.signal_name(self.stop_signal, "stop_signal"),
        )
        if not isinstance(self.reserve, int):
            _set(self, reserve=vector(self.reserve, "reserve"))

    def _check_identity(self) -> None:
        check.app_name(self.name, "name")
        if self.namespace:
            check.app_name(self.namespace, "namespace")
        check.unit_name_length(self.name, self.namespace)
        check.line(self.description, "description")
        check.path(self.cwd, "cwd")
        check.account(self.user, "user")
        check.account(self.group, "group")
        if self.origin:
            check.path(self.origin, "origin")

    def _check_command(self) -> None:
        if not self.argv:
            raise SpecError(f"app {self.name!r}: command is empty", hint="Name the program to run.")
        for index, word in enumerate(self.argv):
            check.argument(word, f"command[{index}]")
        check.path(self.argv[0], "command[0]")

    def _check_numbers(self) -> None:
        if self.instances != PER_CORE:
            check.between(self.instances, 1, 10000, "instances")
        if isinstance(self.reserve, int):
            check.between(self.reserve, 0, 8191, "reserve")
        else:
            for cpu in self.reserve:
                check.between(cpu, 0, 8191, "reserve")
        if self.port is not None:
            check.port(self.port, "port")
            last = self.port + (self.instances if isinstance(self.instances, int) else 1) - 1
            check.port(last, "port of the last instance")
        check.not_negative(self.restart_delay, "restart_delay")
        check.not_negative(self.restart_delay_max, "restart_delay_max")
        if self.restart_delay_max and not 0 < self.restart_delay <= self.restart_delay_max:
            raise SpecError(
                f"app {self.name!r}: restart_delay {self.restart_delay:g}s cannot grow to {self.restart_delay_max:g}s",
                hint="Begin with more than 0, such as 100ms, and end with more than that.",
            )
        check.between(self.restart_limit, 0, 2**31 - 1, "restart_limit")
        check.positive(self.restart_window, "restart_window")
        check.positive(self.stop_timeout, "stop_timeout")
        for code in self.stop_exit_codes:
            check.between(code, 0, 255, "stop_exit_codes")
        if self.nice is not None:
            check.between(self.nice, -20, 19, "nice")

    def _check_extras(self) -> None:
        for name in ("wants", "requires", "after"):
            for value in getattr(self, name):
                check.dependency(value, name)
        for name in ("unit", "service"):
            for key, values in getattr(self, name).items():
                check.directive(key, values, name)

    @property
    def probed(self) -> Listen | None:
        """The address that instances share, at which each is asked on a socket of its own; None if none is."""
        return next(iter(self.doors), None)

    @property
    def doors(self) -> list[Listen]:
        """Those that ready and watchdog mean. Raises SpecError if they mean several, or there is none to ask."""
        questions = {"ready": self.ready.question, "watchdog": self.watchdog.question if self.watchdog else None}
        return health.doors(self.name, questions, self.listen, self.port)
