"""Exits and results in plain words: what systemd calls them, what they usually mean, what to try."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from typing import NamedTuple

from pysup.app import App
from pysup.health import ReadyWhen
from pysup.unit import FAULTS, ActiveState, Exit, Instance


class Explanation(NamedTuple):
    """What happened, and what to try (empty when nothing needs to be)."""

    what: str
    remedy: str = ""


# Exit codes of systemd's own, before the program ran: systemd.exec(5), "Process Exit Codes".
_BEFORE_EXEC = {
    200: Explanation("its working directory could not be entered", "Check cwd, and that its user may enter it."),
    201: Explanation("its nice level could not be set", "Negative nice levels need root."),
    203: Explanation(
        "its program could not be executed", "Check that it is there and executable (ls -l), and its #! line."
    ),
    204: Explanation("there was not enough memory to start it"),
    205: Explanation("its resource limits could not be set", "Lower nofile: ulimit -Hn shows how high it may be."),
    209: Explanation("its log file could not be opened", "Check that the directory is there and may be written to."),
    214: Explanation("its CPU scheduling could not be set"),
    215: Explanation(
        "its CPU affinity could not be set", "Check the CPU numbers: pysup start with --per-core picks them."
    ),
    216: Explanation("its group could not be taken on", "Check the group: getent group."),
    217: Explanation("its user could not be taken on", "Check the user: getent passwd."),
    218: Explanation("its capabilities could not be set"),
    219: Explanation("its control group could not be set up"),
    226: Explanation("its file system view could not be set up", "Check the sandboxing directives among its extras."),
    228: Explanation("its system call filter could not be set up"),
}

_CODES = {
    126: Explanation("a command was found but could not be executed", "Check the permissions of the script."),
    127: Explanation("a command was not found", "Name it with its whole path. The PATH that it has: pysup env."),
    137: Explanation("its process was killed by SIGKILL inside", "Often memory: look for OOM in dmesg."),
}

_SIGNALS = {
    "SIGKILL": "killed outright: by hand, by the memory limit, or because it did not stop in time",
    "SIGSEGV": "it used memory that was not its own: a bug in it or in a native module",
    "SIGABRT": "it gave itself up (abort), or the watchdog ended it",
    "SIGBUS": "it used memory that is not there: often a file that was shortened",
    "SIGILL": "it came to a machine instruction that this CPU does not have",
    "SIGSYS": "it made a system call that its sandbox forbids",
    "SIGTERM": "somebody asked it to end",
    "SIGINT": "somebody interrupted it",
    "SIGHUP": "its terminal went away, or somebody asked it to read its configuration again",
    "SIGPIPE": "it wrote to somebody who no longer reads",
}

_SIGNAL_REMEDIES = {
    "SIGKILL": "Memory? Compare its limit with its use (pysup describe), and look for OOM: journalctl --dmesg.",
    "SIGSEGV": "Its stack: coredumpctl info (package systemd-coredump). Then update its native modules.",
    "SIGABRT": "Its own last lines say why: pysup logs --err. Node does this when its heap is full.",
    "SIGILL": "It was built for another CPU: build or install it here.",
    "SIGSYS": "Look at SystemCallFilter= among its extra directives.",
}

# What interpreters mean by exit codes of theirs: nodejs.org/api/process.html, docs.python.org/3/using/cmdline.html.
_BY_PROGRAM = {
    "node": {
        1: Explanation("an error that it does not catch", "Its stack is among its last lines: pysup logs --err."),
        3: Explanation("Node could not parse it"),
        5: Explanation("V8 gave up, most often for want of memory", "Give its heap more: --max-old-space-size=MB."),
        9: Explanation("Node does not know one of its options", "Check --interpreter-args, and node --version."),
        13: Explanation("a top-level await never came to its end"),
    },
    "python": {
        1: Explanation("an exception that it does not catch", "Its traceback is in its last lines: pysup logs --err."),
        2: Explanation("wrong arguments, or a script that Python cannot open"),
    },
}

_TAKEN = "its port is taken"
_TAKE_OVER = "It must take that socket over (docs/sockets.md), or have a port of its own: --port, not --listen."

# What last lines say, in many languages, and what to try.
_SAID = (
    (
        r"EADDRINUSE|[Aa]ddress (is )?already in use",
        _TAKEN,
        "See by whom: ss -ltnp. Two apps? pysup doctor.",
    ),
    (
        r"EACCES.*(:\d+|listen)|Permission denied.*\bbind",
        "it may not use its port",
        "Ports below 1024 are root's: take a higher one.",
    ),
    (r"Cannot find (module|package) '([^']+)'", "a Node module is missing", "In its directory: npm install."),
    (
        r"ModuleNotFoundError|No module named",
        "a Python module is missing",
        "Has its directory a .venv? Then: .venv/bin/pip install …",
    ),
    (r"ENOSPC|No space left on device", "the disk is full", "See where: df -h."),
    (r"EMFILE|Too many open files", "it may not open more files", "Raise --nofile."),
    (
        r"heap out of memory|MemoryError|Cannot allocate memory|std::bad_alloc",
        "it had no more memory",
        "Raise --memory-max, or find the leak.",
    ),
    (
        r"ECONNREFUSED|Connection refused",
        "what it connects to does not answer",
        "Is that running? Name it: --requires UNIT.",
    ),
    (
        r"EACCES|EPERM|Permission denied|Operation not permitted",
        "it may not do what it tried",
        "Check owner and mode of the file it names: ls -l.",
    ),
    (
        r"ENOENT|No such file or directory",
        "a file that it wants is not there",
        "Relative paths begin at its cwd: pysup describe shows it.",
    ),
)

_RESULTS = {
    "timeout": Explanation("it was not ready, or did not end, in time", "Give it longer, or look what it waits for."),
    "start-limit-hit": Explanation(
        "it ended so often in so short a time that systemd gave up", "Its own last lines say why: pysup logs --err."
    ),
    "oom-kill": Explanation("the kernel killed it for want of memory", "Raise --memory-max, or find the leak."),
    "watchdog": Explanation(
        "it no longer showed that it lives, and the watchdog ended it",
        "Is its event loop blocked, or does it wait for something? Longer: --watchdog-timeout, --watchdog-failures.",
    ),
    "protocol": Explanation("it ended before it said READY=1", "Has it sd_notify? Else use --ready tcp or http."),
    "resources": Explanation("systemd could not set it up", "See systemd's own words: pysup logs."),
    "dependency": Explanation("something that it requires could not be started", "See which: pysup describe."),
}

# What probe/ask.py begins its lines with.
NOT_READY_SAYS, WATCHDOG_SAYS = "not ready: ", "watchdog: "

_NOT_READY = {
    ReadyWhen.NOTIFY: Explanation("it did not say READY=1", "Does it speak sd_notify? Else use --ready tcp or http."),
    ReadyWhen.SEND: Explanation(
        "it did not call process.send('ready')", "Does it, once it serves? Else use --ready notify: when it listens."
    ),
}


def exit_words(end: Exit) -> str:
    """``exit code 1`` or ``signal SIGKILL``."""
    if end.signal is not None:
        return f"signal {signal_name(end.signal)}" + (" (core dumped)" if end.dumped else "")
    return f"exit code {end.code}"


def is_fault(end: Exit) -> bool:
    """Whether a program brought its end upon itself by a signal that leaves a core dump."""
    return end.signal in FAULTS


def said(lines: Sequence[str]) -> Explanation | None:
    """What a program's last lines give away, the newest first; None if nothing that is known."""
    for line in reversed(lines):
        for pattern, what, remedy in _SAID:
            if re.search(pattern, line):
                return Explanation(what, remedy)
    return None


