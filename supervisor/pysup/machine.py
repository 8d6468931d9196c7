"""The machine, as far as unit files depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from pysup.unit import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What rendering must know of the machine.

    ``cpus`` are the logical CPUs that the caller may run on; ``cores`` are the same by physical core, those that are
    fast first.
    ``preload`` is the text that Node programs load to find their sockets, ``probe`` that of what asks instances how
    they are, ``launch`` that which runs servers written in Python. ``python`` is the interpreter that has pysup's
    libraries, ``plain_python`` one that stays when pysup goes. ``namespaces``: users may make user namespaces; ``real``
    are the paths of the app's program where they lead to, if it is to be isolated.
    """

    scope: Scope
    cpus: tuple[int, ...]
    cores: tuple[tuple[int, ...], ...]
    systemd_cat: str = "/usr/bin/systemd-cat"
    plain_python: str = "/usr/bin/python3"
    preload: str = ""
    python: str = "/usr/bin/python3"
    probe: str = ""
    launch: str = ""
    namespaces: bool = True
    real: tuple[str, ...] = ()
