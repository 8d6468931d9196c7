"""``pysup logs`` against a real journal, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pysup import local
from pysup.app import App
from pysup.render import render
from pysup.unit import Scope
from running import OnTerminal, Running, started

pytestmark = pytest.mark.usefixtures("scope")

Command = Callable[..., subprocess.CompletedProcess[str]]

# Says something at once, and a word more for each USR1.
TALKER = "n=0; trap 'n=$((n+1)); echo word $n' USR1; echo first; echo wrong >&2; while :; do sleep 1000 & wait; done"
ESCAPES = "printf 'red \\033[31mhot\\033[0m bell \\007\\n'; printf 'caf\\303\\251 \\377\\n'; exec sleep 1000"


def said(pysup: Command, *words: str, **options: Any) -> list[str]:
    """The lines that are there."""
    return pysup("logs", *words, "--no-follow", **options).stdout.splitlines()


def say(pysup: Command, name: str, word: str) -> None:
    """Have the talker say a word more, and wait until it is in the journal."""
    with Running("logs", name, "--raw", "-n", "0") as command, Running("logs", name, "--raw", "-n", "1") as ready:
        ready.expect("\n")
        pysup("signal", "USR1", name)
        if word not in "\n".join(said(pysup, name, "--raw", "-n", "1")):
            command.expect(word)


def test_lines_of_all_instances_with_names_and_systemd_between(pysup: Command) -> None:
    """The default is the last 15, from everybody."""
    with started(TALKER, "--name", "talk", "-i", "2"):
        lines = said(pysup)
        assert {"talk@0 | first", "talk@0 | wrong", "talk@1 | first", "talk@1 | wrong"} <= set(lines)
        assert any(line.startswith("talk@0 - Start") for line in lines)
        assert len(lines) <= 15
        assert said(pysup, "talk@1", "--out") == ["talk@1 | first"]
        assert said(pysup, "talk@1", "--err", "--raw") == ["wrong"]
        assert sorted(said(pysup, "talk", "--raw")) == ["first", "first", "wrong", "wrong"]
        assert len(said(pysup, "talk", "-n", "1")) == 1
        assert said(pysup, "talk", "--grep", "^fi.st$", "--format", "{name}:{message}") == [
            "talk@0:first",
            "talk@1:first",
        ] or said(pysup, "talk", "--grep", "^fi.st$", "--format", "{name}:{message}") == [
            "talk@1:first",
            "talk@0:first",
        ]
        assert {"wrong"} == set(said(pysup, "talk", "--priority", "err", "--raw"))


def test_json_lines_are_objects(pysup: Command) -> None:
    """One a line, with who, when and what."""
    with started(TALKER, "--name", "jason"):
        found = [json.loads(line) for line in said(pysup, "jason", "--json", "-n", "all")]
        (first,) = (one for one in found if one["message"] == "first")
        assert first["id"] == "jason@0"
        assert first["kind"] == "out"
        assert abs(first["at"] - time.time()) < 60
        assert first["pid"]
        assert "systemd" in {one["kind"] for one in found}


def test_escapes_are_harmless_unless_raw(pysup: Command) -> None:
    """Raw gives the very bytes."""
    with started(ESCAPES, "--name", "loud"):
        assert said(pysup, "loud", "--out") == [
            "loud@0 | red \\x1b[31mhot\\x1b[0m bell \\x07",
            "loud@0 | café \\xff",
        ]
        raw = pysup("logs", "loud", "--raw", "--no-follow", text=False, input=b"").stdout
        assert raw == b"red \033[31mhot\033[0m bell \007\ncaf\303\251 \377\n"
        assert pysup("logs", "loud", "--raw", "--out", "--no-follow", text=False, input=b"").stdout == raw  # type: ignore[comparison-overlap]
        with started("exec sleep 1000", "--name", "filer", "--log-output", "/tmp/filer.log", "--log-error", "null"):
            assert pysup("logs", "loud", "filer", "--raw", "--no-follow", text=False, input=b"").stdout == raw
            with Running("logs", "loud", "filer", "--raw") as command:
                while len(command.seen) < len(raw):
                    command.seen += os.read(command.output, 4096)
                assert command.seen == raw


def test_since_and_until_choose_by_time(pysup: Command) -> None:
    """In any way of writing moments; without --lines they give all."""
    with started(TALKER, "--name", "clock"):
        between = time.time()
        say(pysup, "clock", "word 1")
        assert said(pysup, "clock", "--raw", "--since", str(between)) == ["word 1"]
        assert set(said(pysup, "clock", "--raw", "--until", str(between))) == {"first", "wrong"}
        assert said(pysup, "clock", "--raw", "--since", "1h")[-1] == "word 1"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(between + 3600))
        assert said(pysup, "clock", "--raw", "--since", stamp) == []
        until = pysup("logs", "clock", "--raw", "--until", str(between))  # in the past: nothing to follow
        assert "word" not in until.stdout


def test_following_shows_what_comes_and_ends_at_ctrl_c(pysup: Command) -> None:
    """Quietly, with 130."""
    with started(TALKER, "--name", "chat"), Running("logs", "chat") as command:
        command.expect("chat@0 \\| wrong\n")
        for number in range(1, 4):
            pysup("signal", "USR1", "chat")
            command.expect(f"chat@0 \\| word {number}\n")
        assert command.interrupt() == 130
        assert command.complaints() == ""


def test_instances_and_apps_that_come_later_are_followed_as_well(pysup: Command, tmp_path: Path) -> None:
    """From their first line on, in the journal or in files; and an app that has gone ends nothing."""
    tmp_path.chmod(0o755)
    file = tmp_path / "out.log"
    file.write_text("".join(f"long ago {number}\n" for number in range(3000)))
    with started(TALKER, "--name", "grow"), Running("logs", "grow", "all") as command, Running("logs", "--raw") as raw:
        command.expect("grow@0 \\| wrong\n")
        raw.expect("wrong\n")
        pysup("scale", "grow", "2")
        command.expect("grow@1 \\| first\n")
        raw.expect("first\n")
        files = ("--log-output", str(file), "--log-error", "journal")
        pysup("start", f"echo in a file; {TALKER}", "--name", "late", *files)
        assert int(command.expect("late   \\| long ago \\d+\n").split()[-1]) >= 2000
        command.expect("late   \\| in a file\n")
        raw.expect("in a file\n")
        pysup("delete", "late")
        pysup("signal", "USR1", "grow@1")
        command.expect("grow@1 \\| word 1\n")
        raw.expect("word 1\n")


def test_an_app_that_has_gone_keeps_nobody_else_out(pysup: Command) -> None:
    """What the other selectors mean is followed on, newcomers and all."""
    with (
        started(TALKER, "--name", "grow"),
        started(TALKER, "--name", "gone"),
        Running("logs", "gone", "grow") as command,
    ):
        command.expect("grow@0 \\| wrong\n")
        pysup("delete", "gone")
        pysup("scale", "grow", "2")
        command.expect("grow@1 \\| first\n")


def test_following_ends_when_nobody_reads(pysup: Command) -> None:
    """As for ``| head -1``: at once, not with the next line, and without a word."""
    with started(TALKER, "--name", "leave"), Running("logs", "leave") as command:
        command.expect("\n")
        assert command.process.stdout
        command.process.stdout.close()
        command.ended()
        assert command.complaints() == ""


def test_a_unit_without_entries_loses_nothing_of_what_it_prints_and_dies(pysup: Command, scope: Scope) -> None:
    """Following begins before the unit has ever run, and the program is gone before journald can ask for its unit."""
    script = "i=0; while [ $i -lt 20 ]; do echo line $i; echo oops $i >&2; i=$((i+1)); done"
    app = App(name="quick", command=("/bin/sh", "-c", script), restart="no", instances=3)  # type: ignore[arg-type]
    store = local.store(scope)
    with started("echo ready; exec sleep 1000", "--name", "beacon"):
        with store.lock("quick"):
            store.write("quick", render(app, local.machine(scope), str(store.runtime)).files, saved=False)
        with Running("logs", "beacon", "quick", "--raw") as command:
            command.expect("ready\n")
            pysup("start", "quick", check=False)
            wanted = sorted(f"{word} {number}" for word in ("line", "oops") for number in range(20) for _ in range(3))
            got: list[str] = []
            while len(got) < len(wanted):
                got.append(command.expect("(line|oops) \\d+\n").strip())
            assert sorted(got) == wanted
            assert command.interrupt() == 130
            assert command.rest() == b""
        assert sorted(said(pysup, "quick", "--raw", "-n", "all")) == wanted


def test_colours_are_for_terminals(pysup: Command) -> None:
    """One for each app, always the same; none with NO_COLOR, and none in a pipe."""
    with started(TALKER, "--name", "paint"):
        with OnTerminal("logs", "paint", "--no-follow") as command:
            shown = command.rest().decode()
        assert "\033[" in shown
        name = next(line for line in shown.splitlines() if "first" in line).partition("paint@0")[0]
        assert name.startswith("\033[")
        with OnTerminal("logs", "paint", "--no-follow", env={"NO_COLOR": "1"}) as command:
            assert b"\033" not in command.rest()
        assert not any("\033" in line for line in said(pysup, "paint"))


def test_log_files_are_shown_and_followed(pysup: Command, tmp_path: Path) -> None:
    """Apps that write to files are named with them; a file that is replaced is followed on."""
    tmp_path.chmod(0o755)
    out, err = tmp_path / "out.log", tmp_path / "err-{instance}.log"
    with started(TALKER, "--name", "filer", "--log-output", str(out), "--log-error", str(err)):
        there = pysup("logs", "filer", "--no-follow")
        assert str(out) in there.stderr
        assert "filer   | first" in there.stdout.splitlines()
        assert "filer@0 | wrong" in there.stdout.splitlines()
        assert said(pysup, "filer", "--err", "--raw") == ["wrong"]
        with Running("logs", "filer", "--out") as command:
            command.expect("filer   \\| first\n")
            pysup("signal", "USR1", "filer")
            command.expect("filer   \\| word 1\n")
            out.rename(tmp_path / "out.log.1")
            out.write_text("after rotation\n")
            command.expect("filer   \\| after rotation\n")
            assert command.interrupt() == 130


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nope",), 1, "nothing here is called 'nope'"),
        (("talk", "--since", "soon"), 2, "--since is 'soon'"),
        (("talk", "-n", "many"), 2, "--lines is 'many'"),
        (("talk", "--priority", "loud"), 2, "--priority is 'loud'"),
        (("talk", "--grep", "("), 2, "not a regular expression"),
        (("talk", "--format", "{nope}"), 2, "there is no {nope}"),
    ],
)
def test_what_cannot_be_asked_is_an_error(pysup: Command, words: tuple[str, ...], code: int, message: str) -> None:
    """With the value and the remedy."""
    with started("sleep 1000", "--name", "talk"):
        found = pysup("logs", *words, "--no-follow", check=False)
        assert found.returncode == code
        assert message in found.stderr
        assert len(found.stderr.splitlines()) == 2


def test_raw_lines_need_no_typer(pysup: Command) -> None:
    """They are for programs, which want them fast; both ways give the same."""
    with started(TALKER, "--name", "bare", "-i", "2"):
        quick = said(pysup, "bare", "--raw", "-n", "all")
        assert sorted(quick) == ["first", "first", "wrong", "wrong"]
        flag = "--system" if os.getuid() == 0 else "--user"
        assert said(pysup, "bare", "--raw", "-n", "all", flag) == quick
        loaded = pysup("logs", "bare", "--raw", "--no-follow", env={"PYTHONPROFILEIMPORTTIME": "1"}).stderr
        assert "pysup.journal.raw" in loaded
        assert not {"typer", "rich", "asyncio", "psutil"} & {
            line.rpartition("|")[2].strip() for line in loaded.splitlines()
        }


def test_no_apps_is_no_error(pysup: Command) -> None:
    """A word for beginners instead."""
    found = pysup("logs")
    assert found.stdout == ""
    assert "pysup start" in found.stderr