def before_exec(code: int | None) -> Explanation | None:
    """What it means if systemd itself gave this exit code, because it could not execute the program."""
    return _BEFORE_EXEC.get(code or 0)


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def explain(instance: Instance, app: App | None = None) -> Explanation | None:
    """Why an instance is not running, or None if it is, or was stopped on purpose."""
    if instance.is_up or (instance.active_state is ActiveState.INACTIVE and instance.result == "success"):
        return None
    gave_up = _has_given_up(instance, app)
    by_result = _RESULTS.get("start-limit-hit" if gave_up else instance.result)
    if instance.result == "oom-kill" and not gave_up and (told := _hard_limit(app, instance)):
        return told
    end = _of_exit(instance.last_exit, app) if instance.last_exit else None
    if instance.result == "success" and end is None:
        return None  # it is being started again, and systemd has forgotten how it ended
    if instance.result == "timeout" and not gave_up and instance.last_exit and instance.last_exit.signal is not None:
        return by_result  # the signal was systemd's own
    if by_result and end and (gave_up or instance.result in ("start-limit-hit", "timeout", "protocol")):
        return Explanation(f"{by_result.what}; last: {end.what}", end.remedy or by_result.remedy)
    return by_result or end or Explanation(f"systemd says: {instance.result}")


def conclude(instance: Instance, app: App | None, lines: Sequence[str]) -> Explanation | None:
    """The same; what its last lines give away tells best what to try."""
    why = _questioned(instance, app, lines)
    if why:
        return why
    why, own = explain(instance, app), said(lines)
    if own and own.what == _TAKEN and app and app.listen:
        own = Explanation(f"{own.what}: by systemd, which holds it for the app", _TAKE_OVER)
    return Explanation(f"{why.what}; it said that {own.what}", own.remedy) if why and own else why


