"""The options that say how an app is isolated, as ``start`` and ``isolate`` share them; and what they mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import typer

from pysup.cli.options import several
from pysup.isolate import Isolation, Level


def _option(*names: str, metavar: str | None = None, help: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel="Kept from the machine", show_default=False)


Level_ = Annotated[
    Level | None,
    _option("--isolate", help="How much: basic suits nearly all. docs/isolation.md has each directive."),
]
Writable = Annotated[
    list[str] | None, _option("--writable", metavar="PATH", help="What it may write all the same; repeat it.")
]
Readable = Annotated[
    list[str] | None, _option("--readable", metavar="PATH", help="What it sees of homes all the same; repeat it.")
]
Devices = Annotated[list[str] | None, _option("--device", metavar="PATH", help="A device that it has; repeat it.")]
Network = Annotated[
    list[str] | None,
    _option(
        "--network",
        metavar="NETWORKS",
        help="What it reaches: on, off (what systemd listens on is served), loopback, 10.0.0.0/8,… (--system only).",
    ),
]
DynamicUser = Annotated[
    bool | None,
    _option(
        "--dynamic-user/--no-dynamic-user",
        help="Run it as an account that is there only while it runs (--system only).",
    ),
]
BindLowPorts = Annotated[
    bool | None,
    _option("--bind-low-ports/--no-bind-low-ports", help="It may open ports below 1024 (--system only)."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the options said; None for those that were not given."""

    level: Level | None = None
    writable: Sequence[str] | None = None
    readable: Sequence[str] | None = None
    devices: Sequence[str] | None = None
    network: Sequence[str] | None = None
    dynamic_user: bool | None = None
    bind_low_ports: bool | None = None

    def change(self, before: Isolation) -> Isolation:
        """What an app is to have that had *before*; a list takes the place of the one that was."""
        given = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        for name in ("writable", "readable", "devices"):
            if name in given:
                given[name] = tuple(map(os.path.abspath, given[name]))
        if self.network is not None:
            given["network"] = several(self.network)
        return replace(before, **given)
