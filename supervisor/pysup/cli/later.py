"""Modules that other modules import for what they hardly ever do, imported when they do it.

Python will have this of its own (PEP 810, 3.15).
"""

from __future__ import annotations

import sys
from types import ModuleType

# dataclasses wants inspect for classes without a docstring, urllib.parse ipaddress for hosts in brackets, socket
# selectors for sendfile: 8 ms of the hundred that a list takes.
RARELY_USED = ("inspect", "ipaddress", "selectors")


def defer(*names: str) -> None:
    """Have these modules imported when something of theirs is asked for, unless they are there already."""
    for name in names:
        sys.modules.setdefault(name, _Deferred(name))


class _Deferred(ModuleType):
    """Stands for a module; to be imported by ``import``, not by ``from … import``, which asks for something."""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        from importlib import import_module

        return getattr(import_module(self.__name__), name)
