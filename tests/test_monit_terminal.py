"""The dashboard and top on a real terminal, over a real systemd."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator

import pytest

from pysup.unit import Scope
from running import Running, started
from screens import OnScreen

# Says who it is and that it goes on; and tries to rule the terminal.
TALKER = r"""sh -c 'while :; do printf "tick %s \033]0;evil\007\033[2Jend\n" $$; sleep 0.5; done'"""

_HARMLESS = r"@[01] │ tick \d+ \\x1b\]0;evil\\x07\\x1b\[2Jend"


@pytest.fixture
def talking(scope: Scope) -> Iterator[Scope]:
    """Two instances that write."""
    with started(TALKER, "-n", "web", "-i", "2"):
        yield scope


def monit(*words: str, size: tuple[int, int] = (24, 80)) -> OnScreen:
    """The dashboard; these terminals do not tell their background."""
    return OnScreen("monit", "--theme", "dark", "--interval", "500ms", *words, size=size)


def pid_of(line: str) -> int:
    """The pid in an instance's row."""
    found = re.search(r"active +(\d+)", line)
    assert found, line
    return int(found[1])


def test_a_restart_by_key_is_seen_and_nothing_of_programs_rules_the_terminal(talking: Scope) -> None:
    """Rows, logs, question, another process, its words; and the terminal is given back."""
    with monit() as shown:
        _, row, _ = shown.until(r"web ×2 +active", r"@0 +active +\d+", _HARMLESS)
        pid = pid_of(row)
        shown.type("r")
        shown.until("Restart web and its 2 instances")
        shown.type("y")
        shown.until("web was restarted in", "· Started pysup-web@0.service")
        (row,) = shown.until(rf"@0 +active +(?!{pid} )\d+")
        os.kill(pid_of(row), signal.SIGKILL)
        shown.until(r"@0 +active +\d+ +\d+s +1 ")
        shown.type("q")
        said = shown.seen + shown.rest()
        assert shown.ended() == 0
    assert b"\x1b]0;evil" not in said
    assert b"\x1b[2Jend" not in said
    assert said.endswith(b"\x1b[?1004l") or b"\x1b[?1049l" in said


def test_it_goes_on_after_it_was_stopped(talking: Scope) -> None:
    """By Ctrl-Z and by SIGSTOP: drawn anew, with what has happened meanwhile; keys are read once."""
    with monit(size=(30, 100)) as shown:
        (row,) = shown.until(r"@0 +active +\d+")
        shown.type("\x1a")
        for number in (signal.SIGTSTP, signal.SIGSTOP):
            if number is signal.SIGSTOP:
                shown.process.send_signal(number)
            assert os.waitid(os.P_PID, shown.process.pid, os.WSTOPPED | os.WNOWAIT)
            os.kill(pid_of(row), signal.SIGKILL)
            shown.process.send_signal(signal.SIGCONT)
            (row,) = shown.until(rf"@0 +active +(?!{pid_of(row)} )\d+")
        shown.type("c")
        shown.until("How many instances shall web have")
        shown.type("3\r")
        shown.until(r"web ×3 +active", r"@2 +active", "web was scaled in")
        shown.type("q")
        shown.rest()
        assert shown.ended() == 0


def test_an_app_is_started_stopped_and_deleted_by_keys(scope: Scope) -> None:
    """And a failure is told with the last lines."""
    with started("sleep 1000", "-n", "calm"), monit("calm") as shown:
        shown.until(r"calm +active")
        shown.type("x")
        shown.until("Stop calm")
        shown.type("y")
        shown.until(r"calm +inactive", "calm was stopped")
        shown.type("s")
        shown.until(r"calm +active", "calm was started")
        shown.type("D")
        shown.until("Delete calm")
        shown.type("y")
        shown.until("0 apps", "calm was deleted")


@pytest.mark.systemd
def test_the_bus_and_journald_may_go_away_and_come_back() -> None:
    """It says that the bus is gone; afterwards a crash and new lines are seen as before."""
    with started(TALKER, "-n", "web"), monit() as shown:
        (row, _) = shown.until(r"web +active +\d+", r"│ tick \d+")
        subprocess.run(["systemctl", "stop", "dbus.socket", "dbus.service"], check=True)
        try:
            shown.until("does not answer|went away")
            os.kill(pid_of(row), signal.SIGKILL)
        finally:
            subprocess.run(["systemctl", "start", "dbus.socket", "dbus.service"], check=True)
        (row,) = shown.until(rf"web +active +(?!{pid_of(row)} )\d+ +\d+s +1 ")
        shown.until(rf"│ tick {pid_of(row)} ")
        subprocess.run(["systemctl", "restart", "systemd-journald.service"], check=True)
        shown.type("r")
        shown.until("Restart web")
        shown.type("y")
        (row,) = shown.until(rf"web +active +(?!{pid_of(row)} )\d+")
        shown.until(rf"│ tick {pid_of(row)} ")


