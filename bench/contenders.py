"""Each contender as the same few orders: be there, start N copies of a command, list, stop, forget, be gone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grounds
from bench import tools
from bench.measure import run, until

CIRCUSCTL = str(tools.BIN / "circusctl")
SCRATCH = Path("/run/bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a contender is to run."""

    name: str = "sleep"
    count: int = 1
    command: tuple[str, ...] = ("/usr/bin/sleep", "infinity")


class Contender:
    """What rows ask of a process manager; each order returns when the command that it is does."""

    name = ""

    def define(self, program: Program) -> None:
        """Have whatever must be there before it can be started."""

    def start(self, program: Program) -> None:
        """Have it run in as many copies as it wants; nothing of that name is known."""
        raise NotImplementedError

    def settle(self, program: Program) -> None:
        """Wait until they run, if ``start`` does not."""

    def show(self) -> None:
        """Show them all."""
        raise NotImplementedError

    def stop(self, program: Program) -> None:
        """Stop them; they stay known."""
        raise NotImplementedError

    def forget(self, program: Program) -> None:
        """Make them unknown."""

    def daemons(self) -> Sequence[int]:
        """The PIDs of the manager's own processes."""
        return []

    def close(self) -> None:
        """Be gone."""


class Pysup(Contender):
    """pysup; its manager is PID 1, which is there anyway."""

    name = "pysup"

    def start(self, program: Program) -> None:
        """Pysup start --no-wait."""
        path, *args = program.command
        options = ("--name", program.name, "-i", str(program.count), "--no-wait")
        run([str(grounds.PYSUP), "start", path, *options, "--", *args])

    def settle(self, program: Program) -> None:
        """Wait until systemd has no job left, and see that all run."""
        until(lambda: not run(["systemctl", "list-jobs", "--no-legend"]).strip(), "the end of systemd's jobs")
        units = f"pysup-{program.name}@*"
        found = len(run(["systemctl", "list-units", "--no-legend", "--state=active", units]).splitlines())
        if found != program.count:
            raise SystemExit(f"bench: {found} of {program.count} instances of {program.name} run")

    def show(self) -> None:
        """Pysup list."""
        run([str(grounds.PYSUP), "list"])

    def stop(self, program: Program) -> None:
        """Pysup stop."""
        run([str(grounds.PYSUP), "stop", program.name])

    def forget(self, program: Program) -> None:
        """Pysup delete."""
        run([str(grounds.PYSUP), "delete", program.name])

    def daemons(self) -> Sequence[int]:
        """Whatever runs pysup's code: its command, or a Python that was told to."""
        return [pid for pid in _pids() if "pysup" in [Path(word).name for word in _words(pid)]]


class Systemctl(Contender):
    """systemctl on the units that pysup has written."""

    name = "systemctl"

    def start(self, program: Program) -> None:
        """Systemctl start of each; what they run is in them."""
        run(["systemctl", "start", *_units(program)])

    def show(self) -> None:
        """Systemctl list-units."""
        run(["systemctl", "list-units", "--no-pager", "pysup-*"])

    def stop(self, program: Program) -> None:
        """Systemctl stop."""
        run(["systemctl", "stop", *_units(program)])


class Pm2(Contender):
    """PM2, without its calls home, in a home of its own."""

    name = "pm2"

    def __init__(self) -> None:
        self._home = SCRATCH / "pm2"
        os.environ |= {
            "PM2_HOME": str(self._home),
            "PM2_DISABLE_VERSION_CHECK": "true",
            "PM2_NO_INTERACTION": "true",
            "PM2_DISCRETE_MODE": "true",
        }
        run([str(tools.PM2), "ping"])

    def start(self, program: Program) -> None:
        """pm2 start, in fork mode."""
        path, *args = program.command
        options = ("--interpreter", "none", "--name", program.name, "-i", str(program.count))
        run([str(tools.PM2), "start", path, *options, *["--"] * bool(args), *args])

    def show(self) -> None:
        """pm2 ls."""
        run([str(tools.PM2), "ls"])

    def stop(self, program: Program) -> None:
        """pm2 stop."""
        run([str(tools.PM2), "stop", program.name])

    def forget(self, program: Program) -> None:
        """pm2 delete."""
        run([str(tools.PM2), "delete", program.name])

    def daemons(self) -> Sequence[int]:
        """The daemon."""
        return [int((self._home / "pm2.pid").read_text())]

    def close(self) -> None:
        """End the daemon, and with it the apps."""
        run([str(tools.PM2), "kill"])


