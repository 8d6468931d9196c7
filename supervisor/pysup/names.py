"""The names of an app's units, there and back; nothing else knows how they are spelt."""

from __future__ import annotations

import re
from typing import NamedTuple

PREFIX = "pysup-"
ROOT_SLICE = "pysup.slice"
SPARE, TRIAL = "next", "trial"  # where others have a number: the spare instance, and the one that is only tried
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

NAMESPACE_FILE = "pysup.conf"
"""The drop-in of a namespace's slice that holds its limits."""

_INSTANCE = re.compile(rf"{PREFIX}({NAME.pattern})@(\d+)\.service")
_BALANCER = re.compile(rf"{PREFIX}({NAME.pattern})\.conf")
_TEMPLATE = re.compile(rf"{PREFIX}({NAME.pattern})@\.service")


class InstanceName(NamedTuple):
    """One instance: ``web@0`` is ``InstanceName("web", 0)``."""

    app: str
    number: int

    def __str__(self) -> str:
        return f"{self.app}@{self.number}"

    @property
    def unit(self) -> str:
        """The unit of this instance, such as ``pysup-web@0.service``."""
        return instance_unit(self.app, self.number)

    @property
    def identifier(self) -> str:
        """What its lines carry in the journal as ``SYSLOG_IDENTIFIER=``."""
        return f"{PREFIX}{self.app}@{self.number}"


def template_unit(app: str) -> str:
    """The file that all instances share."""
    return f"{PREFIX}{app}@.service"


def instance_unit(app: str, number: int) -> str:
    """The unit of one instance."""
    return f"{PREFIX}{app}@{number}.service"


def target_unit(app: str) -> str:
    """The unit that groups the instances and is enabled at boot."""
    return f"{PREFIX}{app}.target"


def socket_unit(app: str, key: str, number: int | None = None) -> str:
    """The unit that listens on an address of the app; one for each instance where sockets are not shared."""
    return f"{PREFIX}{app}@{key}.socket" if number is None else f"{PREFIX}{app}@{key}.{number}.socket"


def is_socket(app: str, unit: str) -> bool:
    """Whether a unit is one of those that listen on addresses of the app."""
    return unit.startswith(f"{PREFIX}{app}@") and unit.endswith(".socket")


def instance_pattern(app: str) -> str:
    """What matches the units of the app's instances."""
    return f"{PREFIX}{app}@*.service"


def socket_pattern(app: str) -> str:
    """What matches the socket units of the app."""
    return f"{PREFIX}{app}@*.socket"


def probe_template(app: str) -> str:
    """The unit of the sockets on which single instances are asked; app names have no ``:``, so it is nobody else's."""
    return f"{PREFIX}{app}:probe@.socket"


def probe_unit(app: str, instance: str) -> str:
    """The socket on which one instance is asked: a number, ``%i`` in a template, or ``next``."""
    return f"{PREFIX}{app}:probe@{instance}.socket"


def probe_pattern(app: str) -> str:
    """What matches those of all instances."""
    return probe_unit(app, "*")


def spare_files(app: str) -> re.Pattern[str]:
    """What matches the names of all files of spare instances."""
    kinds = f"{SPARE}\\d*|{TRIAL}"
    return re.compile(rf"{PREFIX}{re.escape(app)}(?:@(?P<kind>{kinds})\.[a-z]+|:probe@(?:{kinds})(?:\.\d+)?\.socket)")


def socket_file(unit: str) -> str:
    """The file that a socket unit comes from."""
    return re.sub(r"(:probe@)[^@]+(\.socket)", r"\1\2", unit)


def probe_path(app: str, instance: str) -> str:
    """Where that socket is, below the runtime directory."""
    return f"pysup-probe/{app}@{instance}"


def probe_file(app: str) -> str:
    """The file, beside the units, that asks."""
    return f"{PREFIX}{app}.py"


def preload_file(app: str) -> str:
    """The file, beside the units, that Node programs load to find their sockets."""
    return f"{PREFIX}{app}.cjs"


COMPANIONS = (
    "schedule.timer",
    "schedule.service",
    "watch.service",
    "memory.service",
    "stdin@.socket",
    "wake.service",
    "idle.service",
)
"""The units beside an app's instances that start, restart or stop them, by what follows the app's name in theirs."""


COMPANION_FILES = ("memory.sh", "restart.sh", "watch.py", "idle.py")
"""What these units execute, named likewise."""


