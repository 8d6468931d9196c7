"""Fixtures, and which test runs where.

- A test without a marker runs on this machine, in this process. It may take the fixture ``box``, or boot its own.
- ``@pytest.mark.systemd``: runs as root inside a box that the whole session shares; systemd is PID 1 there.
- ``@pytest.mark.systemd_user``: the same as an ordinary, lingering user, whose ``systemctl --user`` works.
- A test that takes the fixture ``scope`` runs twice, once as each of those.
- ``@pytest.mark.vm`` beside one of those: needs cgroup v2 or systemd 254. It runs with ``--vm`` only (``make test-vm``)
  in a virtual machine. With neither of them it runs on this machine, and may take the fixture ``machine``.
- ``@pytest.mark.contract`` beside one of those: holds on every systemd. It runs in a box, and with ``--vm`` in there.

A test that leaves a ``pysup-*`` unit in a box fails, and is cleaned up after. On a machine with a systemd of its own
``pytest --here`` runs the user's tests against the user manager of whoever calls. In CI a skipped test fails.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import grounds
import inside
import leftovers
import outside
from pysup.box import Box
from pysup.sync import Manager
from pysup.unit import Scope
from vm.machine import Machine

os.environ.setdefault("PYSUP_ALLOW_ROOT", "1")  # most apps of tests are root's; test_root.py is about it
IS_INSIDE = inside.FLAG in os.environ
IS_CI = os.environ.get("CI") == "true"

hypothesis.settings.register_profile("pysup", deadline=None, print_blob=True)  # two cores have slow moments
hypothesis.settings.register_profile("thorough", parent=hypothesis.settings.get_profile("pysup"), max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "pysup"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --here and --vm."""
    parser.addoption("--here", action="store_true", help="no box: user-scope tests on this machine's user manager")
    parser.addoption("--vm", action="store_true", help="only tests marked vm or contract, in the virtual machine")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; outside a box, send their tests into one."""
    config.addinivalue_line("markers", "systemd: runs as root inside a box, where systemd is PID 1")
    config.addinivalue_line("markers", "systemd_user: runs inside a box as an ordinary user with a systemd manager")
    config.addinivalue_line("markers", "vm: needs cgroup v2 or systemd 254; runs with --vm only, in a virtual machine")
    config.addinivalue_line("markers", "contract: holds on every systemd; with --vm it runs in the virtual machine")
    if not IS_INSIDE and not config.getoption("--here"):
        config.pluginmanager.register(outside.Dispatcher(config), "dispatcher")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name tests by the beginning of a long text: their names are arguments of the pytest in a box."""
    return f"{val[:60]}..." if isinstance(val, str) and len(val) > 200 else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for another ground than the one that was chosen."""
    if IS_INSIDE:
        return
    if config.getoption("--vm"):
        is_fit = _is_for_vm
    elif config.getoption("--here"):
        is_fit = _is_for_here
    else:
        is_fit = _is_for_boxes
    unfit = [item for item in items if not is_fit(item)]
    config.hook.pytest_deselected(items=unfit)
    items[:] = [item for item in items if item not in set(unfit)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, a test that was skipped has failed: what it tests was not seen to work."""
    report = yield
    if IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"skipped, and this is CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, so has a module that was."""
    report = yield
    if IS_CI and report.skipped:
        report.outcome, report.longrepr = "failed", f"skipped, and this is CI: {report.longrepr}"
    return report


@pytest.fixture
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """The session's box, for tests that run on the machine; USER of grounds.py is the ordinary user in it."""
    dispatcher = request.config.pluginmanager.get_plugin("dispatcher")
    assert dispatcher, "the fixture box is for tests that run outside of one"
    yield dispatcher.box
    _expect_no_leftovers(*(leftovers.manager(dispatcher.box, account) for account in outside.ACCOUNTS.values()))


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A virtual machine of the module's own, for tests that run on this one, with --vm."""
    with Machine.booted() as up:
        yield up


@pytest.fixture(
    params=[
        pytest.param(Scope.SYSTEM, marks=pytest.mark.systemd),
        pytest.param(Scope.USER, marks=pytest.mark.systemd_user),
    ]
)
def scope(request: pytest.FixtureRequest) -> Scope:
    """Run the test as root with the system's manager, and as an ordinary user with that user's."""
    found: Scope = request.param
    return found


@pytest.fixture
def manager(scope: Scope) -> Iterator[Manager]:
    """A blocking manager of each scope; what a test started in it is deleted after."""
    with Manager(scope) as made:
        yield made
        made.delete("all")


@pytest.fixture
def pysup() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command as whoever runs the test, inside a box, in a clean environment: ``pysup("list", "--json").stdout``.

    Options are subprocess.run's; ``check`` is on, ``env`` is added to the clean one.
    """
    kept = ("HOME", "USER", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    clean = {name: os.environ[name] for name in kept if name in os.environ} | grounds.environment()

    def call(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        usual: dict[str, Any] = {"check": True, "capture_output": True, "text": True, "input": "", "timeout": 60}
        env = clean | options.pop("env", {})
        return subprocess.run([grounds.PYSUP, *words], env=env, **usual | options)

    return call


@pytest.fixture(autouse=True)
def _no_leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Inside a box, each test leaves its manager as it found it."""
    yield
    if request.node.get_closest_marker("systemd"):
        _expect_no_leftovers(leftovers.system())
    elif request.node.get_closest_marker("systemd_user"):
        _expect_no_leftovers(leftovers.user(os.getuid(), Path.home()))


def _is_for_vm(item: pytest.Item) -> bool:
    needs_systemd = any(item.get_closest_marker(name) for name in outside.ACCOUNTS)
    return bool(item.get_closest_marker("vm") or (item.get_closest_marker("contract") and needs_systemd))


def _is_for_boxes(item: pytest.Item) -> bool:
    return not item.get_closest_marker("vm")


def _is_for_here(item: pytest.Item) -> bool:
    return _is_for_boxes(item) and not item.get_closest_marker("systemd") and not _needs_box(item)


def _needs_box(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "box" in item.fixturenames


def _expect_no_leftovers(*managers: leftovers.Manager) -> None:
    found = [what for manager in managers for what in manager.leftovers()]
    if found:
        for manager in managers:
            manager.clean()
        pytest.fail("left behind: " + ", ".join(found), pytrace=False)
