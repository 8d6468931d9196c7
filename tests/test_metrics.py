"""Metrics: one sample of apps as text that Prometheus and its own parsers understand."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from prometheus_client import Metric, parser
from prometheus_client.openmetrics import parser as openmetrics

import grounds
from apps import words
from programs import free_port, server
from pysup.app import App
from pysup.events import Started
from pysup.health import Ready, ReadyWhen
from pysup.metrics import catalogue, exposition
from pysup.metrics.catalogue import Kind
from pysup.metrics.exposition import Format
from pysup.sync import Manager
from pysup.unit import Scope
from running import started
from samples import MIB, snapshot

Pysup = Callable[..., subprocess.CompletedProcess[str]]
Found = dict[tuple[str, frozenset[tuple[str, str]]], float]

DOCS = grounds.ROOT / "docs"
TABLE = re.compile(r"\| metric \| kind \| labels \| what it is \|\n.*?\n\n", re.DOTALL)


def values(families: Iterator[Metric]) -> Found:
    """Values by name and labels."""
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def read(text: str) -> Found:
    return values(openmetrics.text_string_to_metric_families(text))


def of(found: Found, name: str, **labels: str) -> float:
    """The one value whose labels have these."""
    (value,) = [value for (one, has), value in found.items() if one == name and set(labels.items()) <= has]
    return value


# --- the text ------------------------------------------------------------------------------------------------------


def test_prometheus_own_parsers_read_both_formats_alike() -> None:
    """All of it, and the same values."""
    new = exposition.write(snapshot(), Format.OPENMETRICS, version="1.2")
    old = exposition.write(snapshot(), Format.TEXT, version="1.2")
    assert new.endswith("# EOF\n")
    assert read(new) == values(parser.text_string_to_metric_families(old))


def test_values_are_those_of_the_sample() -> None:
    """Of instances, of the app, and about the sampling."""
    found = read(exposition.write(snapshot(), Format.OPENMETRICS, version="1.2"))
    first = {"manager": "system", "namespace": "shop", "app": "web", "number": "0"}
    assert of(found, "pysup_instance_cpu_seconds_total", **first) == 12.5
    assert of(found, "pysup_instance_memory_bytes", **first) == 4 * MIB
    assert of(found, "pysup_instance_memory_limit_bytes", **first) == 48 * MIB
    assert of(found, "pysup_instance_pressure_waiting_seconds_total", resource="io", **first) == 2.5
    assert of(found, "pysup_instance_restarts_total", **first) == 2
    assert of(found, "pysup_instance_open_fds", **first) == 12
    assert of(found, "pysup_instance_state", state="failed", number="1") == 1
    assert of(found, "pysup_instance_state", state="active", number="1") == 0
    assert of(found, "pysup_instance_exit_code", number="1") == 3
    assert of(found, "pysup_app_instances_up", app="web") == 1
    assert of(found, "pysup_app_accept_queue", address="8080") == 5
    assert of(found, "pysup_source_info", resource="memory", source="cgroup v2") == 1
    assert of(found, "pysup_build_info", version="1.2") == 1


def test_what_is_not_known_is_left_out() -> None:
    """Neither 0 nor NaN: an instance that does not run uses nothing that is known."""
    text = exposition.write(snapshot(), Format.OPENMETRICS, version="")
    assert 'pysup_instance_memory_bytes{manager="system",namespace="shop",app="web",number="0"}' in text
    assert 'pysup_instance_memory_bytes{manager="system",namespace="shop",app="web",number="1"}' not in text


@given(words.filter(lambda text: "\r" not in text), words)
def test_labels_hold_any_text(namespace: str, address: str) -> None:
    """Paths of sockets may be odd."""
    text = exposition.write(snapshot(address=address), Format.OPENMETRICS, version=namespace)
    assert of(read(text), "pysup_app_accept_queue", address=address) == 5
    assert of(read(text), "pysup_build_info", version=namespace) == 1


def test_names_follow_prometheus_conventions() -> None:
    """Prefix, lower case, base units last; no label is called as those that Prometheus sets itself."""
    rows = list(catalogue.rows())
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        assert re.fullmatch(r"pysup(_[a-z]+)+", row.name), row
        assert row.name.endswith("_total") == (row.kind is Kind.COUNTER), row
        assert not {"instance", "job", "le", "quantile"} & {*row.labels}, row
        assert row.help.endswith("."), row


def test_every_metric_stands_in_the_manual() -> None:
    """The table of docs/metrics.md is the catalogue's."""
    found = TABLE.search((DOCS / "metrics.md").read_text())
    assert found
    rows = [f"| `{row.name}` | {row.kind} | {' '.join(row.labels)} | {row.help} |\n" for row in catalogue.rows()]
    assert found[0] == "| metric | kind | labels | what it is |\n|---|---|---|---|\n" + "".join(rows) + "\n"


def promtool(*words: str, text: str = "") -> None:
    done = subprocess.run(["promtool", *words], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_promtool_finds_nothing_to_mend() -> None:
    """Debian's prometheus has it."""
    promtool("check", "metrics", text=exposition.write(snapshot(), Format.TEXT, version="1"))


@pytest.mark.parametrize("words", [("check", "rules", "docs/alerts.yml"), ("test", "rules", "tests/alerts_test.yml")])
def test_alerts_fire_when_they_should(words: tuple[str, ...]) -> None:
    """By promtool, with made-up series."""
    done = subprocess.run(["promtool", *words], cwd=grounds.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expressions() -> Iterator[str]:
    """All that the dashboard and the rules ask Prometheus."""
    board = json.loads((DOCS / "grafana-dashboard.json").read_text())
    yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])
    yield from (one.get("definition", "") for one in board["templating"]["list"])
    groups = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]
    yield from (rule["expr"] for group in groups for rule in group["rules"])


