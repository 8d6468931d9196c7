"""Configuration files in JavaScript: what they export, and what is wrong with those that do not."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from pysup.errors import EnvironmentProblem, SpecError
from pysup.host import evaluate, nvm

APP = [{"script": "app.js"}]


def javascript(folder: Path, name: str, text: str, **options: Any) -> Any:
    """What the file exports."""
    file = folder / name
    file.write_text(text)
    return evaluate.javascript(file, **options)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ecosystem.config.js", "module.exports = { apps: [{ script: 'app.js' }] }"),
        ("ecosystem.config.cjs", "exports.apps = [{ script: 'app.js' }]"),
        ("ecosystem.config.mjs", "export const apps = [{ script: 'app.js' }]"),
        ("ecosystem.config.mjs", "export default { apps: [{ script: 'app.js' }] }"),
        ("ecosystem.config.mjs", "export default { apps: [{ script: await 'app.js' }] }"),
        ("ecosystem.config.js", "export default { apps: [{ script: 'app.js' }] }"),
        ("ecosystem.config.js", "import { join } from 'path'\nexport const apps = [{ script: join('app.js') }]"),
        ("ecosystem.config.js", "exports.__esModule = true; exports.default = { apps: [{ script: 'app.js' }] }"),
    ],
)
def test_every_way_to_export_is_understood(tmp_path: Path, name: str, text: str) -> None:
    """PM2 itself does not take export default."""
    assert javascript(tmp_path, name, text) == {"apps": APP}


def test_what_it_prints_is_not_taken_for_the_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It goes to stderr."""
    text = "console.log('{\"apps\": []}'); process.stdout.write('x'); module.exports = [{ script: 'app.js' }]"
    assert javascript(tmp_path, "a.config.js", text) == APP
    out, err = capfd.readouterr()
    assert (out, err) == ("", '{"apps": []}\nx')


def test_what_is_no_data_is_marked(tmp_path: Path) -> None:
    """So that it can be named, not lost."""
    text = (
        "module.exports = { f: () => 1, r: /a\\/b/i, n: NaN, s: Symbol('x'), big: 10n, d: new Date(0), u: undefined }"
    )
    assert javascript(tmp_path, "a.config.js", text) == {
        "f": {"$pysup": "function"},
        "r": {"$pysup": "regexp", "text": "a\\/b"},
        "n": {"$pysup": "number", "text": "NaN"},
        "s": {"$pysup": "symbol"},
        "big": "10",
        "d": "1970-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\nthrow new Error('boom')", ":3: Error: boom"),
        ("throw 'text'", "it threw text"),
        ("module.exports = {", "SyntaxError"),
        ("require('no-such-package')", "Cannot find module 'no-such-package'"),
        ("module.exports = () => ({ apps: [] })", "exports a function"),
        ("module.exports = Promise.resolve({ apps: [] })", "exports a promise"),
        ("module.exports = 'apps'", "exports a string"),
        ("module.exports = null", "exports null"),
        ("process.exit(3)", "told nothing before node ended (exit code 3)"),
        ("const a = {}; a.a = a; module.exports = { apps: [a] }", "circular"),
        ("process.kill(process.pid, 'SIGKILL')", "told nothing"),
    ],
)
def test_what_cannot_be_used_is_a_clear_error(tmp_path: Path, text: str, said: str) -> None:
    """With the file, and the line where there is one."""
    with pytest.raises(SpecError) as raised:
        javascript(tmp_path, "a.config.js", text)
    assert said in raised.value.message
    assert "a.config.js" in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("text", ["while (true);", "setInterval(() => {}, 1); await new Promise(() => {})"])
def test_a_file_that_does_not_end_is_ended(tmp_path: Path, text: str) -> None:
    """With all that it has started."""
    with pytest.raises(SpecError, match=r"did not end within 1 seconds"):
        javascript(tmp_path, "a.config.mjs", text, timeout=1.0)


def test_what_goes_on_after_the_export_is_not_waited_for(tmp_path: Path) -> None:
    """A server or a timer that the file has opened."""
    text = (
        "setInterval(() => {}, 1000); require('net').createServer().listen(0); module.exports = [{ script: 'app.js' }]"
    )
    assert javascript(tmp_path, "a.config.js", text) == APP


def test_more_than_can_be_meant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is to say what runs."""
    monkeypatch.setattr(evaluate, "MOST", 1000)
    with pytest.raises(SpecError, match="more than"):
        javascript(tmp_path, "a.config.js", "module.exports = { apps: 'x'.repeat(2000) }")


def test_without_node_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And under sudo, why."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NVM_DIR", str(tmp_path))
    monkeypatch.setattr(nvm, "_places", lambda: [tmp_path])
    with pytest.raises(EnvironmentProblem, match="there is no node"):
        javascript(tmp_path, "a.config.js", "")


def test_nvms_versions_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest of those that are meant."""
    monkeypatch.setenv("NVM_DIR", str(tmp_path))
    for version in ("18.9.0", "18.20.1", "20.1.0"):
        program = tmp_path / f"versions/node/v{version}/bin/node"
        program.parent.mkdir(parents=True)
        program.symlink_to(shutil.which("node") or "/usr/bin/node")
    assert [str(nvm.version(wanted)).split("/")[-3] for wanted in ("18", "v18.9", "")] == [
        "v18.20.1",
        "v18.9.0",
        "v20.1.0",
    ]
    assert nvm.version("16") is None
    assert nvm.installed() == ["18.9.0", "18.20.1", "20.1.0"]


@pytest.mark.systemd
def test_under_sudo_it_runs_as_whoever_typed_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless only root may change the file: then nobody else has written it."""
    import pwd

    ada = pwd.getpwnam("ada")
    monkeypatch.setenv("SUDO_UID", str(ada.pw_uid))
    folder = Path(ada.pw_dir, "config")
    folder.mkdir()
    text = "module.exports = { uid: process.getuid(), home: process.env.HOME, groups: process.getgroups().length > 0 }"
    try:
        expected = {"uid": ada.pw_uid, "home": ada.pw_dir, "groups": True}
        assert javascript(folder, "a.config.js", text) == expected  # root's, but its directory is not
        os.chown(folder / "a.config.js", ada.pw_uid, ada.pw_gid)
        assert stat.S_IMODE((folder / "a.config.js").stat().st_mode) & 0o444
        assert javascript(folder, "a.config.js", text) == expected
        assert javascript(tmp_path, "a.config.js", text)["uid"] == 0
    finally:
        shutil.rmtree(folder)
