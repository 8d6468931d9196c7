"""What is decided without doing anything: which apps are meant, what to do, what has happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import apps
from pysup import plan, track
from pysup.errors import Conflict, NotFound, SpecError
from pysup.events import Event, Exited, Failed, Restarting, Started, Starting, Stopped, Stopping
from pysup.names import InstanceName
from pysup.selector import Chosen, Known, select
from pysup.states import UnitState
from pysup.store import Stored
from pysup.unit import ActiveState, Exit

KNOWN = {
    "api": Known((0, 1), "prod"),
    "web": Known((0, 1, 2, 3), "prod"),
    "web-2": Known((0,)),
    "worker": Known((0, 2)),
}


@pytest.mark.parametrize(
    ("selectors", "apps_"),
    [
        ("all", ["api", "web", "web-2", "worker"]),
        ("web", ["web"]),
        ("w*", ["web", "web-2", "worker"]),
        ("web?2", ["web-2"]),
        ("prod/", ["api", "web"]),
        (["worker", "api"], ["api", "worker"]),
        (["web", "web@1"], ["web"]),
    ],
)
def test_selectors_mean_whole_apps(selectors: str | list[str], apps_: list[str]) -> None:
    """By name, pattern, namespace, or all."""
    found = select(selectors, KNOWN)
    assert apps_ == [one.app for one in found]
    assert all(one.whole for one in found)


@pytest.mark.parametrize(
    ("selectors", "numbers"), [("web@2", (2,)), ("web@1..3", (1, 2, 3)), (["web@0", "web@2..3"], (0, 2, 3))]
)
def test_selectors_mean_instances(selectors: str | list[str], numbers: tuple[int, ...]) -> None:
    """One, or a range, or several."""
    assert [Chosen("web", numbers, whole=False)] == select(selectors, KNOWN)


@pytest.mark.parametrize(
    ("selector", "error", "said", "hint"),
    [
        ("wbe", NotFound, "'wbe'", "'web'"),
        ("prdo/", NotFound, "'prdo/'", "'prod/'"),
        ("/", NotFound, "'/'", "pysup list"),
        ("nothing-like-it", NotFound, "nothing-like-it", "pysup list"),
        ("x*", NotFound, "'x*'", "pysup list"),
        ("web@9", NotFound, "no instance 9", "0 to 3"),
        ("web@3..1", SpecError, "backwards", "web@1..3"),
        ("../etc", NotFound, "'../etc'", ""),
    ],
)
def test_a_selector_that_means_nothing_is_an_error(selector: str, error: type[Exception], said: str, hint: str) -> None:
    """With the nearest name."""
    with pytest.raises(error) as caught:
        select(selector, KNOWN)
    assert said in str(caught.value)
    assert hint in caught.value.hint  # type: ignore[attr-defined]


def test_all_may_be_nothing() -> None:
    """Scripts say all on fresh machines."""
    assert select("all", {}) == []


def state(number: int, active: str = "active", **fields: object) -> UnitState:
    """An instance of web."""
    return UnitState(unit=f"pysup-web@{number}.service", active_state=ActiveState(active), **fields)  # type: ignore[arg-type]


def units(*states: UnitState) -> dict[str, UnitState]:
    """By name."""
    return {one.unit: one for one in states}


def stored(**fields: object) -> Stored:
    """The app of two instances, as the store has it."""
    return Stored(name="web", app=apps.app(instances=2, **fields), numbers=(0, 1), directory=Path("/run"), saved=False)


def test_a_new_app_is_written_and_started_without_a_reload() -> None:
    """systemd reads files that it never knew by itself."""
    steps = plan.converge(apps.app(instances=2), (0, 1), None, {})
    assert (steps.write, steps.reload) == (True, False)
    assert steps.start == ("pysup-web.target",)
    assert steps.begun == ("pysup-web@0.service", "pysup-web@1.service")


def test_what_runs_as_wanted_is_left_alone() -> None:
    """Only the missing instance is started."""
    found = stored()
    steps = plan.converge(found.require(), (0, 1), found, units(state(0), state(1, "failed")))
    assert (steps.write, steps.reload, steps.stop, steps.restart) == (False, False, (), ())
    assert steps.begun == ("pysup-web@1.service",)
    assert steps.reset == ("pysup-web@1.service",)


def test_scaling_down_stops_the_highest() -> None:
    """And systemd reads the changed files once."""
    found = stored()
    steps = plan.converge(replace(found.require(), instances=1), (0,), found, units(state(0), state(1)))
    assert (steps.write, steps.reload, steps.stop) == (True, True, ("pysup-web@1.service",))
    assert steps.begun == ()


def test_a_restart_starts_all_anew() -> None:
    """Those that run are restarted, the others started."""
    found = stored()
    steps = plan.converge(found.require(), (0, 1), found, units(state(0), state(1, "inactive")), restart=True)
    assert (steps.restart, steps.begun) == (("pysup-web@0.service",), ("pysup-web@0.service", "pysup-web@1.service"))


def test_a_running_app_is_not_replaced_unasked() -> None:
    """Conflict, unless it is the same, or stopped, or force says so."""
    other = apps.app(instances=2, command=("/bin/other",))
    with pytest.raises(Conflict, match="other settings"):
        plan.begin(other, stored(), units(state(0)), force=False)
    plan.begin(other, stored(), units(state(0)), force=True)
    plan.begin(other, stored(), units(state(0, "inactive")), force=False)
    plan.begin(stored().require(), stored(), units(state(0)), force=False)


NAME = InstanceName("web", 0)


def events(before: UnitState, now: UnitState) -> list[Event]:
    """What happened, without times."""
    return [replace(event, at=0.0) for event in track.happened(NAME, before, now, 0.0)]


def test_a_start_is_told_in_two_steps() -> None:
    """First begun, then ready."""
    starting = state(0, "activating", pid=7)
    assert [Starting(name=NAME, at=0, pid=7)] == events(state(0, "inactive"), starting)
    assert [Started(name=NAME, at=0, pid=7)] == events(starting, state(0, pid=7))


def test_a_crash_is_told_with_its_signal_and_the_restarts_number() -> None:
    """Exited, then Restarting once systemd has counted it."""
    up = state(0, pid=7)
    down = state(0, "activating", sub_state="auto-restart", last_exit=Exit(signal=9), exit_pid=7)
    assert [Exited(name=NAME, at=0, pid=7, signal=9, result="signal")] == events(up, down)
    again = state(0, pid=8, restarts=1)
    assert [Restarting(name=NAME, at=0, number=1), Started(name=NAME, at=0, pid=8)] == events(down, again)


def test_restarts_that_came_as_one_signal_are_all_told() -> None:
    """The counter says how many there were."""
    found = events(state(0, pid=7, restarts=2), state(0, pid=9, restarts=5))
    assert [event.number for event in found if isinstance(event, Restarting)] == [3, 4, 5]
    assert [type(event) for event in found] == [Exited, Restarting] * 3 + [Started]


def test_an_end_that_was_asked_for_is_told_from_one_that_was_not() -> None:
    """By a stop, by a watchdog, by somebody."""
    end = Exit(signal=15)
    down = state(0, "deactivating", sub_state="stop-sigterm", pid=7)
    (stop,) = (event for event in events(down, state(0, "inactive", last_exit=end)) if isinstance(event, Exited))
    assert (stop.asked, stop.by, stop.result) == (True, "systemd", "success")
    down = state(0, "deactivating", sub_state="stop-watchdog", pid=7, result="watchdog")
    assert events(state(0, pid=7), down) == []
    barked = state(0, "failed", last_exit=Exit(signal=6), result="watchdog")
    (bark,) = (event for event in events(down, barked) if isinstance(event, Exited))
    assert (bark.asked, bark.by) == (False, "watchdog")
    crash = state(0, "failed", last_exit=Exit(signal=9), result="signal")
    (kill,) = (event for event in events(state(0, pid=7), crash) if isinstance(event, Exited))
    assert (kill.asked, kill.by) == (False, "somebody")


def test_giving_up_stopping_and_ending_are_told() -> None:
    """With systemd's reason for the first."""
    assert [Failed(name=NAME, at=0, result="start-limit-hit")] == events(
        state(0, "activating"), state(0, "failed", result="start-limit-hit")
    )
    assert [Stopping(name=NAME, at=0)] == events(state(0), state(0, "deactivating"))
    assert [Stopped(name=NAME, at=0)] == events(state(0, "deactivating"), state(0, "inactive"))


def test_an_end_between_two_signals_is_told_though_systemd_has_forgotten_how_it_was() -> None:
    """A restart by hand, faster than its signals."""
    down = state(0, "deactivating", sub_state="stop-sigterm", pid=7, invocation_id="a")
    ended, started = events(down, state(0, pid=8, invocation_id="b"))
    assert (ended, started) == (
        Exited(name=NAME, at=0, pid=7, invocation_id="a", asked=True),
        Started(name=NAME, at=0, pid=8, invocation_id="b"),
    )


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_no_restart_is_lost_or_doubled_however_signals_are_merged(steps: list[int]) -> None:
    """Counting up in any strides gives each number once."""
    counts = [sum(steps[: index + 1]) for index in range(len(steps))]
    before, numbers = state(0, pid=1), []
    for count in counts:
        now = state(0, pid=1, restarts=count)
        numbers += [event.number for event in events(before, now) if isinstance(event, Restarting)]
        before = now
    assert list(range(1, counts[-1] + 1)) == numbers