def _hard_limit(app: App | None, instance: Instance) -> Explanation | None:
    """That it was killed at the limit that stands above ``memory_restart``."""
    if app is None or app.memory_restart is None:
        return None
    from pysup import companions  # not for every list

    hard = companions.limits(app, instance.name.number).memory_max or 2 * app.memory_restart
    return Explanation(
        f"the kernel killed it at its hard limit of {hard >> 20}M of memory; at {app.memory_restart >> 20}M it would "
        "have been restarted, but it grew too fast for that",
        "Raise --memory-max, or find what takes so much at once.",
    )


def _questioned(instance: Instance, app: App | None, lines: Sequence[str]) -> Explanation | None:
    """What those found who asked it whether it is ready, or lives; or that it did not say that it is ready."""
    if app is None or (why := explain(instance, app)) is None:
        return None
    if instance.result == "watchdog":
        found = _last(WATCHDOG_SAYS, lines)
        return Explanation(f"{why.what}: {found}", why.remedy) if found else None
    if instance.result != "timeout":
        return None
    found = _last(NOT_READY_SAYS, lines) if app.ready.question else ""
    in_time = f"it was not ready within {app.ready.timeout:g} s"
    if found:
        return Explanation(f"{in_time}: {found}", "See what it answers: curl -i. Longer: --ready-timeout.")
    untold = _NOT_READY.get(app.ready.when)
    # systemd's SIGKILL ends what does not stop in time, ready or not.
    killed = instance.last_exit and instance.last_exit.signal == signal.SIGKILL
    return Explanation(f"{in_time}: {untold.what}", untold.remedy) if untold and not killed else None


def _last(beginning: str, lines: Sequence[str]) -> str:
    """The rest of the newest line that begins so; empty if none does."""
    return next((line.removeprefix(beginning) for line in reversed(lines) if line.startswith(beginning)), "")


def _has_given_up(instance: Instance, app: App | None) -> bool:
    """Whether systemd tried as often as it may; 252 keeps the last exit as the result then, so its counter must tell.

    An app also fails for good after a few restarts when it is stopped, or ends as it must not be started again.
    """
    if instance.active_state is not ActiveState.FAILED or not instance.restarts:
        return False
    return app is None or 0 < app.restart_limit <= instance.restarts + 1


def _of_exit(end: Exit, app: App | None) -> Explanation:
    words = exit_words(end)
    if end.signal is not None:
        meaning = _SIGNALS.get(signal_name(end.signal))
        remedy = _SIGNAL_REMEDIES.get(signal_name(end.signal), "")
        return Explanation(f"{words}: {meaning}" if meaning else words, remedy)
    known = _BEFORE_EXEC.get(end.code or 0) or _CODES.get(end.code or 0) or _of_program(end.code or 0, app)
    if known:
        return Explanation(f"{words}: {known.what}", known.remedy)
    if end.code == 0:
        ends = (
            "" if app is None or app.restart.value in ("always", "on-success") else f" (restart is {app.restart.value})"
        )
        return Explanation(
            f"it ended by itself, with {words}{ends}", "A server must stay in the foreground: no daemonizing."
        )
    return Explanation(words, "Its own last lines say why: pysup logs --err.")


def _of_program(code: int, app: App | None) -> Explanation | None:
    """What the app's interpreter means by an exit code; or a shell, by 128 and a signal."""
    program = (app.interpreter or app.command)[0].rpartition("/")[2] if app else ""
    for name, meanings in _BY_PROGRAM.items():
        if program.rstrip("0123456789.") == name and code in meanings:
            return meanings[code]
    name = signal_name(code - 128)
    if code > 128 and name in _SIGNALS:
        return Explanation(f"something in it was ended by {name}: {_SIGNALS[name]}", _SIGNAL_REMEDIES.get(name, ""))
    return None
