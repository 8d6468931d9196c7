"""What makes an app as it is wanted: found out in a conversation with systemd, the same for both connections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from pysup import balancers, local, names, plan, states, status
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.call import Call, Conversation
from pysup.host import trust
from pysup.machine import Machine
from pysup.plan import Plan
from pysup.render import File, Rendered, render, render_spare, render_trial
from pysup.selector import Chosen
from pysup.store import Store, Stored
from pysup.unit import ActiveState, Scope


def configuration(balancer: App, app: App, numbers: Collection[int], *, room: int = 0) -> str:
    """What a balancer is to know when all instances of the app before which it stands are served.

    It knows of *room* addresses at least.
    """
    assert balancer.balance  # noqa: S101 (the same)
    places = balancers.slots(balancer.balance, app, max(len(numbers), room))
    return balancers.config(balancer, places, numbers if app.port is not None else places)


def before(store: Store, app: str) -> list[Stored]:
    """The apps that are balancers of this one."""
    found = map(store.find, store.balancers())
    return [one for one in found if one and one.app and one.app.balance and one.app.balance.app == app]


class Workshop:
    """Where apps are rendered: the machine as it was given, or as it is found when it is first needed."""

    def __init__(self, scope: Scope, store: Store, machine: Machine | None = None) -> None:
        self._scope = scope
        self._store = store
        self._machine = machine

    def render(self, app: App, *, saved: bool) -> Rendered:
        """The files of *app* for the directory that it lives in."""
        rendered = render(
            app,
            self._machine_for(app),
            str(self._store.directory(saved=saved)),
            opened=trust.opened_by_account(app, self._scope),
        )
        if not app.balance:
            return rendered
        return replace(rendered, files={**rendered.files, names.balancer_file(app.name): self._config(app)})

    def render_spare(self, app: App, index: int) -> Mapping[str, File]:
        """The files of one more instance, in which a new version proves itself; *index* tells several apart."""
        files = render_spare(
            app,
            self._machine_for(app),
            str(self._store.runtime),
            index,
            opened=trust.opened_by_account(app, self._scope),
        )
        return self._configured(app, names.spare(index), files)

    def render_trial(self, app: App) -> Mapping[str, File]:
        """The files of one that is only tried, apart from any client."""
        files = render_trial(
            app, self._machine_for(app), str(self._store.runtime), opened=trust.opened_by_account(app, self._scope)
        )
        return self._configured(app, names.TRIAL, files)

    def count_cpus(self) -> int:
        """How many CPUs the caller may run on."""
        return len(self.machine.cpus)

    def _configured(self, app: App, kind: str, files: Mapping[str, File]) -> Mapping[str, File]:
        if not files or not app.balance:
            return files
        return {**files, names.spare_file(app.name, kind, "conf"): self._config(app)}

    def _config(self, balancer: App) -> File:
        assert balancer.balance  # noqa: S101 (whoever asks has looked)
        behind = self._store.get(balancer.balance.app)
        return File(configuration(balancer, behind.require(), behind.numbers))

    def _machine_for(self, app: App) -> Machine:
        machine = self.machine
        return replace(machine, real=local.real_paths(app.argv)) if app.isolate.level.hides_homes else machine

    @property
    def machine(self) -> Machine:
        """The machine."""
        self._machine = self._machine or local.machine(self._scope)
        return self._machine


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done to an app, and the files that it is to have."""

    app: App
    found: Stored | None
    rendered: Rendered
    steps: Plan

    @property
    def saved(self) -> bool:
        """Whether its files are where they stay."""
        return self.found is not None and self.found.saved

    @property
    def calls(self) -> tuple[Call, ...]:
        """What starts that which is missing, once all else is done."""
        restarts = map(systemd1.restart_unit, self.steps.restart)
        return (*restarts, *map(systemd1.start_unit, self.steps.start))

    @property
    def resets(self) -> tuple[Call, ...]:
        """What has systemd forget failures of that which is started."""
        return tuple(map(systemd1.reset_failed_unit, (*self.steps.reset, *self.steps.stop)))


def decide(
    store: Store,
    workshop: Workshop,
    app: App,
    only: Chosen | None = None,
    *,
    restart: bool = False,
    force: bool = False,
) -> Conversation[Decision]:
    """What to do so that *app* runs as it is wanted. The app's lock must be held until it is done.

    Raises Conflict if it runs already as something else, and *force* is not given.
    """
    found = store.find(app.name)
    units = yield from states.loaded(status.patterns([app.name]))
    plan.begin(app, found, units, force=force)
    rendered = workshop.render(app, saved=found is not None and found.saved)
    steps = plan.converge(app, rendered.numbers, found, units, restart=restart)
    if only and not only.whole:
        return Decision(app, found, rendered, plan.narrow(steps, only))
    if app.on_demand:
        steps = plan.await_connections(steps, app, rendered.numbers, units)
    if found and found.app and (found.app.listen or app.listen):
        sockets = yield from listening(app.name)
        steps = plan.change_sockets(steps, found.app, app, rendered.numbers, sockets)
    steps = yield from _with_companions(store, steps, app, rendered)
    if app.is_job:
        steps = plan.wait_for_time(steps, app, run=restart and only is not None)
    return Decision(app, found, rendered, steps)


def _with_companions(store: Store, steps: Plan, app: App, rendered: Rendered) -> Conversation[Plan]:
    there = names.companions(app.name)
    before = {unit: store.text(app.name, unit) for unit in there}
    wanted = {unit: rendered.files[unit].text for unit in there if unit in rendered.files}
    if not wanted and not any(before.values()):
        return steps
    known = yield from states.loaded([*there, names.stdin_socket(app.name, "*")])
    up = {unit for unit, state in known.items() if state.active_state is not ActiveState.INACTIVE}
    texts = {unit: text for unit, text in before.items() if text is not None}
    return plan.change_companions(steps, texts, wanted, up, is_known=bool(known))


def companions_up(app: str) -> Conversation[list[str]]:
    """The units beside the app's instances that are there."""
    return (yield from states.active([*names.companions(app), names.stdin_socket(app, "*")]))


def listening(app: str) -> Conversation[list[str]]:
    """The app's socket units that are there, and what a connection has started, which has the sockets, too."""
    return (yield from states.active([names.socket_pattern(app), names.probe_pattern(app), names.wake_unit(app)]))
