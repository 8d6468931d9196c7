"""Metrics that systemd keeps at hand: a socket that answers, and a file for node_exporter."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from programs import free_port
from pysup.host import ground
from pysup.unit import Scope
from running import started, wait_until
from test_metrics import of, promtool, read

Pysup = Callable[..., subprocess.CompletedProcess[str]]

PROMETHEUS = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: pysup, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


@pytest.fixture
def off(pysup: Pysup) -> Iterator[None]:
    """Nothing is left turned on."""
    yield
    pysup("metrics", "--off")


def systemctl(scope: Scope, *words: str, check: bool = True) -> str:
    done = subprocess.run(["systemctl", f"--{scope}", *words], capture_output=True, text=True, check=check)
    return done.stdout.strip()


def get(port: int, path: str = "/metrics", accept: str = "") -> tuple[int, str, str]:
    """Status, media type and text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Accept": accept} if accept else {})
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read().decode()


@pytest.mark.usefixtures("off")
def test_a_socket_answers_in_the_format_that_is_asked_for(scope: Scope, pysup: Pysup) -> None:
    """By a unit that its first client starts, and that is nobody's where it can be."""
    port = free_port()
    said = pysup("metrics", f"--listen={port}").stdout
    assert f"http://127.0.0.1:{port}/metrics" in said
    assert systemctl(scope, "is-active", "pysup-metrics.service", check=False) == "inactive"
    with started("sleep", "--name", "web", "--", "infinity"):
        status, kind, text = get(port, accept="application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3")
        assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
        assert of(read(text), "pysup_instance_up", app="web") == 1
        assert of(read(text), "pysup_instance_open_fds", app="web") >= 3
        status, kind, text = get(port)
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        promtool("check", "metrics", text=text)
    assert get(port, "/else")[0] == 404
    if scope is Scope.SYSTEM:
        pid = systemctl(scope, "show", "-P", "MainPID", "pysup-metrics.service")
        rights = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        assert int(rights["CapEff"], 16) == int(rights["CapBnd"], 16) == 0
        assert rights["Uid"].split()[0] != "0"
    pysup("metrics", "--off")
    with pytest.raises(ConnectionRefusedError):
        get(port)
    assert "They were not" in pysup("metrics", "--off").stdout


@pytest.mark.usefixtures("off")
def test_a_unix_socket_answers_too(scope: Scope, pysup: Pysup) -> None:
    """At a path, for its owner and group."""
    path = ground.volatile_dir(scope) / "metrics.sock"
    pysup("metrics", f"--listen={path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.0 200")
    assert b"pysup_build_info" in answer
    assert path.stat().st_mode & 0o777 == 0o660


@pytest.mark.usefixtures("off")
def test_an_address_that_is_taken_is_refused_with_the_reason(scope: Scope, pysup: Pysup) -> None:
    """And no unit is left, or the one that was there before."""
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"--listen={other.getsockname()[1]}"
        done = pysup("metrics", taken, check=False)
        assert done.returncode == 1
        assert "somebody else listens there" in done.stderr
        assert "pysup-metrics" not in systemctl(scope, "list-unit-files", "pysup-metrics*", check=False)
        pysup("metrics", f"--listen={port}")
        assert pysup("metrics", taken, check=False).returncode == 1
    assert get(port)[0] == 200


@pytest.mark.usefixtures("off")
def test_a_file_that_is_no_socket_is_left_alone(scope: Scope, pysup: Pysup, tmp_path: Path) -> None:
    """systemd would put its socket in the place of it."""
    file = tmp_path / "notes"
    file.write_text("precious")
    assert "a file that is no socket" in pysup("metrics", f"--listen={file}", check=False).stderr
    assert file.read_text() == "precious"


@pytest.mark.systemd_user
def test_what_is_not_allowed_is_said_to_be_that(pysup: Pysup) -> None:
    """Neither is an address in the way, nor a timer turned on that fails each time."""
    for words, said in (
        (("--listen", "--system"), "may not change the machine's units"),
        (("--textfile", "/var/lib", "--every", "15s"), "/var/lib may not be written to"),
    ):
        done = pysup("metrics", *words, check=False)
        assert done.returncode == 1
        assert said in done.stderr
    assert systemctl(Scope.USER, "list-timers", "--all", "--no-legend", "pysup-*") == ""


