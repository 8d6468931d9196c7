"""What stops an app that nobody is connected to: a script beside its units, that runs only while the app is up.

Instances uphold its unit, so that systemd has it running as long as any of them does, and lets it end with the last.
It needs a Python, and nothing of pysup.
"""

from __future__ import annotations

from pathlib import Path

from pysup import names
from pysup.app import App
from pysup.errors import SpecError
from pysup.unit import Scope
from pysup.unitfile import command_line, section


def files(app: App, scope: Scope, *, python: str, directory: str) -> dict[str, str]:
    """The unit and the script, to be put in *directory*; none for an app that is never idle for too long."""
    if not app.idle_timeout:
        return {}
    script = Path(__file__).with_name("stopper.py").read_text(encoding="utf-8")
    unit = _unit(app, scope, python=python, directory=directory)
    return {names.idle_unit(app.name): unit, names.idle_file(app.name): script}


def _unit(app: App, scope: Scope, *, python: str, directory: str) -> str:
    if not python:
        raise SpecError(
            f"app {app.name!r}: idle_timeout needs a Python that is the machine's own",
            hint="Install it: apt install python3-minimal.",
        )
    instances = names.PREFIX + app.name + "@[0-9]*.service"
    words = (scope.value, instances, names.spare_unit(app.name), f"{app.idle_timeout:g}")
    addresses = (one.address if one.port is None else str(one.port) for one in app.listen)
    command = (python, "-I", "-S", f"{directory}/{names.idle_file(app.name)}", *words, *addresses)
    head = [
        ("Description", f"{app.name}, stops it when nobody is connected"),
        ("PartOf", names.target_unit(app.name)),
        ("StopWhenUnneeded", "yes"),
    ]
    service = [
        ("Type", "exec"),
        ("ExecStart", command_line(command)),
        ("Restart", "on-failure"),
        ("RestartSec", "1s"),
        ("Slice", names.slice_unit(app.name, app.namespace)),
    ]
    return section("Unit", head) + "\n" + section("Service", service)
