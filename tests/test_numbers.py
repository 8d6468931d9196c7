"""Variables that differ between instances, a growing restart delay, and apps that do not start by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest

from apps import MACHINE, app
from pysup.app import App
from pysup.errors import SpecError
from pysup.render import render
from running import Running

Pysup = Callable[..., subprocess.CompletedProcess[str]]


def _service(wanted: App) -> str:
    files = render(wanted, MACHINE, "/run/systemd/system").files
    return files[f"pysup-{wanted.name}@.service"].text


def test_an_increment_is_in_the_drop_in_of_each_instance() -> None:
    """As PORT is."""
    files = render(app(instances=2, increment={"ADMIN_PORT": 9000}, port=3000), MACHINE, "/run/systemd/system").files
    assert "Environment=PORT=3001\nEnvironment=ADMIN_PORT=9001" in files["pysup-web@1.service.d/instance.conf"].text


def test_the_number_has_the_name_that_is_wanted() -> None:
    """Some libraries read NODE_APP_INSTANCE as something else."""
    text = _service(app(instance_var="WORKER"))
    assert "WORKER=%i" in text
    assert "NODE_APP_INSTANCE" not in text


@pytest.mark.parametrize(
    "fields",
    [
        {"increment": {"PORT": 1}, "port": 2},
        {"increment": {"N": 1}, "instance_var": "N"},
        {"increment": {"N": 1}, "env": {"N": "1"}},
        {"instance_var": "PYSUP_APP"},
        {"increment": {"A B": 1}},
        {"increment": {"N": -1}},
        {"restart_delay_max": 5.0},
        {"restart_delay": 9.0, "restart_delay_max": 5.0},
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, object]) -> None:
    """A variable is set once; a delay grows from something."""
    with pytest.raises(SpecError):
        app(**fields)


def test_a_growing_delay_is_a_brake_before_the_start() -> None:
    """By how many starts failed in a row; each wait is half as long again."""
    text = _service(app(restart_delay=0.1, restart_delay_max=0.5))
    assert '"brake" "0" "0.1" "0.15" "0.225" "0.338" "0.5"' in text
    assert "RestartSec=0s" in text


def test_what_does_not_start_by_itself_hangs_on_no_boot_target() -> None:
    """There is nothing to enable."""
    assert "[Install]" not in render(app(autostart=False), MACHINE, "/x").files["pysup-web.target"].text


def test_an_app_can_be_known_without_being_started(scope: object, pysup: Pysup) -> None:
    """It is started by its name, saved or not, and a boot leaves it alone."""
    options = ("-n", "still", "-i", "2", "--instance-var", "WORKER", "--increment", "ADMIN_PORT=9000")
    pysup("start", "sleep", *options, "--no-autostart", "--", "infinity")
    try:
        assert [one["state"] for one in json.loads(pysup("list", "--json").stdout)] == ["inactive", "inactive"]
        pysup("save", "still")
        assert "is not enabled" not in pysup("doctor", check=False).stdout
        pysup("start", "still")
        found = json.loads(pysup("env", "still", "--json").stdout)
        assert [(one["WORKER"], one["ADMIN_PORT"]) for one in found.values()] == [("0", "9000"), ("1", "9001")]
    finally:
        pysup("delete", "still")


def test_the_delay_grows_while_an_app_fails(scope: object, pysup: Pysup) -> None:
    """Told by the times at which it was started."""
    program = "import time; print(time.monotonic(), flush=True); raise SystemExit(3)"
    options = ("-n", "fails", "--restart-delay", "300ms", "--restart-delay-max", "5s")
    pysup("start", sys.executable, *options, "--no-wait", "--", "-c", program)
    try:
        with Running("logs", "fails", "--format", "{message}", "--out", "-n", "all") as following:
            times = [float(following.expect(r"[\d.]+\n")) for _ in range(4)]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert all(gap >= least for gap, least in zip(gaps, (0.29, 0.44, 0.66), strict=True)), gaps
    finally:
        pysup("delete", "fails")