@pytest.mark.systemd
@pytest.mark.usefixtures("off")
def test_clients_that_go_away_are_no_news(pysup: Pysup) -> None:
    """The journal of the server has nothing of them."""
    port = free_port()
    pysup("metrics", f"--listen={port}")
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert get(port)[0] == 200
    invocation = systemctl(Scope.SYSTEM, "show", "-P", "InvocationID", "pysup-metrics.service")
    subprocess.run(["journalctl", "--sync"], check=True)
    words = ("journalctl", "--output=cat", f"_SYSTEMD_INVOCATION_ID={invocation}")
    assert "Traceback" not in subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.systemd
@pytest.mark.usefixtures("off")
def test_a_bus_that_is_away_is_503_until_it_is_back(pysup: Pysup) -> None:
    """The server goes on, and so it does without journald."""
    port = free_port()
    pysup("metrics", f"--listen={port}")
    assert get(port)[0] == 200
    bus = Path("/run/dbus/system_bus_socket")
    hidden = bus.with_name("hidden")
    bus.rename(hidden)
    try:
        status, _, text = get(port)
        assert status == 503
        assert "D-Bus" in text
    finally:
        hidden.rename(bus)
    assert get(port)[0] == 200
    systemctl(Scope.SYSTEM, "kill", "--signal=STOP", "systemd-journald.service")
    try:
        assert get(port)[0] == 200
    finally:
        systemctl(Scope.SYSTEM, "kill", "--signal=CONT", "systemd-journald.service")


@pytest.mark.systemd
@pytest.mark.usefixtures("off")
def test_prometheus_scrapes_it(pysup: Pysup, tmp_path: Path) -> None:
    """A real one, that runs as an app itself, and counts the restarts of another."""
    port, own = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(PROMETHEUS.format(port=port))
    pysup("metrics", f"--listen={port}")
    web = f"--web.listen-address=127.0.0.1:{own}"
    words = ("--", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", web)

    def query(expression: str) -> list[str]:
        url = f"http://127.0.0.1:{own}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return [one["value"][1] for one in json.load(answer)["data"]["result"]]
        except (urllib.error.URLError, ConnectionError):
            return []

    with started("sleep", "--name", "web", "--", "infinity"), started("prometheus", *words):
        wait_until(lambda: query('pysup_instance_up{app="web",number="0"}') == ["1"])
        pysup("signal", "KILL", "web")
        wait_until(lambda: query('pysup_instance_restarts_total{app="web"}') == ["1"])
        assert query("pysup_app_instances_up == pysup_app_instances")
        assert query('pysup_instance_memory_bytes{app="prometheus"} > 1e7')


@pytest.mark.usefixtures("off")
def test_a_file_is_written_whole_and_again(scope: Scope, pysup: Pysup, tmp_path: Path) -> None:
    """By hand, and by a timer; who reads it need not be us."""
    name = "pysup.prom" if scope is Scope.SYSTEM else f"pysup-{os.environ['USER']}.prom"
    file = tmp_path / name
    if scope is Scope.SYSTEM:
        shutil.chown(tmp_path, "daemon")  # as node_exporter's directory may be its account's
    pysup("metrics", "--textfile", str(tmp_path))
    promtool("check", "metrics", text=file.read_text())
    assert file.stat().st_mode & 0o777 == 0o644
    first = file.stat().st_ino
    pysup("metrics", "--textfile", str(tmp_path), "--every", "1s")
    wait_until(lambda: file.stat().st_ino != first)
    second = file.stat().st_ino
    wait_until(lambda: file.stat().st_ino != second)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".prom"] == [name]
    pysup("metrics", "--off")
    assert systemctl(scope, "list-timers", "--all", "--no-legend", "pysup-*") == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--textfile", "/nowhere"), "there is no directory"),
        (("--textfile", "/nowhere", "--every", "15s"), "there is no directory"),
        (("--textfile", "/tmp", "--every", "0.1s"), "1s or more"),
        (("--every", "15s"), "--textfile"),
        (("--listen", "--textfile", "/tmp", "--every", "soon"), "not a time"),
        (("web", "--listen"), "They have all apps"),
        (("--listen=nothing",), "not an address"),
    ],
)
def test_what_cannot_be_is_refused(scope: Scope, pysup: Pysup, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, and nothing is done."""
    done = pysup("metrics", *words, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "pysup-metrics" not in systemctl(scope, "list-unit-files", "pysup-metrics*", check=False)
