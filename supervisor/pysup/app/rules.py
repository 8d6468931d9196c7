"""What the fields of an App are to each other: which do not go together, and which need another."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pysup import check
from pysup.errors import SpecError
from pysup.health import ReadyWhen
from pysup.listen import Listen, check_distinct, check_on_demand

if TYPE_CHECKING:
    from pysup.app import App

_OURS = frozenset({"PYSUP_APP", "PYSUP_INSTANCE"})


def hold(app: App) -> None:
    """Raise SpecError for what could not be what the user means."""
    for rule in (_environment, _listen, _isolation, _schedule, _watch, _memory, _total, _limits, _balance, _stdin):
        rule(app)


def _environment(app: App) -> None:
    check.env_name(app.instance_var, "instance_var")
    counted = {*app.increment, *(["PORT"] if app.port is not None else [])}
    for key, base in app.increment.items():
        check.env_name(key, "increment")
        check.between(base, 0, 2**53, f"increment.{key}")
    if app.instance_var in _OURS | counted or _OURS & counted or (app.port is not None and "PORT" in app.increment):
        raise SpecError(
            f"app {app.name!r}: two of instance_var, increment and port set the same variable",
            hint="Give each a name of its own.",
        )
    reserved = _OURS | counted | {app.instance_var}
    for key, value in app.env.items():
        check.env_name(key, "env")
        check.env_value(value, f"env {key}")
        if key in reserved:
            raise SpecError(
                f"app {app.name!r}: env {key!r} is set by pysup for each instance",
                hint="Take it out of env"
                + (f", or of {'port' if key == 'PORT' else 'increment'}." if key in counted else "."),
            )
    for file in app.env_files:
        check.path(file, "env_files")
    if app.secrets or app.secret_env:
        _secrets(app, reserved)


def _secrets(app: App, reserved: Collection[str]) -> None:
    from pysup.secret.reference import check_secret, check_variable  # few apps have any, and each list reads all apps

    for name, reference in app.secrets.items():
        check.kind(reference, str, f"secrets.{name}")
        check_secret(name, reference)
        if reference.startswith("file:") and name not in app.env:
            raise SpecError(f"app {app.name!r}: env lacks the secret {name!r}", hint="Read its file into env.")
    for variable, name in app.secret_env.items():
        check.kind(name, str, f"secret_env.{variable}")
        check_variable(variable, name, app.secrets)
        if variable in reserved or variable in app.env:
            raise SpecError(
                f"app {app.name!r}: secret_env {variable!r} is set otherwise, too",
                hint="Take it out of one of them.",
            )


def _listen(app: App) -> None:
    for one in app.listen:
        check.kind(one, Listen, "listen")
    check_distinct(app.name, app.listen)
    check_on_demand(app.name, app.listen, on_demand=app.on_demand, idle_timeout=app.idle_timeout)
    if app.spread and (not app.listen or any(one.port is None for one in app.listen)):
        raise SpecError(f"app {app.name!r}: spread is for TCP ports that it listens on", hint="Add listen=8080.")


def _isolation(app: App) -> None:
    questions = [app.ready.question, app.watchdog and app.watchdog.question]
    asked_elsewhere = sum(map(bool, questions)) > len(app.doors)
    app.isolate.check_app(
        app.name,
        account=bool(app.user or app.group),
        balances=app.balance is not None,
        ports=app.port is not None or asked_elsewhere,
        guarded=app.probed is not None and app.probed.mode is not None,
    )


def _schedule(app: App) -> None:
    if app.schedule is None:
        return
    from pysup.triggers import Schedule  # as for secrets

    check.kind(app.schedule, Schedule, "schedule")
    if not app.is_job:
        if app.schedule.catch_up:
            raise SpecError(
                f"app {app.name!r}: catch_up is for jobs, and this app runs all the time",
                hint="Leave it out; a job is an app with restart=no.",
            )
        return
    for name, is_asked, hint in (
        ("more than one instance", app.instances != 1, "Give each job a name of its own."),
        ("sockets", bool(app.listen), "What listens has to run: leave out restart=no."),
        ("a ready condition", app.ready.when is not ReadyWhen.EXEC, "It is over when it ends."),
        ("a watchdog", app.watchdog is not None, "It is over when it ends."),
        ("watch", app.watch is not None, "It runs at its times only."),
        ("stdin", app.stdin, "It may begin at any time."),
        ("memory_restart", app.memory_restart is not None, "Its limit is memory_max."),
    ):
        if is_asked:
            raise SpecError(f"app {app.name!r} is a job (schedule with restart=no): no {name}", hint=hint)


def _balance(app: App) -> None:
    if app.balance is not None:
        from pysup.balance import Balance  # as for secrets

        check.kind(app.balance, Balance, "balance")
        app.balance.check_app(app.name, app.instances, app.listen, spread=app.spread)


def _watch(app: App) -> None:
    if app.watch is not None:
        from pysup.triggers import Watched  # as for secrets

        check.kind(app.watch, Watched, "watch")


def _stdin(app: App) -> None:
    if app.stdin and app.listen:
        raise SpecError(
            f"app {app.name!r}: stdin does not go with listen",
            hint="Programs that take their sockets from systemd would take the input for one; a --port does.",
        )


def _memory(app: App) -> None:
    if app.memory_restart is None:
        return
    check.between(app.memory_restart, 1, 2**62, "memory_restart")
    most = [one.memory_max for one in (app.limits, *app.instance_limits.values()) if one.memory_max is not None]
    if most and min(most) <= app.memory_restart:
        raise SpecError(
            f"app {app.name!r}: memory_max is not above memory_restart, and would kill it first",
            hint="Raise memory_max; left out, it is twice memory_restart.",
        )


def _total(app: App) -> None:
    if not app.total.given:
        return
    from pysup.limits.table import BY_FIELD  # as for secrets

    alone = [name for name in app.total.given if not BY_FIELD[name].is_of_groups]
    if alone:
        raise SpecError(
            f"app {app.name!r}: total.{alone[0]} is a limit of single processes",
            hint=f"Give it to each instance: limits.{alone[0]}.",
        )


def _limits(app: App) -> None:
    if app.reserve_for:
        check.service(app.reserve_for, "reserve_for")
        if not app.reserve or not app.is_per_core:
            raise SpecError(
                f"app {app.name!r}: no CPU is reserved for {app.reserve_for}",
                hint="Add reserve=1, and pin the app's instances: per-core.",
            )
    if app.is_per_core and any(one.cpu_affinity for one in (app.limits, *app.instance_limits.values())):
        raise SpecError(
            f"app {app.name!r}: limits.cpu_affinity does not go with instances that are pinned to CPUs each",
            hint="Leave one out; limits.cpus and reserve say which CPUs there are.",
        )