def companion(app: str, what: str) -> str:
    """A unit beside the instances, one of ``COMPANIONS``, or a file of theirs. No app's own are called so: those that
    are services have an ``@``.
    """
    return f"{PREFIX}{app}-{what}"


def wake_unit(app: str) -> str:
    """What a connection starts while no instance runs: it wants them all."""
    return companion(app, "wake.service")


def idle_unit(app: str) -> str:
    """What stops the instances when nobody has been connected for long."""
    return companion(app, "idle.service")


def idle_file(app: str) -> str:
    """The script that it runs, beside the units."""
    return companion(app, "idle.py")


def companions(app: str) -> list[str]:
    """All companions that the app may have."""
    return [companion(app, what) for what in COMPANIONS]


def stdin_socket(app: str, number: int | str) -> str:
    """The socket unit that holds the standard input of an instance; ``*`` matches them all."""
    return f"{PREFIX}{app}-stdin@{number}.socket"


def companion_file(unit: str) -> str:
    """The file that a companion is made from: its own, or a template."""
    return re.sub(r"@\d+\.", "@.", unit)


def stdin_file(app: str, number: int | str) -> str:
    """The FIFO that people write to, below ``pysup`` in the runtime directory."""
    return f"{app}@{number}.stdin"


def launch_file(app: str) -> str:
    """The file, beside the units, that runs servers written in Python."""
    return f"{PREFIX}{app}.launch"


def spare(index: int) -> str:
    """The kind of a spare instance; there are several when several instances are replaced at a time."""
    return f"{SPARE}{index or ''}"


def spare_unit(app: str, kind: str = SPARE) -> str:
    """An instance in which a new version proves itself: a unit file of its own, not made from the template."""
    return f"{PREFIX}{app}@{kind}.service"


def spare_file(app: str, kind: str, suffix: str) -> str:
    """A file of its own: its environment (``env``), what Node loads first (``cjs``), what asks (``py``) …"""
    return f"{PREFIX}{app}@{kind}.{suffix}"


def slice_unit(app: str, namespace: str = "") -> str:
    """The cgroup of the app, inside its namespace's if it has one.

    ``-`` in a slice's name means hierarchy, so names are escaped: systemd.slice(5).
    """
    parts = (namespace, app) if namespace else (app,)
    return PREFIX + "-".join(escape(part) for part in parts) + ".slice"


def reservation_file(app: str, unit: str) -> str:
    """The drop-in of a unit that is not ours, for which the app leaves CPUs free."""
    return f"{unit}.d/{PREFIX}{app}.conf"


def environment_file(app: str) -> str:
    """The file, beside the units, that holds the values of the app's environment."""
    return f"{PREFIX}{app}.env"


def balancer_file(app: str) -> str:
    """The configuration of an app that is a balancer, beside its units."""
    return f"{PREFIX}{app}.conf"


def parse_balancer_file(file: str) -> str | None:
    """The app whose configuration as a balancer a file name is, or None."""
    found = _BALANCER.fullmatch(file)
    return found[1] if found else None


def runtime_directory(app: str, instance: str, *, dynamic: bool) -> str:
    """The directory that an instance has while it runs, below the manager's own.

    systemd leaves a link where that of a dynamic account was, with which an ordinary one's cannot be made.
    """
    return f"{PREFIX}{app}@{instance}" + (".dynamic" if dynamic else "")


def dynamic_user(app: str) -> str:
    """The account that an app has only while it runs: systemd allows 31 characters, and no dots."""
    name = f"{PREFIX}{app}"
    if len(name) <= 31 and "." not in name:
        return name
    from zlib import crc32  # few names are as long

    return f"{PREFIX}{re.sub(r'[^A-Za-z0-9_-]', '-', app)[:16]}-{crc32(app.encode()):08x}"


def state_directory(app: str) -> str:
    """The directory of its state below ``/var/lib``, and of its cache below ``/var/cache``."""
    return f"{PREFIX}{app}"


def parse_instance(unit: str) -> InstanceName | None:
    """The instance that a unit is, or None if the unit is not one of ours."""
    found = _INSTANCE.fullmatch(unit)
    return InstanceName(found[1], int(found[2])) if found else None


def parse_template(file: str) -> str | None:
    """The app whose template a file name is, or None."""
    found = _TEMPLATE.fullmatch(file)
    return found[1] if found else None


def escape(text: str) -> str:
    """Escape like ``systemd-escape``; our names need it for ``-`` only."""
    return text.replace("-", r"\x2d")
