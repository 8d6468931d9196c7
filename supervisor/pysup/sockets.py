"""The socket units of an app that listens through systemd, and what its instances need to share them.

The rules come from experiments with systemd 252 (docs/decisions.md): no start limit and no trigger limit, for either
takes the socket down with a sibling that crashes; the same ``NonBlocking=`` in all; no restart of a socket under its
instances. What a connection starts is a unit of its own that wants all instances: a socket could not be opened while
an instance that it names runs, and an instance that wanted its siblings would bring back those that were stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from pysup import names
from pysup.app import App
from pysup.listen import Listen
from pysup.unit import Scope
from pysup.unitfile import command_line, quote, section, specifier

Lines = Iterator[tuple[str, str]]

# Waits before a start, by how many were in vain in a row: failed within a minute, or ended well within a second though
# nobody had asked for it. systemd's own RestartSteps= (254) needs a delay before the first restart, too, and never
# forgets: an instance that crashed eight times in a year would wait the longest.
_PAUSES = ("0", "0", "0", "0.2", "0.4", "0.8", "1.6", "3.2", "6.4", "12.8", "15")
_GROWTH = 1.5
_COUNT = (
    'cd "${RUNTIME_DIRECTORY%%:*}" || exit; '
    "read -r n 2>/dev/null <failures || n=0; read -r began 2>/dev/null <started || began=0; "
    "read -r now _ </proc/uptime; lived=$((${now%%.*}-began)); "
    'if [ "$SERVICE_RESULT" != success ]; then [ "$lived" -lt 60 ] || n=0; '
    'elif [ "$lived" -gt 1 ]; then n=-1; '
    'else case $(systemctl "$1" list-jobs "$2") in *" stop "*|*" restart "*) n=-1 ;; esac; fi; '
    "echo $((n+1)) >failures"
)
_BRAKE = (
    'cd "${RUNTIME_DIRECTORY%%:*}"; read -r n 2>/dev/null <failures || n=0; [ "$n" -lt $# ] || n=$(($#-1)); '
    'shift "$n"; [ "$1" = 0 ] || sleep "$1"; read -r now _ </proc/uptime; echo "${now%%.*}" >started'
)


PROBE = "pysup-probe"  # in LISTEN_FDNAMES; no name that a user can give has a '-'


def brake(app: App, scope: Scope) -> Lines:
    """Growing waits between starts that are in vain one after the other, which need the runtime directory."""
    yield "ExecStartPre", command_line(("/bin/sh", "-c", _BRAKE, "brake", *pauses(app)))
    yield "ExecStopPost", f"{command_line(('/bin/sh', '-c', _COUNT, 'count', f'--{scope.value}'))} %n"


def runtime_directory(app: App, instance: str) -> Lines:
    """A directory for what an instance keeps while it runs, and over restarts."""
    yield "RuntimeDirectory", names.runtime_directory(app.name, instance, dynamic=app.isolate.dynamic_user)
    yield "RuntimeDirectoryPreserve", "restart"


def pauses(app: App) -> tuple[str, ...]:
    """How many seconds to wait after no failed start, after one, and so on; the last holds for all that follow."""
    if not app.restart_delay_max:
        return _PAUSES
    grown = (app.restart_delay * _GROWTH**step for step in range(_steps(app)))
    return ("0", *(f"{pause:.3f}".rstrip("0").rstrip(".") for pause in grown), f"{app.restart_delay_max:g}")


def _steps(app: App) -> int:
    """After how many failures the delay is the longest."""
    return max(1, math.ceil(math.log(app.restart_delay_max / app.restart_delay, _GROWTH)))


def units(app: App, number: int | None = None) -> list[str]:
    """The socket units that an instance inherits: the shared ones, or with ``spread`` those of its own."""
    own = number if app.spread else None
    return [names.socket_unit(app.name, listen.key, own) for listen in app.listen]


def all_units(app: App, numbers: tuple[int, ...]) -> list[str]:
    """Every socket unit of the app."""
    return [unit for number in (numbers if app.spread else (None,)) for unit in units(app, number)]


def files(app: App, numbers: tuple[int, ...]) -> dict[str, str]:
    """The texts of the socket units, and of what they start, by their names."""
    if not app.listen:
        return {}
    probes = {names.probe_template(app.name): probe(app, "%i")} if app.probed else {}
    owners = numbers if app.spread else (None,)
    shared = {
        names.socket_unit(app.name, one.key, number): _socket(app, one) for number in owners for one in app.listen
    }
    return probes | shared | {names.wake_unit(app.name): _wake(app, numbers)}


def _wake(app: App, numbers: tuple[int, ...]) -> str:
    """The unit that a connection starts when no instance runs. A second of sleep brakes those that end at once."""
    unit = [
        ("Description", f"{app.name}, started by a connection"),
        ("PartOf", names.target_unit(app.name)),
        *(("Wants", names.instance_unit(app.name, number)) for number in numbers),
    ]
    service = [
        ("Type", "oneshot"),
        ("ExecStart", command_line(("/bin/sleep", "1"))),
        ("SuccessExitStatus", "SIGTERM"),
        ("NonBlocking", "yes"),
        ("Slice", names.slice_unit(app.name, app.namespace)),
    ]
    return section("Unit", unit) + "\n" + section("Service", service)


def probe(app: App, instance: str, service: str = "", name: str = PROBE) -> str:
    """The unit of the socket on which one instance is asked, and no sibling can answer; *service* is whose it is.

    It is there as long as the instance is. What still waits there when the instance ends is thrown away: it would be
    taken for a client, and have the instance started again.
    """
    unit = [
        ("Description", f"{app.name}, instance {instance} is asked here"),
        ("StopWhenUnneeded", "yes"),
        ("StartLimitIntervalSec", "0"),
    ]
    socket = [
        ("ListenStream", f"%t/{names.probe_path(app.name, instance)}"),
        # A dynamic account is not there yet when the socket is opened.
        ("SocketMode", "0666" if app.isolate.dynamic_user else "0600"),
        *((("SocketUser", app.user),) if app.user else ()),
        ("FileDescriptorName", name),
        ("Service", names.spare_unit(app.name, service or instance)),
        ("TriggerLimitIntervalSec", "0"),
        ("FlushPending", "yes"),
        ("RemoveOnStop", "yes"),
    ]
    return section("Unit", unit) + "\n" + section("Socket", socket)


def _socket(app: App, listen: Listen) -> str:
    target = names.target_unit(app.name)
    unit = [("Description", specifier(f"{app.name}, listening on {listen.address}")), ("PartOf", target)]
    return section("Unit", unit) + "\n" + section("Socket", _directives(app, listen))


def _directives(app: App, listen: Listen) -> Lines:
    yield "ListenStream", specifier(listen.address)
    yield "FileDescriptorName", listen.name
    yield "Service", names.wake_unit(app.name)
    yield "TriggerLimitIntervalSec", "0"
    if app.spread or listen.reuse_port:
        yield "ReusePort", "yes"
    if listen.mode is not None:
        yield "SocketMode", f"{listen.mode:04o}"
    for directive, text in (("SocketUser", listen.owner), ("SocketGroup", listen.group)):
        if text:
            yield directive, text
    if listen.backlog is not None:
        yield "Backlog", str(listen.backlog)
    if listen.no_delay:
        yield "NoDelay", "yes"
    if listen.keep_alive:
        yield "KeepAlive", "yes"
    if listen.ipv6_only:
        yield "BindIPv6Only", "ipv6-only"
    if listen.address.startswith("/"):
        yield "RemoveOnStop", "yes"


def inherited(app: App, instance: str) -> list[str]:
    """The socket units of one instance, but for those that it has to itself with ``spread``; ``%i`` for any."""
    shared = [] if app.spread else units(app)
    return [*shared, names.probe_unit(app.name, instance)] if app.probed else shared


def stand_ins(app: App) -> dict[str, str]:
    """Sockets with the names of the shared ones, for an instance that is asked before it is let near any client."""
    return {
        names.probe_unit(app.name, _stand_in(index)): probe(app, _stand_in(index), names.TRIAL, one.name)
        for index, one in enumerate(app.listen)
    }


def stand_in(app: App) -> str:
    """Which of them is asked."""
    return _stand_in(app.listen.index(app.probed) if app.probed else 0)


def _stand_in(index: int) -> str:
    return f"{names.TRIAL}.{index}"


def is_tried(app: App) -> bool:
    """Whether somebody asks a new version if it is ready, which, until then, would answer clients as it likes."""
    return bool(app.listen) and app.ready.question is not None


def unit_section(inherits: Iterable[str]) -> Lines:
    """What ``[Unit]`` of an instance says: it must not start without its descriptors."""
    for unit in inherits:
        yield "Requires", unit
        yield "After", unit


def service_section(inherits: Iterable[str]) -> Lines:
    """What ``[Service]`` of an instance says."""
    for unit in inherits:
        yield "Sockets", unit


def environment(app: App) -> str:
    """What the preload needs to know: which descriptor stands for which address, and how long it may drain."""
    variables = {
        "PYSUP_LISTEN": " ".join(f"{one.name}={one.address}" for one in app.listen),
        # Node's listen() sets the backlog that all share anew.
        "PYSUP_BACKLOG": " ".join(f"{one.name}={one.backlog}" for one in app.listen if one.backlog is not None),
        # Whose server gets the connections to the instance's own socket.
        "PYSUP_PROBE": app.probed.name if app.probed else "",
        # Ends by itself before systemd has to: connections such as WebSockets never end.
        "PYSUP_DRAIN": f"{app.stop_timeout * 0.8:g}",
    }
    return " ".join(quote(f"{name}={value}") for name, value in variables.items() if value)
