"""``pysup pm2 …``: PM2's command line, told in pysup's words on stderr, and done by them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pysup.cli import options, output
from pysup.cli.frame import Command
from pysup.convert import flags
from pysup.convert.flags import Line
from pysup.convert.shapes import nearest
from pysup.errors import NotFound, SpecError

command = typer.Typer()

_SAME = {
    **dict.fromkeys(("list", "ls", "l", "ps", "status"), ("list",)),
    **dict.fromkeys(("describe", "desc", "info", "show"), ("describe",)),
    **dict.fromkeys(("delete", "del"), ("delete",)),
    **dict.fromkeys(("monit", "imonit", "dashboard", "dash"), ("monit",)),
    **dict.fromkeys(("startOrRestart", "startOrGracefulReload", "startOrReload"), ("reload",)),
    **dict.fromkeys(("ecosystem", "init"), ("init",)),
    **dict.fromkeys(("dump", "save"), ("save",)),
    **{
        name: (name,)
        for name in ("stop", "restart", "reload", "reset", "env", "startup", "unstartup", "flush", "logrotate")
    },
    "startOrRestart": ("restart",),
    "cleardump": ("unsave", "all"),
    "kill": ("stop", "all"),
    "resurrect": ("start", "all"),
    "report": ("doctor",),
}
"""Commands that are one of pysup's, with its targets."""

_WITHOUT_TARGETS = ("list", "monit", "init", "startup", "unstartup", "save", "logrotate", "doctor")

_NEEDLESS = {
    "update": "there is no daemon to update",
    "updatePM2": "there is no daemon to update",
    "deepUpdate": "there is no daemon to update: pip install --upgrade pysup-systemd",
    "reloadLogs": "the journal is rotated by journald, and log files are opened anew at each start",
}

_MODULES = "there are no modules: rotation, metrics and watching are systemd's"
_PLUS = "PM2 Plus is a service of its makers'; pysup list --json and the journal are what there is to be read"
_ACTIONS = "nothing of pysup runs inside programs; send a signal (pysup signal), or a line (pysup send)"
_GIT = "run git in the directory, then: pysup reload APP"
_STORE = "there is no store of settings; apps have theirs by options and files"
_ABSENT = {
    **dict.fromkeys(("install", "uninstall", "publish", "package", "module:install", "module:uninstall"), _MODULES),
    **dict.fromkeys(
        ("module:update", "module:generate", "module:publish", "create", "examples", "autoinstall"), _MODULES
    ),
    **dict.fromkeys(("link", "unlink", "monitor", "unmonitor", "open", "plus", "register", "login", "logout"), _PLUS),
    **dict.fromkeys(("trigger", "inspect", "profile:cpu", "profile:mem"), _ACTIONS),
    **dict.fromkeys(("pull", "forward", "backward"), _GIT),
    **dict.fromkeys(("set", "multiset", "get", "conf", "config", "unset"), _STORE),
    **dict.fromkeys(("install-otel", "uninstall-otel"), "add OpenTelemetry's own package to the program"),
    **dict.fromkeys(("slist", "sysinfos"), "the machine's own tools tell that: top, vmstat, systemd-cgtop"),
    "deploy": "there is none; copy the program there, then run pysup reload",
}

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
    if line.command in _NEEDLESS:
        output.note(f"pm2 {line.command}: {_NEEDLESS[line.command]}")
        return 0
    if why := _ABSENT.get(line.command):
        raise SpecError(f"pm2 {line.command} is not there", hint=f"{why[:1].upper()}{why[1:]}.")
    special = _SPECIAL.get(line.command)
    if special:
        return special(line)
    if line.command not in _SAME:
        near = nearest(line.command, [*_SAME, *_SPECIAL])
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
    verb, *fixed = _SAME[line.command]
    words = [verb, *fixed]
    if verb == "restart" and line.options and not any(map(_is_file, line.targets)):
        changed = _changes(line)
        if changed:
            return _do(["start", *_targets(line.targets), *changed, "--force"])
    if not fixed and verb not in _WITHOUT_TARGETS:
        words += _targets(line.targets)
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
    if any(map(_is_file, targets)):
        chosen = [word for key in ("only", "env") if key in line.options for word in _word(key, line.options[key])]
        left = sorted(set(line.options) - {"only", "env", "update_env", "force", "attach", "daemon"})
        if left:
            output.warn(f"--{left[0].replace('_', '-')} is for scripts; say it in {targets[0]}")
        return _attached(line, _do(["start", *targets, *chosen, "--force"]))
    if not line.options.get("force") and _are_known(targets):
        changed = _changes(line)
        words = ["start", *_targets(targets), *changed, "--force"] if changed else ["restart", *_targets(targets)]
        return _attached(line, _do(words))
    codes = [_do(_script(line, target)) for target in targets]
    return _attached(line, max(codes))


def _attached(line: Line, code: int) -> int:
    return code if code or not line.options.get("attach") else _do(["logs", *_targets(line.targets)])


