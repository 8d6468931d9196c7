"""``pysup pm2 …``: PM2's command line, told in pysup's words on stderr, and done by them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from pysup.cli import options, output
from pysup.cli.frame import Command
from pysup.cli.pm2 import apps
from pysup.cli.pm2.targets import are_known, is_file, selectors
from pysup.cli.pm2.verbs import ABSENT, NEEDLESS, SAME, WITHOUT_TARGETS
from pysup.convert import flags
from pysup.convert.flags import Line
from pysup.convert.shapes import nearest
from pysup.errors import SpecError

command = typer.Typer()

_SORTS = {"id": "instance", "status": "state", "name": "name", "pid": "pid", "cpu": "cpu", "memory": "memory"}
_SORTS |= {"uptime": "uptime", "namespace": "name"}


def quick(words: Sequence[str]) -> int | None:
    """Do what ``pm2 WORDS`` asks for, without typer, which does not know PM2's options; None if help is wanted."""
    return None if not words or words[0] in ("-h", "--help") else run(words)


@command.command(cls=Command, context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def _pm2(words: Annotated[list[str], typer.Argument(metavar="COMMAND…", show_default=False)]) -> int:
    """Take PM2's commands and options, tell pysup's for them on stderr, and do those.

    Targets are names, namespaces, all, /regex/, files, and the numbers that pm2 jlist gives. docs/from-pm2.md tells
    of each command.

    Examples:
      pysup pm2 start app.js -i max --name web
      pysup pm2 restart all --update-env
      pysup pm2 logs web --lines 50 --nostream
      pysup pm2 jlist | jq '.[].pm2_env.status'
    """
    return run(words)


def run(words: Sequence[str]) -> int:
    """Do what ``pm2 WORDS`` asks for; the exit code."""
    line = flags.parse(words)
    if line.options.pop("color", True) is False:
        os.environ["NO_COLOR"] = "1"
    if line.options.pop("version", False):
        return _do(["--version"])
    if not line.command or line.options.pop("help", False):
        return _do(["pm2", "--help"], tell=False)
    if line.options.pop("silent", False):
        output.give_up()
    if line.command in NEEDLESS:
        output.note(f"pm2 {line.command}: {NEEDLESS[line.command]}")
        return 0
    if why := ABSENT.get(line.command):
        raise SpecError(f"pm2 {line.command} is not there", hint=f"{why[:1].upper()}{why[1:]}.")
    special = _SPECIAL.get(line.command)
    if special:
        return special(line)
    if line.command not in SAME:
        near = nearest(line.command, [*SAME, *_SPECIAL])
        raise SpecError(
            f"pm2 has no command {line.command!r}", hint=f"Did you mean {near!r}?" if near else "pysup --help"
        )
    return _same(line)


def _do(words: list[str], *, tell: bool = True) -> int:
    """Carry out a command of pysup's, and tell it."""
    from pysup.cli import _dispatch

    if options.before_the_command is not None:
        words = ["--user" if options.before_the_command else "--system", *words]
    if tell:
        output.note(f"In pysup's words: pysup {shlex.join(words)}")
    return _dispatch(words)


def _same(line: Line) -> int:
    verb, *fixed = SAME[line.command]
    words = [verb, *fixed]
    if verb == "restart" and line.options and not any(map(is_file, line.targets)):
        changed = apps.changes(line)
        if changed:
            return _do(["start", *selectors(line.targets), *changed, "--force"])
    if not fixed and verb not in WITHOUT_TARGETS:
        words += selectors(line.targets)
    for option in ("only", "env", "parallel"):
        if line.options.get(option) and verb in ("restart", "reload", "stop", "delete", "start"):
            words += [f"--{option}", str(line.options[option])]
    if line.options.get("sort") and verb == "list":
        field, colon, way = str(line.options["sort"]).partition(":")
        words += ["--sort", _SORTS.get(field, field) + colon + way]
    if verb in ("stop", "delete", "restart", "reload", "describe", "env", "reset") and not (fixed or line.targets):
        raise SpecError(f"pm2 {line.command} needs a target", hint=f"Name an app, or type: pysup {verb} all")
    code = _do(words)
    if verb == "startup":
        output.note("What runs now comes back once it is saved: pysup save")
    return code


def _serve(line: Line) -> int:
    """PM2 serves to pages of any origin."""
    unknown = [key for key in line.options if key not in ("name", "spa", "ftp", "port")]
    if unknown:
        hint = (
            "pysup serve --basic-auth env:NAME takes user:password." if "basic" in unknown[0] else "pysup serve --help"
        )
        raise SpecError(f"--{unknown[0].replace('_', '-')} is not there", hint=hint)
    path, port = (*line.targets, *[""] * 2)[:2]
    options = {**({"port": port} if port else {}), **line.options, "cors": True}
    return _do(["serve", *([path] if path else []), *(word for key in options for word in _word(key, options[key]))])


def _word(key: str, value: object) -> list[str]:
    option = "--" + key.replace("_", "-")
    return [option] if value is True else [option, str(value)]


def _start(line: Line) -> int:
    targets = line.targets or ["ecosystem.config.js"]
    if any(map(is_file, targets)):
        chosen = [word for key in ("only", "env") if key in line.options for word in _word(key, line.options[key])]
        left = sorted(set(line.options) - {"only", "env", "update_env", "force", "attach", "daemon"})
        if left:
            output.warn(f"--{left[0].replace('_', '-')} is for scripts; say it in {targets[0]}")
        return _attached(line, _do(["start", *targets, *chosen, "--force"]))
    if not line.options.get("force") and are_known(targets):
        changed = apps.changes(line)
        words = ["start", *selectors(targets), *changed, "--force"] if changed else ["restart", *selectors(targets)]
        return _attached(line, _do(words))
    codes = [_do(apps.script(line, target)) for target in targets]
    return _attached(line, max(codes))


def _attached(line: Line, code: int) -> int:
    return code if code or not line.options.get("attach") else _do(["logs", *selectors(line.targets)])


def _logs(line: Line) -> int:
    words = ["logs", *(selectors(line.targets) if line.targets else [])]
    for option, native in (("err", "--err"), ("out", "--out"), ("raw", "--raw"), ("json", "--json")):
        if line.options.get(option):
            words.append(native)
    if line.options.get("nostream"):
        words.append("--no-follow")
    if "lines" in line.options:
        words += ["--lines", str(line.options["lines"])]
    if line.options.get("format"):
        words += ["--format", "logfmt"]
    elif line.options.get("timestamp"):
        words += ["--format", "time"]
    if line.options.get("highlight"):
        output.note("--highlight: pysup logs --grep shows just the lines in which a word is")
    return _do(words)


def _scale(line: Line) -> int:
    match line.targets:
        case [name, count]:
            return _do(["scale", name, count])
        case _:
            raise SpecError("pm2 scale needs an app and a number", hint="pysup scale web 4")


def _signal(line: Line) -> int:
    match line.targets:
        case [name, *targets] if targets:
            return _do(["signal", name, *selectors(targets)])
        case _:
            raise SpecError("pm2 sendSignal needs a signal and a target", hint="pysup signal HUP web")


def _one(verb: str) -> Callable[[Line], int]:
    """``send`` and ``attach``: one target, and words that are not."""

    def do(line: Line) -> int:
        if not line.targets:
            raise SpecError(f"pm2 {verb} needs a target", hint=f"pysup {verb} web")
        return _do([verb, *selectors(line.targets[:1]), *line.targets[1:]])

    return do


def _pid(line: Line) -> int:
    return _do(["pid", *selectors(line.targets or ["all"])])


def _id(line: Line) -> int:
    from pysup.cli.pm2 import jlist

    wanted = line.targets[:1]
    numbers = [index for index, (name, _, _) in enumerate(jlist.rows()) if name in wanted]
    output.note("In pysup's words, instances are web@0, web@1: pysup list")
    output.echo(f"[ {', '.join(map(str, numbers))} ]" if numbers else "[]")
    return 0


def _jlist(line: Line) -> int:
    from pysup.cli.pm2 import jlist

    output.note("In pysup's words: pysup list --json")
    jlist.show(indent=2 if line.command == "prettylist" else None)
    return 0


def _ping(_: Line) -> int:
    output.echo("pong")
    return 0


_SPECIAL: Mapping[str, Callable[[Line], int]] = {
    "start": _start,
    "logs": _logs,
    "log": _logs,
    "scale": _scale,
    "sendSignal": _signal,
    "send": _one("send"),
    "attach": _one("attach"),
    "pid": _pid,
    "serve": _serve,
    "expose": _serve,
    "id": _id,
    "jlist": _jlist,
    "prettylist": _jlist,
    "ping": _ping,
}
