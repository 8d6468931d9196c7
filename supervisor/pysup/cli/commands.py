"""The table of commands: names, aliases, one line of help, and the function to load when one is called.

A command plugs in with one row here and one function in a module of this package. The function is a plain typer
function: its parameters, annotated as in ``options.py``, are the options; its docstring is the help (an ``Examples:``
paragraph at the end is printed as it stands); what it returns is the exit code, None for 0. It raises PysupError and
never exits. A family (``box up``, ``box down``) is a ``typer.Typer()`` instead of a function. Nothing here is imported
before its command is called, so rows cost nothing: keep this module free of imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """A command; ``place`` is ``module:attribute`` below ``pysup.cli``."""

    name: str
    place: str
    help: str
    group: str


LIFE = "Run apps"
LOOK = "Look at them"
KEEP = "Keep them over reboots"
GROUND = "The ground under them"

ROWS = (
    Row("start", "start:start", "Start a script, a program, a command line, or an app that is known.", LIFE),
    Row("stop", "life:stop", "Stop apps or instances; they stay known.", LIFE),
    Row("restart", "life:restart", "Stop and start; what does not run is started.", LIFE),
    Row("reload", "reload:reload", "Replace instances, some at a time, without losing a connection.", LIFE),
    Row("init", "init:init", "Write a pysup.toml for the project that is here.", LIFE),
    Row("diff", "apply:diff", "Show what differs between a file of apps and what is there.", LIFE),
    Row("apply", "apply:apply", "Make everything as a file of apps says.", LIFE),
    Row("rollback", "revisions:rollback", "Make an app what it was before.", LIFE),
    Row("scale", "scale:scale", "Change how many instances an app has.", LIFE),
    Row("limit", "limit:limit", "Show and change what apps may use, while they run.", LIFE),
    Row("balance", "balance:balance", "Put HAProxy or nginx before the instances of an app.", LIFE),
    Row("isolate", "isolate:isolate", "Keep an app from the machine: show, try and change how.", LIFE),
    Row("delete", "life:delete", "Stop apps and forget them.", LIFE),
    Row("signal", "signal:signal", "Send a signal to instances.", LIFE),
    Row("send", "send:send", "Write a line to the standard input of instances.", LIFE),
    Row("attach", "send:attach", "Write to the standard input of an instance, and see what it says.", LIFE),
    Row("reset", "reset:reset", "Set restart counters to 0 and forget failures.", LIFE),
    Row("serve", "serve:serve", "Serve the files of a directory.", LIFE),
    Row("run", "run:run", "Run a command once, as a job of systemd's.", LIFE),
    Row("list", "listing:list_apps", "Show every instance: state, pid, uptime, CPU, memory.", LOOK),
    Row("monit", "monit:monit", "Watch apps in the terminal, and act on them.", LOOK),
    Row("top", "top:top", "Show the table again and again, with what instances use now.", LOOK),
    Row("logs", "logs:logs", "Show what apps write, and follow it.", LOOK),
    Row("events", "events:events", "Tell what happens to apps, and what happened.", LOOK),
    Row("why", "why:why", "Tell why an app ended, and what to try.", LOOK),
    Row("history", "history:history", "Draw what apps used, and when they were restarted.", LOOK),
    Row("metrics", "metrics:metrics", "Tell Prometheus what apps use, and how they are.", LOOK),
    Row("flush", "flush:flush", "Empty log files, and have logs begin anew.", LOOK),
    Row("logrotate", "flush:logrotate", "Print what logrotate needs to know of an app's log files.", LOOK),
    Row("hooks", "hooks:hooks", "Have somebody told when apps fail, restart, are given up or recover.", LOOK),
    Row("security", "security:security", "Tell how exposed apps are, and what would help most.", LOOK),
    Row("describe", "describe:describe", "Show all about an app, and why it failed.", LOOK),
    Row("revisions", "revisions:revisions", "Show what an app was, and who changed it.", LOOK),
    Row("env", "env:env", "Show the environment of an instance.", LOOK),
    Row("pid", "pid:pid", "Print process ids.", LOOK),
    Row("cat", "cat:cat", "Show the unit files of an app.", LOOK),
    Row("secret", "secret:secret", "Set, list and remove the secrets of an app.", KEEP),
    Row("save", "keep:save", "Have apps come back after a reboot.", KEEP),
    Row("unsave", "keep:unsave", "Keep apps until the next reboot only.", KEEP),
    Row("startup", "keep:startup", "Turn on what saved apps need at boot.", KEEP),
    Row("unstartup", "keep:unstartup", "Turn it off again.", KEEP),
    Row("import", "importing:import_", "Move from PM2: its files, or the apps that it runs.", KEEP),
    Row("pm2", "pm2:command", "PM2's own command line, in pysup's words.", KEEP),
    Row("schema", "schema:schema", "Print the JSON Schema of pysup.toml, for editors.", GROUND),
    Row("doctor", "doctor:doctor", "Check systemd, its parts and the apps, and say what to do.", GROUND),
    Row("box", "box:box", "A private systemd, to try things in.", GROUND),
)

TABLE = {row.name: row for row in ROWS}

# PM2's other names, and what they mean; some with an option.
ALIASES: dict[str, tuple[str, ...]] = {
    "ls": ("list",),
    "l": ("list",),
    "ps": ("list",),
    "status": ("list",),
    "jlist": ("list", "--json"),
    "del": ("delete",),
    "desc": ("describe",),
    "info": ("describe",),
    "show": ("describe",),
    "log": ("logs",),
    "sendSignal": ("signal",),
    "startOrRestart": ("restart",),
    "startOrReload": ("reload",),
    "startOrGracefulReload": ("reload",),
    "ecosystem": ("init",),
}

# What is asked so often that it must not wait for typer: these very words, and a function without parameters.
QUICK: dict[tuple[str, ...], str] = {
    ("list",): "early:table",
    ("list", "--json"): "early:json",
    ("metrics",): "scrape:quick",
    ("--version",): "version:version",
    ("-V",): "version:version",
    ("-v",): "version:version",
}

# The same for commands with some of their options: a function that gets the words behind the command's name, and
# returns None when they are more than it understands.
QUICK_WITH_OPTIONS: dict[str, str] = {
    "logs": "rawlogs:quick",
    "pm2": "pm2:quick",
    "stop": "quick:stop",
    "restart": "quick:restart",
    "reload": "quick:reload",
}


def expand(words: Sequence[str]) -> list[str]:
    """The words with an alias in the first place replaced by what it means."""
    return [*ALIASES.get(words[0], words[:1]), *words[1:]] if words else []


def load(place: str) -> object:
    """The attribute at ``module:attribute`` below this package."""
    from importlib import import_module

    module, _, attribute = place.partition(":")
    return getattr(import_module(f"pysup.cli.{module}"), attribute)
