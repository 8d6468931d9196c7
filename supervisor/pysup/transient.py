"""Jobs: commands that run once, as transient units, by systemd's own systemd-run or pystemd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pysup.app import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The conditions a job lives under. ``timeout`` in seconds; ``pty`` gives it the caller's terminal."""

    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    group: str = ""
    limits: Limits = Limits()
    nice: int | None = None
    timeout: float | None = None
    pty: bool = False
    name: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a job ended. ``output`` is empty when it went to the caller's own terminal or files."""

    unit: str
    code: int | None = None
    signal: int | None = None
    result: str = "success"
    output: bytes = b""
    error: bytes = b""
