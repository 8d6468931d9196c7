"""App -> unit files, as text: pure, so that what will be written can be shown, compared and tested without systemd."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from pysup import companions, idle, names, preload, probe, servers, sockets, spec
from pysup.app import App
from pysup.limits import table
from pysup.machine import Machine
from pysup.placement import count_instances, place, reserved
from pysup.render.service import Form, counted, service_section, unit_section
from pysup.unit import BOOT_TARGET, Scope
from pysup.unitfile import print_environment, section


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written: its text and its mode."""

    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The files of an app by path below the unit directory, and its instances' numbers."""

    files: Mapping[str, File]
    numbers: tuple[int, ...]


def render(app: App, machine: Machine, directory: str, *, opened: Collection[str] = ()) -> Rendered:
    """The unit files of *app*, to be put in *directory*; its account opens the log files of *opened* itself.

    Raises SpecError when the machine has too few CPUs for it, or the program cannot meet its ready condition, or is
    known not to take a socket.
    """
    preload.check(app)
    servers.check(app)
    numbers = tuple(range(count_instances(app, machine)))
    beside = companions.files(app, numbers, machine.scope, directory, machine.python)
    instances = [names.instance_unit(app.name, number) for number in numbers if not app.is_job]
    started = [*(sockets.all_units(app, numbers) if app.on_demand else instances), *companions.wanted(beside)]
    form = _form(app, machine, directory, opened)
    files = {
        names.template_unit(app.name): File(_template(form)),
        names.target_unit(app.name): File(_target(app, machine.scope, started, numbers)),
        names.slice_unit(app.name, app.namespace): File(_slice(app)),
    }
    files |= _named_by(form)
    idler = idle.files(app, machine.scope, python=machine.plain_python, directory=directory)
    files |= {name: File(text) for name, text in (sockets.files(app, numbers) | beside | idler).items()}
    cpus = place(app, machine)
    for number in numbers:
        text = _instance(app, number, cpus)
        if text:
            files[f"{names.instance_unit(app.name, number)}.d/instance.conf"] = File(text)
    if app.reserve_for:
        files[names.reservation_file(app.name, app.reserve_for)] = File(_reservation(app, machine))
    return Rendered(files=files, numbers=numbers)


def is_edited(template: str) -> bool:
    """Whether somebody has changed the text of a template since it was rendered."""
    above, marker, below = template.partition(f"[{spec.SECTION}]\n")
    digest = next((line[7:] for line in below.splitlines() if line.startswith("Digest=")), "")
    return not marker or digest != _digest(above)


def render_spare(
    app: App, machine: Machine, directory: str, index: int = 0, *, opened: Collection[str] = ()
) -> dict[str, File]:
    """The files of one more instance, to stand beside those of the app in *directory*; it is not started again."""
    kind = names.spare(index)
    doors = {names.probe_unit(app.name, kind): sockets.probe(app, kind)} if app.probed else {}
    form = _beside(_form(app, machine, directory, opened), kind, index)
    return _render_beside(replace(form, inherits=sockets.inherited(app, kind)), kind, doors)


def render_trial(app: App, machine: Machine, directory: str, *, opened: Collection[str] = ()) -> dict[str, File]:
    """The files of an instance that shares no socket, but has its own of the same names."""
    doors = sockets.stand_ins(app)
    form = _beside(_form(replace(app, watchdog=None, spread=False), machine, directory, opened), names.TRIAL)
    return _render_beside(replace(form, door=sockets.stand_in(app), inherits=[*doors]), names.TRIAL, doors)


def _form(app: App, machine: Machine, directory: str, opened: Collection[str]) -> Form:
    """That of the template."""
    return Form(
        app=app,
        machine=machine,
        directory=directory,
        inherits=sockets.inherited(app, "%i"),
        environment=names.environment_file(app.name),
        preload=names.preload_file(app.name),
        probe=names.probe_file(app.name),
        balancer=names.balancer_file(app.name),
        launch=names.launch_file(app.name),
        opened=opened,
    )