def test_dashboard_and_alerts_ask_for_metrics_and_labels_that_there_are() -> None:
    """By the catalogue; Prometheus adds the label instance."""
    known = {row.name: {*row.labels, "instance"} for row in catalogue.rows()}
    asked = list(expressions())
    assert len(asked) > 30
    for expression in asked:
        for name, _, selector in re.findall(r"(pysup_\w+)(\{([^}]*)\})?", expression):
            assert name in known, expression
            assert set(re.findall(r"(\w+)=", selector)) <= known[name], expression


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """Panels with places that do not overlap, ids of their own, and a data source that is chosen."""
    board = json.loads((DOCS / "grafana-dashboard.json").read_text())
    panels = board["panels"]
    assert board["schemaVersion"] >= 36
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["type"] in ("stat", "timeseries")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [target["refId"] for target in panel["targets"]] == ["A", "B"][: len(panel["targets"])]


# --- in a box ------------------------------------------------------------------------------------------------------


def test_a_sample_tells_of_use_states_and_queues(scope: Scope, pysup: Pysup, tmp_path: Path) -> None:
    """Of an app whose sockets nobody accepts on, and of one that fails."""
    path = tmp_path / "queue"
    words = ("sleep", "-i", "2", "--name", "web", "--namespace", "shop", "--listen", str(path), "--", "infinity")
    with started(*words), contextlib.ExitStack() as clients:
        pysup("start", "false", "--name", "broken", "--restart", "no", check=False)
        for _ in range(3):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
        text = pysup("metrics").stdout
        found = read(text)
        promtool("check", "metrics", text=pysup("metrics", "--text").stdout)
    labels = {"app": "web", "namespace": "shop", "manager": "system" if scope is Scope.SYSTEM else "ada"}
    assert of(found, "pysup_app_accept_queue", address=str(path), **labels) == 3
    assert of(found, "pysup_app_accept_queue_limit", address=str(path), **labels) >= 128
    assert of(found, "pysup_app_instances_up", **labels) == 2
    for number in "01":
        assert of(found, "pysup_instance_memory_bytes", number=number, **labels) > 0
        assert of(found, "pysup_instance_tasks", number=number, **labels) == 1
        assert of(found, "pysup_instance_open_fds", number=number, **labels) >= 3
        assert of(found, "pysup_instance_start_time_seconds", number=number, **labels) > 1.7e9
        assert of(found, "pysup_instance_state", number=number, state="active", **labels) == 1
    assert of(found, "pysup_instance_exit_code", app="broken") == 1
    assert of(found, "pysup_instance_state", app="broken", state="failed") == 1


def test_restarts_are_counted(scope: Scope, pysup: Pysup) -> None:
    """And the time of the start is that of the new process."""
    with started("sleep", "--name", "web", "--", "infinity"), Manager(scope) as manager:
        before = read(pysup("metrics", "web").stdout)
        again = read(pysup("metrics", "web").stdout)
        with manager.watch("web") as events:
            pysup("signal", "KILL", "web")
            next(event for event in events if isinstance(event, Started))
        after = read(pysup("metrics", "web").stdout)
    assert of(after, "pysup_instance_restarts_total") == 1
    assert of(after, "pysup_instance_up") == 1
    assert of(again, "pysup_instance_start_time_seconds") == of(before, "pysup_instance_start_time_seconds")
    assert of(after, "pysup_instance_start_time_seconds") > of(before, "pysup_instance_start_time_seconds")


def test_ports_that_programs_open_themselves_are_told(scope: Scope, pysup: Pysup) -> None:
    """By the control group that made the socket."""
    port = free_port()
    app = App(name="own", command=server(), port=port, ready=Ready(when=ReadyWhen.TCP, port=port))
    with Manager(scope) as manager:
        manager.start(app)
        found = read(pysup("metrics").stdout)
        manager.delete("own")
    assert of(found, "pysup_app_accept_queue", app="own", address=f"127.0.0.1:{port}") == 0
    assert of(found, "pysup_app_accept_queue_limit", app="own") > 0


def test_the_queue_at_an_address_of_a_stopped_app_is_somebody_elses(scope: Scope, pysup: Pysup) -> None:
    """Whoever listens there now."""
    port = free_port()
    with started("sleep", "--name", "web", "--listen", str(port), "--", "infinity"):
        assert of(read(pysup("metrics").stdout), "pysup_app_accept_queue", address=str(port)) == 0
        pysup("stop", "web")
        with socket.create_server(("0.0.0.0", port)):
            found = read(pysup("metrics").stdout)
    assert "pysup_app_accept_queue" not in {name for name, _ in found}


def test_without_apps_there_is_still_an_answer(scope: Scope, pysup: Pysup) -> None:
    """About the sampling itself."""
    assert of(read(pysup("metrics").stdout), "pysup_build_info") == 1


def test_an_unknown_app_is_an_error(scope: Scope, pysup: Pysup) -> None:
    """And nothing is printed."""
    done = pysup("metrics", "nix", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nix" in done.stderr
