"""The talk's demo, in a box: an app once per core beside Redis, killed, logged, saved, rebooted, and back."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import grounds
from pysup.box import Box
from pysup.errors import PysupError

ASK = Path(__file__).with_name("ask.py")
PORT = 9001
START = (
    "pysup start examples/counter/app.js --per-core --reserve 1 --name counter"
    f" --port {PORT} --requires redis-server.service --uid {grounds.USER}"
)


class Demo:
    """Shows commands and what they say."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._env = grounds.environment(TERM=os.environ.get("TERM", "dumb"), COLUMNS=_columns())

    def say(self, text: str) -> None:
        """Tell what comes next."""
        print(_bright(f"\n# {text}"), flush=True)

    def show(self, command: str) -> None:
        """Print a command, run it in the box, and end the demo if it fails."""
        self._run(command, shlex.split(command))

    def get(self, *ports: int) -> str:
        """Show what the app answers on *ports*; returns the PID in the last answer."""
        answer = ""
        for port in ports:
            url = f"http://127.0.0.1:{port}/"
            print(_prompt(f"GET {url}"), flush=True)
            answer = self._box.run(grounds.python(str(ASK), url), env=self._env).stdout
            print(answer, end="")
        return answer.partition("pid ")[2].partition(":")[0]

    def kill(self, pid: str, port: int) -> None:
        """Kill a process that answers on *port*, and show that another one does."""
        url = f"http://127.0.0.1:{port}/"
        self._run(f"kill -9 {pid}; GET {url}", grounds.python(str(ASK), "--kill", pid, url))

    def reboot(self) -> None:
        """Stop everything in the box and boot it again."""
        print(_prompt("reboot"), flush=True)
        began = time.monotonic()
        self._box.reboot()
        print(f"systemd is up again after {time.monotonic() - began:.1f} s")

    def _run(self, shown: str, command: list[str]) -> None:
        print(_prompt(shown), flush=True)
        with self._box.popen(command, cwd=grounds.ROOT, env=self._env) as process:
            pass
        if process.returncode:
            raise SystemExit(f"demo: the command above failed ({process.returncode})")


def main() -> None:
    """Play the demo from boot to the end."""
    began = time.monotonic()
    with grounds.booted() as box:
        demo = Demo(box)
        took = time.monotonic() - began
        demo.say(f"A box booted in {took:.1f} s: a private systemd over a throw-away copy of this machine.")
        play(demo)
    demo.say("The box is gone, and with it all that was in it. To go on:")
    print(EPILOGUE)


def play(demo: Demo) -> None:
    """The steps."""
    cores = len(os.sched_getaffinity(0))
    demo.say(f"One instance per core, one of {cores} left to Redis, which the app requires: it is started first.")
    demo.show(START if cores > 1 else START.replace(" --reserve 1", ""))
    pid = demo.get(PORT)
    demo.say("More instances: each has a port of its own, and the count is theirs together.")
    demo.show("pysup scale counter 4")
    demo.get(*range(PORT, PORT + 4))
    demo.say("Kill one the hard way. Nobody of ours watches: systemd starts it again.")
    demo.kill(pid, PORT)
    demo.show("pysup list")
    demo.say("What they said, merged, with systemd's own words between.")
    demo.show("pysup logs counter --lines 12 --no-follow")
    demo.say("Keep it over a reboot; nothing restarts for that.")
    demo.show("pysup save counter")
    demo.reboot()
    demo.get(*range(PORT, PORT + 4))
    demo.show("pysup list")
    demo.say("All of it is plain units: systemctl, journalctl and every admin can read them.")
    demo.show("systemctl cat pysup-counter@0.service")


EPILOGUE = """
  sudo .venv/bin/pysup box up       a box of your own to try things in; then box enter, and box down
  .venv/bin/pysup start --help      every option, with examples
  examples/README.md                more to start
  README.md                         from here to your own server
"""


def _prompt(command: str) -> str:
    return _bright(f"$ {command}")


def _bright(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def _columns() -> str:
    return str(os.get_terminal_size().columns) if sys.stdout.isatty() else "120"


if __name__ == "__main__":
    try:
        main()
    except PysupError as exc:
        raise SystemExit(f"demo: {exc}\n  {exc.hint}") from None