def _beside(form: Form, kind: str, index: int = 0) -> Form:
    """That of an instance beside the app's own, with files of its own."""
    environment, preloaded, asks, config, launch = (
        names.spare_file(form.app.name, kind, suffix) for suffix in ("env", "cjs", "py", "conf", "launch")
    )
    number = str(count_instances(form.app, form.machine) + index)
    return replace(
        form,
        instance=number,
        door=kind,
        environment=environment,
        preload=preloaded,
        probe=asks,
        balancer=config,
        launch=launch,
    )


def _render_beside(form: Form, kind: str, doors: Mapping[str, str]) -> dict[str, File]:
    app = form.app
    service = [*service_section(form), ("Restart", "no"), *counted(app, int(form.instance))]
    text = section("Unit", unit_section(form)) + "\n" + section("Service", service)
    files = {unit: File(socket) for unit, socket in doors.items()}
    return {**files, **_named_by(form), names.spare_unit(app.name, kind): File(text)}


def _named_by(form: Form) -> dict[str, File]:
    """The files that the unit names: its variables, and programs that run in it or before the app's."""
    app, machine = form.app, form.machine
    files = (
        (form.environment, bool(app.env), File(print_environment(app.env), 0o600)),
        (form.preload, preload.is_for(app), File(machine.preload)),
        (form.probe, probe.is_for(app), File(machine.probe)),
        (form.launch, servers.is_launched(app), File(machine.launch)),
    )
    return {name: file for name, is_named, file in files if is_named}


def _template(form: Form) -> str:
    app = form.app
    text = (
        f"# Made by pysup, which reads it back. To add directives: systemctl edit {names.template_unit(app.name)}\n"
        + section("Unit", unit_section(form))
        + "\n"
        + section("Service", service_section(form))
        + "\n"
    )
    return text + section(spec.SECTION, [*spec.encode(app), ("Digest", _digest(text))])


def _digest(text: str) -> str:
    import hashlib  # loads OpenSSL: not for those who only read

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _reservation(app: App, machine: Machine) -> str:
    """What keeps the unit that CPUs are reserved for on them; a process could leave those that it only begins on."""
    cpus = table.numbers(reserved(app, machine))
    lines = [(name, value) for name in ("AllowedCPUs", "CPUAffinity") for value in ("", cpus)]  # lists are added to
    text = section("Service", lines)
    return f"# Made by pysup: app {app.name} leaves these CPUs to it.\n{text}"


def _instance(app: App, number: int, cpus: tuple[tuple[int, ...], ...]) -> str:
    """What differs from the template; empty if nothing does."""
    unit = list(sockets.unit_section(sockets.units(app, number))) if app.spread else []
    service = list(sockets.service_section(sockets.units(app, number))) if app.spread else []
    if cpus:
        service.append(("CPUAffinity", " ".join(map(str, cpus[number % len(cpus)]))))
    service += counted(app, number)
    service += table.overriding(companions.limits(app), companions.limits(app, number))
    return "\n".join(section(name, lines) for name, lines in (("Unit", unit), ("Service", service)) if lines)


def _target(app: App, scope: Scope, units: Iterable[str], numbers: Iterable[int]) -> str:
    """What is started, and what is started by others than systemd's start of this: read back by pysup."""
    unit = [("Description", f"{app.name}, all instances"), *(("Wants", unit) for unit in units)]
    parts = [section("Unit", unit)]
    if app.on_demand:
        parts.append(section(spec.SECTION, [("Wants", names.instance_unit(app.name, number)) for number in numbers]))
    if app.autostart:
        parts.append(section("Install", [("WantedBy", BOOT_TARGET[scope])]))
    return "\n".join(parts)


def _slice(app: App) -> str:
    parts = [section("Unit", [("Description", f"{app.name}, resources of all instances")])]
    held = list(table.directives(app.total))
    return "\n".join([*parts, section("Slice", held)] if held else parts)