def _script(line: Line, target: str) -> list[str]:
    """The words that start a script as PM2's options say."""
    from pysup.convert import words

    app = {**_keys(line), "script": target}
    if line.arguments:
        app["args"] = line.arguments
    name, wanted = _converted(app)
    cwd = str(Path.cwd())
    env = wanted.get("env", {})
    passed = [key for key in _shell() if key not in env and key != wanted.get("instance_var")]
    native = words.start(name, wanted, cwd=cwd)
    at = native.index("--") if "--" in native else len(native)
    return [*native[:at], *(["--pass-env", ",".join(passed)] if passed else []), *native[at:]]


def _changes(line: Line) -> list[str]:
    """Options for an app that is known."""
    from pysup.convert import words

    keys = _keys(line)
    passed = ["--pass-env", ",".join(_shell())] if line.options.get("update_env") and _shell() else []
    if not keys:
        return passed
    _, wanted = _converted({**keys, "script": "true"})
    usual = ("cwd", "stop_signal", "command", *(["env"] if "env" in wanted and "port" not in keys else []))
    return [*words.options({key: value for key, value in wanted.items() if key not in usual}), *passed]


def _keys(line: Line) -> dict[str, Any]:
    """The options as a file would have them."""
    keys = dict(line.options)
    delay = flags.watch_delay(keys)
    if delay is not None:
        keys["watch_delay"] = delay
    if keys.pop("execute_command", False):
        keys.setdefault("exec_mode", "fork")
    if isinstance(keys.get("user"), str):
        keys.setdefault("uid", keys["user"])
    for gone in ("update_env", "force", "attach", "daemon", "only", "env", "user", "write", "parallel", "ext", "hp"):
        if keys.pop(gone, None) not in (None, False, True) and gone == "ext":
            output.warn("--ext is not there: name what is ignored, --ignore-watch '*.log'")
    return keys


def _converted(app: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """An app's name and keys; what is lost is told."""
    from pysup.convert import pm2
    from pysup.convert.draft import Kind

    port = {"env": {"PORT": os.environ["PORT"]}} if "PORT" in os.environ else {}
    here = Path.cwd()
    made = pm2.convert({**port, **app}, file=here / "pm2", cwd=here)
    for note in made.notes:
        if note.kind is Kind.REFUSED:
            output.warn(f"{note.key}: {note.text}")
    ((name, wanted),) = made.document["apps"].items()
    return name, wanted


def _shell() -> list[str]:
    """The variables that PM2 would hand on, without those of the session; pysup hands on what is named."""
    from pysup.convert import dump

    return sorted(set(dump.captured({"env": dict(os.environ)})) - {"PATH", "PORT"})


def _is_file(target: str) -> bool:
    from pysup.files import readers

    return readers.is_file(target)


def _are_known(targets: Sequence[str]) -> bool:
    try:
        return bool(_targets(targets)) and all(not Path(target).is_file() for target in targets)
    except NotFound:
        return False


def _targets(targets: Sequence[str]) -> list[str]:
    """PM2's targets as selectors: names, namespaces, numbers of its list, ``/regex/``, files."""
    if all(target == "all" or _is_file(target) for target in targets):
        return list(targets)
    from pysup.cli import pm2list

    rows = pm2list.rows()
    return [selector for target in targets for selector in _selectors(target, rows)]


def _selectors(target: str, rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """*rows* have the name, the namespace and the selector of each instance, in the order of their numbers."""
    names = dict.fromkeys(name for name, _, _ in rows)
    if target == "all" or target in names or _is_file(target):
        return [target]
    if len(target) > 1 and target.startswith("/") and target.endswith("/"):
        pattern = _regex(target[1:-1])
        found = [name for name in names if pattern.search(name)]
    elif any(namespace == target for _, namespace, _ in rows):
        found = [f"{target}/"]
    elif target.isdigit() and int(target) < len(rows):
        found = [rows[int(target)][2]]
    else:
        found = []
    if not found:
        raise NotFound(f"there is no app, namespace or number {target!r}", hint="pysup list shows what there is.")
    return found


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as exc:
        raise SpecError(f"/{text}/ is no regular expression: {exc}", hint="Quote it for the shell.") from exc


def _logs(line: Line) -> int:
    words = ["logs", *(_targets(line.targets) if line.targets else [])]
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
            return _do(["signal", name, *_targets(targets)])
        case _:
            raise SpecError("pm2 sendSignal needs a signal and a target", hint="pysup signal HUP web")


def _one(verb: str) -> Callable[[Line], int]:
    """``send`` and ``attach``: one target, and words that are not."""

    def do(line: Line) -> int:
        if not line.targets:
            raise SpecError(f"pm2 {verb} needs a target", hint=f"pysup {verb} web")
        return _do([verb, *_targets(line.targets[:1]), *line.targets[1:]])

    return do


def _pid(line: Line) -> int:
    return _do(["pid", *_targets(line.targets or ["all"])])


def _id(line: Line) -> int:
    from pysup.cli import pm2list

    wanted = line.targets[:1]
    numbers = [index for index, (name, _, _) in enumerate(pm2list.rows()) if name in wanted]
    output.note("In pysup's words, instances are web@0, web@1: pysup list")
    output.echo(f"[ {', '.join(map(str, numbers))} ]" if numbers else "[]")
    return 0


def _jlist(line: Line) -> int:
    from pysup.cli import pm2list

    output.note("In pysup's words: pysup list --json")
    pm2list.show(indent=2 if line.command == "prettylist" else None)
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
