"""What ``pysup start`` can be asked for: one dataclass, of whose fields typer makes the options.

A field is an option when its type says so (``Annotated[…, typer.Option(…)]``); the names of an App's fields are used
wherever there is one. What was not given is None, so that a known app keeps what it has.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from pysup.app import App, KillMode, Ready, Restart
from pysup.cli import complete, isolating, limiting
from pysup.cli.filed import Only
from pysup.cli.options import Scopes, Wait, WaitTimeout

_WHICH = "What runs"
_COUNT = "How many, and where"
_ENVIRONMENT = "Environment"
_LIFE = "Restart and stop"
_BY_ITSELF = "What stands beside it"
_READY = "Ready, and after what"
_LOG = "Output"
_RAW = "Anything else of systemd's"


_USUAL = {field.name: field.default for field in (*fields(App), *fields(Ready))}


def _option(section: str, *names: str, metavar: str | None = None, help: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=section, show_default=False)


Text = str | None
Texts = list[str] | None
Number = int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The command line of ``pysup start``; ``arguments`` are the words behind ``--``."""

    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET…]",
            help="A script, a program (path or on PATH), a quoted command line, an app that is known, or a file "
            "of apps. Usual: pysup.toml here.",
            autocompletion=complete.targets,
            show_default=False,
        ),
    ] = None
    arguments: tuple[str, ...] = ()

    name: Annotated[Text, _option(_WHICH, "--name", "-n", metavar="NAME", help="What to call it.")] = None
    namespace: Annotated[Text, _option(_WHICH, "--namespace", metavar="NAME", help="A group to put it in.")] = None
    cwd: Annotated[Text, _option(_WHICH, "--cwd", metavar="DIR", help="Where it runs; usually here.")] = None
    interpreter: Annotated[
        Text, _option(_WHICH, "--interpreter", metavar="PROGRAM", help="What runs the script; none: itself.")
    ] = None
    interpreter_args: Annotated[
        Text,
        _option(_WHICH, "--interpreter-args", "--node-args", metavar="WORDS", help="Arguments for the interpreter."),
    ] = None
    secrets: Annotated[
        Texts,
        _option(
            _ENVIRONMENT,
            "--secret",
            metavar="NAME=REFERENCE",
            help="A variable from a file (file:PATH), or a credential (credential:PATH); shown nowhere.",
        ),
    ] = None
    secret_env: Annotated[
        Texts,
        _option(_ENVIRONMENT, "--secret-env", metavar="VARIABLE=NAME", help="A variable that holds this credential."),
    ] = None
    user: Annotated[
        Text, _option(_WHICH, "--uid", metavar="USER", help="The account it runs as (name or number; --system only).")
    ] = None
    group: Annotated[Text, _option(_WHICH, "--gid", metavar="GROUP", help="The group it runs as.")] = None
    description: Annotated[Text, _option(_WHICH, "--description", metavar="TEXT", help="A line about it.")] = None

    instances: Annotated[
        Text,
        _option(
            _COUNT, "--instances", "-i", metavar="N|max|-N", help="How many; max: one per CPU; -N: N fewer than CPUs."
        ),
    ] = None
    per_core: Annotated[
        bool, _option(_COUNT, "--per-core", help="One per CPU that you may use, each pinned to its own.")
    ] = False
    reserve: Annotated[
        Text, _option(_COUNT, "--reserve", metavar="N|CPUS", help="Leave N CPUs free, or just these: 0,2-3.")
    ] = None
    reserve_for: Annotated[
        Text,
        _option(_COUNT, "--reserve-for", metavar="UNIT", help="Keep this service on those: redis-server.service."),
    ] = None
    physical: Annotated[
        bool, _option(_COUNT, "--physical", help="Count cores, not threads; each instance gets a whole one.")
    ] = False
    port: Annotated[Number, _option(_COUNT, "--port", "-p", metavar="BASE", help="Instance i gets PORT=BASE+i.")] = None

    instance_var: Annotated[
        Text,
        _option(_COUNT, "--instance-var", metavar="NAME", help="The variable for the number; not NODE_APP_INSTANCE."),
    ] = None
    increment: Annotated[
        Texts, _option(_COUNT, "--increment", metavar="NAME=BASE", help="Instance i gets NAME=BASE+i; repeat it.")
    ] = None

    listen: Annotated[
        Texts,
        _option(
            _COUNT,
            "--listen",
            metavar="ADDRESS",
            help="systemd listens here for all instances: 8080, 127.0.0.1:8080, http=8080, /run/x.sock,mode=0660.",
        ),
    ] = None
    spread: Annotated[
        bool | None, _option(_COUNT, "--spread", help="Each instance has a socket of its own on those ports.")
    ] = None
    on_demand: Annotated[
        bool | None,
        _option(_COUNT, "--on-demand/--no-on-demand", help="Only listen; the first connection starts the instances."),
    ] = None
    idle_timeout: Annotated[
        Text,
        _option(
            _COUNT,
            "--idle-timeout",
            metavar="TIME",
            help="Stop them when nobody was connected for so long, and go on listening: 10m; 0: never, as is usual.",
        ),
    ] = None

    env: Annotated[
        Texts,
        _option(
            _ENVIRONMENT,
            "--env",
            "-e",
            metavar="K=V",
            help="A variable; repeat it. For a file of apps also NAME, the environment of it that counts.",
        ),
    ] = None
    env_files: Annotated[
        Texts, _option(_ENVIRONMENT, "--env-file", metavar="FILE", help="A file of K=V lines, read at each start.")
    ] = None
    pass_env: Annotated[
        Texts,
        _option(_ENVIRONMENT, "--pass-env", metavar="NAMES", help="Hand on variables of yours: A,B or 'AWS_*'."),
    ] = None

    restart: Annotated[
        Restart | None, _option(_LIFE, "--restart", help=f"When systemd starts it again. Usual: {_USUAL['restart']}.")
    ] = None
    restart_delay: Annotated[
        Text,
        _option(
            _LIFE,
            "--restart-delay",
            metavar="TIME",
            help=f"How long it waits before that: 500ms, 2s. Usual: {_USUAL['restart_delay']:g}s.",
        ),
    ] = None
    restart_delay_max: Annotated[
        Text,
        _option(
            _LIFE, "--restart-delay-max", metavar="TIME", help="… growing by half up to this, while starts fail: 15s."
        ),
    ] = None
    restart_limit: Annotated[
        Number,
        _option(
            _LIFE,
            "--restart-limit",
            metavar="N",
            help=f"Give up after N starts; 0: never. Usual: {_USUAL['restart_limit']}.",
        ),
    ] = None
    restart_window: Annotated[
        Text,
        _option(
            _LIFE, "--restart-window", metavar="TIME", help=f"… within this time. Usual: {_USUAL['restart_window']:g}s."
        ),
    ] = None
    stop_exit_codes: Annotated[
        Texts, _option(_LIFE, "--stop-exit-codes", metavar="CODES", help="Exit codes that end it for good: 0,3.")
    ] = None
    stop_signal: Annotated[
        Text,
        _option(_LIFE, "--stop-signal", metavar="SIGNAL", help=f"What asks it to end. Usual: {_USUAL['stop_signal']}."),
    ] = None
    stop_timeout: Annotated[
        Text,
        _option(
            _LIFE,
            "--stop-timeout",
            metavar="TIME",
            help=f"How long it may take, before SIGKILL. Usual: {_USUAL['stop_timeout']:g}s.",
        ),
    ] = None
    kill_mode: Annotated[
        KillMode | None,
        _option(_LIFE, "--kill-mode", help=f"Whom a stop reaches. Usual: {_USUAL['kill_mode']}, all of it."),
    ] = None

    schedule: Annotated[
        Text,
        _option(
            _BY_ITSELF,
            "--schedule",
            "--cron",
            "--cron-restart",
            metavar="WHEN",
            help="Restart it then: cron's '0 3 * * *' or 'Mon..Fri 03:00'; with --restart no, run it then. 0: off.",
        ),
    ] = None
    schedule_zone: Annotated[
        Text,
        _option(_BY_ITSELF, "--schedule-zone", metavar="ZONE", help="Those times' zone: Europe/Berlin."),
    ] = None
    schedule_delay: Annotated[
        Text, _option(_BY_ITSELF, "--schedule-delay", metavar="TIME", help="Put each off by up to this, at random.")
    ] = None
    schedule_catch_up: Annotated[
        bool | None,
        _option(_BY_ITSELF, "--schedule-catch-up", help="Run a job after the boot if its time was missed."),
    ] = None

    watch: Annotated[
        bool | None,
        _option(
            _BY_ITSELF,
            "--watch/--no-watch",
            help="Restart it when files change: below its directory, or PATH (--watch=PATH).",
        ),
    ] = None
    watch_paths: Annotated[
        Texts, _option(_BY_ITSELF, "--watch-path", metavar="PATH", help="What to watch, as --watch=PATH; repeat it.")
    ] = None
    watch_ignore: Annotated[
        Texts, _option(_BY_ITSELF, "--ignore-watch", metavar="PATTERNS", help="What not: uploads,'*.json','data/*'.")
    ] = None
    watch_delay: Annotated[
        Text,
        _option(_BY_ITSELF, "--watch-delay", metavar="TIME", help="… once it was quiet so long. Usual: 200ms."),
    ] = None

    memory_restart: Annotated[
        Text,
        _option(
            _BY_ITSELF,
            "--memory-restart",
            "--max-memory-restart",
            metavar="SIZE",
            help="Restart an instance that holds so much: 512M; killed at twice that, or at --memory-max. 0: off.",
        ),
    ] = None

    stdin: Annotated[
        bool | None, _option(_BY_ITSELF, "--stdin/--no-stdin", help="Let pysup send and attach write to its stdin.")
    ] = None

    memory_max: limiting.MemoryMax = None
    memory_high: limiting.MemoryHigh = None
    memory_swap_max: limiting.MemorySwapMax = None
    cpu_quota: limiting.CpuQuota = None
    cpu_weight: limiting.CpuWeight = None
    io_weight: limiting.IoWeight = None
    io_read_max: limiting.IoReadMax = None
    io_write_max: limiting.IoWriteMax = None
    tasks_max: limiting.TasksMax = None
    nofile: limiting.Nofile = None
    cpus: limiting.Cpus = None
    cpu_affinity: limiting.CpuAffinity = None
    numa_policy: limiting.NumaPolicy_ = None
    numa_nodes: limiting.NumaNodes = None
    total: limiting.Total = None
    nice: limiting.Nice = None

    ready: Annotated[
        Text,
        _option(
            _READY,
            "--ready",
            metavar="WHEN",
            help="exec (usual), notify, send, tcp, tcp:[HOST:]PORT, 'http://127.0.0.1:{port}/health 200', a time: 2s.",
        ),
    ] = None
    ready_timeout: Annotated[
        Text,
        _option(
            _READY, "--ready-timeout", metavar="TIME", help=f"How long that may take. Usual: {_USUAL['timeout']:g}s."
        ),
    ] = None
    wait_ready: Annotated[
        bool, _option(_READY, "--wait-ready", help="As PM2: --ready send, when it calls process.send('ready').")
    ] = False
    watchdog: Annotated[
        Text,
        _option(
            _READY,
            "--watchdog",
            metavar="WHAT",
            help="Restart it when it hangs: 30s (it says WATCHDOG=1; Node does), tcp, or a URL as for --ready; off.",
        ),
    ] = None
    watchdog_interval: Annotated[
        Text, _option(_READY, "--watchdog-interval", metavar="TIME", help="How often it is asked. Usual: 10s.")
    ] = None
    watchdog_timeout: Annotated[
        Text, _option(_READY, "--watchdog-timeout", metavar="TIME", help="How long an answer may take. Usual: 5s.")
    ] = None
    watchdog_failures: Annotated[
        Number, _option(_READY, "--watchdog-failures", metavar="N", help="After how many in a row. Usual: 3.")
    ] = None
    wants: Annotated[
        Texts, _option(_READY, "--wants", metavar="APPS", help="Apps or units to start before it, if they are there.")
    ] = None
    requires: Annotated[
        Texts, _option(_READY, "--requires", metavar="APPS", help="Apps or units it cannot do without.")
    ] = None
    after: Annotated[
        Texts, _option(_READY, "--after", metavar="APPS", help="Apps or units to wait for when both start.")
    ] = None

    log_output: Annotated[
        Text, _option(_LOG, "--log-output", metavar="FILE", help="A file for stdout ({instance} in it is the number).")
    ] = None
    log_error: Annotated[Text, _option(_LOG, "--log-error", metavar="FILE", help="A file for stderr.")] = None
    log_rate_limit: Annotated[
        Number, _option(_LOG, "--log-rate-limit", metavar="N", help="Lines per 30 s; 0: all are kept.")
    ] = None

    level: isolating.Level_ = None
    writable: isolating.Writable = None
    readable: isolating.Readable = None
    devices: isolating.Devices = None
    network: isolating.Network = None
    dynamic_user: isolating.DynamicUser = None
    bind_low_ports: isolating.BindLowPorts = None

    unit: Annotated[Texts, _option(_RAW, "--unit", metavar="K=V", help="A directive for [Unit]; repeat it.")] = None
    service: Annotated[
        Texts, _option(_RAW, "--service", metavar="K=V", help="A directive for [Service]; repeat it.")
    ] = None

    autostart: Annotated[
        bool | None,
        _option(_LIFE, "--autostart/--no-autostart", help="Start it now and at boot, as is usual; or keep it stopped."),
    ] = None

    only: Only = None
    scope: Scopes = None
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace the app if it runs with other settings; restart it if not.")
    ] = False
    rolling: Annotated[
        bool, typer.Option("--rolling", help="Replace what runs one by one, without a gap, as pysup reload does.")
    ] = False
    wait: Wait = True
    wait_timeout: WaitTimeout = None