@pytest.mark.systemd
def test_top_says_that_the_bus_is_away_and_catches_up() -> None:
    """In a line that is cut, so that nothing scrolls away."""
    with started("sleep 1000", "-n", "web"), OnScreen("top", "--interval", "500ms", size=(4, 80)) as shown:
        (row,) = shown.until(r"^web +0 +active +\d+ +\d+s")
        subprocess.run(["systemctl", "stop", "dbus.socket", "dbus.service"], check=True)
        try:
            shown.until("^pysup top", "does not answer|went away", "^web +0 +active")
            os.kill(pid_of(row), signal.SIGKILL)
        finally:
            subprocess.run(["systemctl", "start", "dbus.socket", "dbus.service"], check=True)
        shown.until(rf"^web +0 +active +(?!{pid_of(row)} )\d+ +\d+s +1 ")
        shown.type("q")
        shown.rest()
        assert shown.ended() == 0


@pytest.mark.systemd
def test_top_draws_sorts_and_ends_with_q() -> None:
    """Exit code 0, also for Ctrl-C; the terminal is given back."""
    with started("sleep 1000", "-n", "web"):
        for key in ("q", "\x03"):
            with OnScreen("top", "--interval", "500ms") as shown:
                (row, _) = shown.until(r"^web +0 +active +\d+", "q ends")
                os.kill(pid_of(row), signal.SIGKILL)
                shown.until(rf"^web +0 +active +(?!{pid_of(row)} )\d+")
                shown.type("m")
                shown.type(key)
                assert shown.rest().endswith(b"\x1b[?25h\x1b[?1049l")
                assert shown.ended() == 0


@pytest.mark.systemd
@pytest.mark.parametrize("words", [("top",), ("list", "--watch")])
def test_a_stopped_table_leaves_the_terminal_to_the_shell_and_takes_it_again(words: tuple[str, ...]) -> None:
    """By Ctrl-Z: lines and echo are as they were before; after SIGCONT keys count at once."""
    with started("sleep 1000", "-n", "web"), OnScreen(*words) as shown:
        shown.until(r"^web +0 +active")
        shown.type("\x1a")
        assert os.waitid(os.P_PID, shown.process.pid, os.WSTOPPED | os.WNOWAIT)
        assert termios.tcgetattr(shown.output)[3] & termios.ICANON
        assert termios.tcgetattr(shown.output)[3] & termios.ECHO
        shown.seen = b""
        shown.process.send_signal(signal.SIGCONT)
        shown.expect(r"\x1b\[\?1049h")
        shown.type("q" if words == ("top",) else "\x03")
        assert shown.rest().endswith(b"\x1b[?25h\x1b[?1049l")
        assert shown.ended() == (0 if words == ("top",) else 130)


@pytest.mark.systemd
@pytest.mark.parametrize("command", ["monit", "top", "events", "logs"])
def test_it_ends_when_its_terminal_goes(command: str) -> None:
    """As when a connection by SSH breaks; the app goes on."""
    with started(TALKER, "-n", "web"):
        with OnScreen(command) as shown:
            shown.until("web") if command != "events" else shown.type("\n")
            shown.hang_up()
            shown.ended()
        with Running("pid", "web") as asked:
            assert asked.rest().strip().isdigit()


@pytest.mark.systemd
def test_top_prints_to_a_pipe(pysup: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """So many tables, as list prints them; nothing but text."""
    with started("sleep 1000", "-n", "web", "-i", "2"):
        tables = pysup("top", "-n", "2", "--interval", "300ms").stdout.split("\n\n")
        titles = pysup("list").stdout.splitlines()[0].split()
    assert [len(table.strip().splitlines()) for table in tables] == [3, 3]
    assert tables[0].splitlines()[0].split() == titles
    assert "\x1b" not in "".join(tables)


@pytest.mark.systemd
def test_what_another_command_does_is_seen_on_a_wide_terminal() -> None:
    """Details stand beside the table, above the logs."""
    with started("sleep 1000", "-n", "web", "-i", "2"), monit(size=(60, 200)) as shown:
        shown.until(r"Details · web", r"Logs · web", r"web ×2 +active", r"command +/\S*sleep 1000")
        for words, seen in ((("stop", "web@1"), "1/2 up"), (("delete", "web"), "0 apps")):
            with Running(*words) as command:
                command.rest()
            shown.until(seen)