class Supervisor(Contender):
    """supervisord; programs are in its configuration, so starting is a reread of that and a start."""

    name = "supervisord"

    def __init__(self) -> None:
        self._folder = SCRATCH / "supervisord"
        self._folder.mkdir(parents=True)
        self._config = self._folder / "supervisord.conf"
        self._config.write_text(
            f"[supervisord]\npidfile={self._folder}/pid\nlogfile={self._folder}/log\nchildlogdir={self._folder}\n"
            f"[unix_http_server]\nfile={self._folder}/socket\n"
            f"[supervisorctl]\nserverurl=unix://{self._folder}/socket\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[include]\nfiles={self._folder}/*.ini\n"
        )
        run([str(tools.BIN / "supervisord"), "-c", str(self._config)])
        until(lambda: (self._folder / "pid").exists(), "supervisord's start")

    def start(self, program: Program) -> None:
        """Supervisorctl start of programs that it has read."""
        self._control("start", f"{program.name}:*")

    def define(self, program: Program) -> None:
        """Have the program in the configuration, and read."""
        (self._folder / f"{program.name}.ini").write_text(
            f"[program:{program.name}]\ncommand={' '.join(program.command)}\nnumprocs={program.count}\n"
            "process_name=%(program_name)s_%(process_num)d\nautostart=false\nautorestart=true\nstartsecs=0\n"
        )
        self._control("update")

    def show(self) -> None:
        """Supervisorctl status."""
        self._control("status")

    def stop(self, program: Program) -> None:
        """Supervisorctl stop."""
        self._control("stop", f"{program.name}:*")

    def forget(self, program: Program) -> None:
        """Take the program out of the configuration."""
        (self._folder / f"{program.name}.ini").unlink()
        self._control("update")

    def daemons(self) -> Sequence[int]:
        """The daemon."""
        return [int((self._folder / "pid").read_text())]

    def close(self) -> None:
        """End the daemon, and with it the programs."""
        self._control("shutdown")

    def _control(self, *words: str) -> None:
        run([str(tools.BIN / "supervisorctl"), "-c", str(self._config), *words])


class Circus(Contender):
    """circusd with one watcher; it takes part in showing and memory only."""

    name = "circus"

    def __init__(self, program: Program) -> None:
        folder = SCRATCH / "circus"
        self._watcher = program.name
        folder.mkdir(parents=True)
        config = folder / "circus.ini"
        watcher = f"[watcher:{program.name}]\ncmd={' '.join(program.command)}\nnumprocesses={program.count}\n"
        config.write_text(f"[circus]\nstatsd=false\n{watcher}")
        words = [str(tools.BIN / "circusd"), str(config)]
        self._daemon = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        count = [CIRCUSCTL, "numprocesses", program.name]
        until(lambda: str(program.count) in run(count, check=False), "circus's start")

    def show(self) -> None:
        """Circusctl list."""
        run([CIRCUSCTL, "list", self._watcher])

    def daemons(self) -> Sequence[int]:
        """The daemon."""
        return [self._daemon.pid]

    def close(self) -> None:
        """End the daemon, and with it the processes."""
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait()


def _units(program: Program) -> list[str]:
    return [f"pysup-{program.name}@{number}.service" for number in range(program.count)]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _words(pid: int) -> list[str]:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
