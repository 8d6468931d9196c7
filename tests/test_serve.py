"""Static files, served by nginx on a socket that systemd holds."""

from __future__ import annotations

import base64
import http.client
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import hammer
import programs
from pysup import static
from pysup.errors import SpecError
from pysup.listen import Listen, parse
from pysup.static import Site
from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Some files, which everybody may read: also the account that root's nginx serves with."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        if parent.owner() == tmp_path.owner():
            parent.chmod(0o755)
    root = tmp_path / "a site"
    (root / "sub").mkdir(parents=True)
    files = {"index.html": "home", "app.js": "code", "404.html": "nothing", ".env": "SECRET=1", "sub/index.html": "sub"}
    for name, text in files.items():
        (root / name).write_text(text)
    (tmp_path / "outside").write_text("outside")
    return root


def get(port: int, path: str, auth: str = "") -> tuple[int, str, http.client.HTTPMessage]:
    """Status, body and header."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"} if auth else {}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers


def test_a_directory_is_served(pysup: Command, scope: Scope, site: Path) -> None:
    """As an app: it is listed, reloaded without a failed request, and nothing of it is left when it is deleted."""
    assert scope
    port = programs.free_port()
    try:
        assert f"static-{port}" in pysup("serve", "--port", str(port), cwd=site).stdout
        assert get(port, "/")[:2] == (200, "home")
        assert get(port, "/sub/")[:2] == (200, "sub")
        assert "javascript" in (get(port, "/app.js")[2]["Content-Type"])
        assert get(port, "/nope")[:2] == (404, "nothing")
        assert get(port, "/.env")[0] == 404
        assert get(port, "/../outside")[0] in (400, 404)
        with hammer.load(port, clients=4) as tally:
            tally.wait_for(50)
            pysup("reload", f"static-{port}")
            tally.wait_for(50)
        assert tally.failures == []
        again = pysup("serve", "--port", str(port), cwd=site)
        assert again.returncode == 0
    finally:
        pysup("delete", "all")


def test_what_is_no_file_is_the_programs_and_a_password_is_asked_for(pysup: Command, scope: Scope, site: Path) -> None:
    """The password comes from a file or a variable, and stands in no unit file and no command line."""
    assert scope
    port = programs.free_port()
    words = ("serve", str(site), "--listen", f"127.0.0.1:{port}", "--name", "spa", "--spa", "--cors")
    try:
        pysup(*words, "--basic-auth", "env:WHO", env={"WHO": "ada:s3cr3t"})
        assert get(port, "/")[0] == 401
        assert get(port, "/", "ada:wrong")[0] == 401
        status, body, headers = get(port, "/any/where", "ada:s3cr3t")
        assert (status, body, headers["Access-Control-Allow-Origin"]) == (200, "home", "*")
        (site / "index.html").unlink()
        assert get(port, "/any/where", "ada:s3cr3t")[0] == 404
        seen = pysup("cat", "spa").stdout + pysup("describe", "spa").stdout
        processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
        assert b"s3cr3t" not in seen.encode() + b"".join(processes)
        for wrong in ("ada:s3cr3t", "env:NOPE", "file:/nope"):
            bad = pysup(*words, "--basic-auth", wrong, check=False)
            assert (bad.returncode, "--basic-auth" in bad.stderr) == (2, True)
            assert "s3cr3t" not in bad.stderr
    finally:
        pysup("delete", "all")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("8080", "[::]:8080 ipv6only=off"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[::1]:8080"),
        ("/run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_nginx_is_told_the_address_as_it_will_find_it(text: str, written: str) -> None:
    """Else it would not know the socket again that it inherits."""
    assert static.address(parse(text)) == written


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"directory": '/srv/a"; evil'}, "nginx can|directory"),
        ({"directory": "srv"}, "absolute"),
        ({"auth": "nobody"}, "basic auth"),
    ],
)
def test_what_nginx_cannot_be_told_is_refused(fields: dict[str, str], problem: str) -> None:
    """Before anything is written."""
    with pytest.raises(SpecError, match=problem):
        Site(**{"name": "x", "directory": "/srv", "listen": Listen(address="8080"), **fields})  # type: ignore[arg-type]
