"""From what a user typed after ``pysup start`` to the argument vector that systemd executes.

What was typed arrives byte for byte; only the program is made absolute, by the PATH and the directory of the caller,
because systemd knows neither.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pysup.errors import SpecError
from pysup.host import commandline, interpreters, shebang
from pysup.host.interpreters import Search

NONE = "none"  # as an interpreter: execute the file itself

_NESTING = 4  # how deep scripts may interpret scripts: execve(2)
_ENTRIES = ("index.js", "main.py", "app.js", "app.py", "server.js", "server.py", "main.js", "__main__.py")
_INTERPRETERS = frozenset(program for programs in interpreters.BY_EXTENSION.values() for program in programs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A command that can be executed from anywhere: ``interpreter + command`` is the vector.

    ``name`` is what to call the app if the user does not say; ``note`` is something worth telling them, or empty.
    """

    command: tuple[str, ...]
    interpreter: tuple[str, ...] = ()
    name: str
    cwd: str
    note: str = ""


def resolve(
    target: str,
    args: Sequence[str] = (),
    *,
    cwd: str | Path,
    path: str,
    interpreter: str | None = None,
    interpreter_args: Sequence[str] = (),
) -> Resolved:
    """Find out what *target* is: a script, a program (by path or on *path*), or a command line.

    A word that names a file in *cwd* is that file; in a command line, as in a shell, programs on *path* come first.
    Raises SpecError, with what to do, if it cannot be run.
    """
    search = Search(cwd=_directory(cwd), path=path)
    words = _words(target, search)
    if words is None:
        return _in_shell(target, args, search, interpreter)
    file = _find(words[0], target, search)
    before = _interpreter(file, search, interpreter)
    if interpreter_args and not before:
        before = _explicit(file, search)
    return Resolved(
        command=(str(file), *words[1:], *args),
        interpreter=(*before, *interpreter_args),
        name=suggest_name([file.name, *words[1:], *args]),
        cwd=str(search.cwd),
    )


def suggest_name(words: Sequence[str]) -> str:
    """A valid name for an app from its command's words: ``node src/web.js`` is ``web``, ``über.js`` is ``uber``."""
    found = Path(words[0]).name
    if found in _INTERPRETERS or interpreters.is_python(found):
        module = words.index("-m") + 1 if "-m" in words else len(words)
        scripts = [word for word in words if interpreters.extension(word)]
        found = words[module] if module < len(words) else Path((scripts or [found])[0]).name
    if interpreters.extension(found):
        found = Path(found).stem
    if not found.isascii():
        import unicodedata  # few names need it

        found = "".join(char for char in unicodedata.normalize("NFKD", found) if not unicodedata.combining(char))
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", found).lstrip("-._")[:64].rstrip("-._") or "app"


def _directory(cwd: str | Path) -> Path:
    found = Path(cwd).absolute()
    if not stat.S_ISDIR(_mode(found)):
        raise SpecError(
            f"there is no directory {str(found)!r}",
            hint=f"Make it (mkdir -p {shlex.quote(str(found))}), or name another.",
        )
    if not os.access(found, os.X_OK):
        raise SpecError(
            f"directory {str(found)!r} may not be entered by the user who asks",
            hint="Go to one of your own first (cd), or name it.",
        )
    return found.resolve() if ".." in found.parts else found


def _words(target: str, search: Search) -> list[str] | None:
    """The words of a target; None for a line that needs a shell."""
    if "\0" in target:
        raise SpecError("the command has a NUL byte in it", hint="No process can be given one; take it out.")
    if target and os.path.lexists(search.absolute(target)):
        return [target]
    words = commandline.split(target)
    if words is not None and not (words and words[0]):
        raise SpecError("the command is empty", hint="Name a script, a program or a command line.")
    return words


def _in_shell(line: str, args: Sequence[str], search: Search, interpreter: str | None) -> Resolved:
    if interpreter is not None:
        raise SpecError(
            f"command line {line!r} needs a shell, so it cannot have the interpreter {interpreter!r}",
            hint="Write the interpreter into the line, or name a script.",
        )
    if args:
        raise SpecError(
            f"command line {line!r} needs a shell, so arguments after -- have no place in it",
            hint="Write them into the line.",
        )
    return Resolved(
        command=("/bin/sh", "-c", line),
        name=_name_of_line(line),
        cwd=str(search.cwd),
        note="It runs in /bin/sh. Write 'exec' before its last program, and no shell stays between systemd and it.",
    )


def _name_of_line(line: str) -> str:
    """The last of its commands is the one that stays; what is no plain word of it says nothing."""
    last = re.split(r"&&|[;\n]", line.strip(" \t\n;"))[-1]
    words = [word for word in re.split(r"[\s|&<>()]+", last) if word and not re.search(r"[=$`'\"*?\[]", word)]
    return suggest_name([word for word in words if word not in commandline.BUILTINS] or ["sh"])


def _find(word: str, target: str, search: Search) -> Path:
    """The file that a first word means."""
    on_path = None if "/" in word else search.program(word)
    if on_path and word != target and not interpreters.extension(word):
        return on_path
    file = search.absolute(word)
    mode = _mode(file)
    if stat.S_ISREG(mode):
        return file
    if on_path:
        return on_path
    if not mode:
        raise _not_found(word, target, search)
    if stat.S_ISDIR(mode):
        raise _is_directory(word, file)
    raise SpecError(f"{word!r} is not a regular file", hint="Name a script or a program.")


def _mode(file: Path) -> int:
    """Its type and rights, 0 if there is no such file."""
    try:
        return file.stat().st_mode
    except OSError as exc:
        if isinstance(exc, (FileNotFoundError, NotADirectoryError)) and not os.path.lexists(file):
            return 0
        target = f", a link to {str(file.readlink())!r}," if os.path.lexists(file) else ""
        raise SpecError(
            f"{str(file)!r}{target} cannot be reached: {exc.strerror}", hint="Mend the path, or its rights."
        ) from exc


def _interpreter(file: Path, search: Search, wanted: str | None) -> tuple[str, ...]:
    """What stands before *file*: what the user wanted, or else what the file asks for."""
    if wanted is None:
        return _run_by(file, search)
    if wanted == NONE:
        return ()
    program = search.program(wanted)
    if program is None:
        where = "there" if "/" in wanted else "on PATH"
        raise SpecError(
            f"interpreter {wanted!r} is not {where}, or not executable",
            hint="Install it, or give its whole path; --interpreter none executes the file itself.",
        )
    return _vector(program, search)


def _run_by(file: Path, search: Search, depth: int = 0) -> tuple[str, ...]:
    """The vector that must stand before *file*; empty if it can be executed itself."""
    is_executable = os.access(file, os.X_OK)
    head = _head(file, is_executable=is_executable)
    line = shebang.parse(head, file)
    kind = interpreters.extension(file)
    if line:
        if is_executable and not line.is_env and line.interpreter.startswith("/") and search.program(line.interpreter):
            return ()
        found = _asked_for(line, file, search, depth)
        if found:
            return found
        if not kind:
            raise _no_interpreter(line, file)
    if kind:
        if kind == ".sh" and b"\r\n" in head:
            raise shebang.windows_line_endings(file)
        return _vector(interpreters.for_extension(file, search), search, depth)
    _require_program(file, head, is_executable=is_executable)
    return ()


def _require_program(file: Path, head: bytes, *, is_executable: bool) -> None:
    """Raise SpecError for a file without a shebang or a known extension, unless it looks like a program."""
    if not is_executable:
        raise SpecError(
            f"{str(file)!r} is not executable, and its name does not tell what runs it",
            hint=f"If it is a program: chmod +x {shlex.quote(str(file))}. "
            "If not, name its interpreter: --interpreter python3.",
        )
    if not head and os.access(file, os.R_OK):
        raise SpecError(f"{str(file)!r} is empty", hint="Write the program into it.")
    if head and b"\0" not in head:
        raise SpecError(
            f"{str(file)!r} is a text without a first line that says what runs it",
            hint="Begin it with a line such as #!/bin/sh, or name its interpreter: --interpreter sh.",
        )


def _asked_for(line: shebang.Shebang, file: Path, search: Search, depth: int = 0) -> tuple[str, ...]:
    """The vector that a script's first line asks for; empty if its program is not installed."""
    before, name, after = line.parts(file)
    program = search.program(name)
    if interpreters.is_python(name):
        program = search.venv_python(file) or program
    return (*before, *_vector(program, search, depth), *after) if program else ()


def _vector(program: Path, search: Search, depth: int = 0) -> tuple[str, ...]:
    """A program as the beginning of a vector: one that is itself a script for env (tsx, npm …) with what runs it."""
    if depth >= _NESTING:
        raise SpecError(f"{str(program)!r} is a script that runs itself", hint="Name another: --interpreter PROGRAM.")
    return (*_run_by(program, search, depth + 1), str(program))


def _explicit(file: Path, search: Search) -> tuple[str, ...]:
    """The interpreter of a script that could be executed itself, for arguments to be added to it."""
    line = shebang.parse(_head(file, is_executable=True), file)
    found = _asked_for(line, file, search) if line else ()
    if not found:
        raise SpecError(
            f"{str(file)!r} has no interpreter that could be given arguments",
            hint="Give them to the program, after --.",
        )
    return found


def _head(file: Path, *, is_executable: bool) -> bytes:
    try:
        with file.open("rb") as script:
            return script.read(shebang.SIZE)
    except OSError as exc:
        if is_executable and isinstance(exc, PermissionError):
            return b""  # a binary may be executed without being readable
        raise SpecError(
            f"{str(file)!r} cannot be read: {exc.strerror}",
            hint=f"Let its user read it: chmod u+r {shlex.quote(str(file))}",
        ) from exc


def _no_interpreter(line: shebang.Shebang, file: Path) -> SpecError:
    name = line.parts(file)[1]
    if line.is_env:
        return interpreters.missing(name, file)
    return SpecError(
        f"script {str(file)!r} asks for {name!r}, which is not there or not executable",
        hint="Install it, mend the script's first line, or name another: --interpreter PROGRAM.",
    )


def _not_found(word: str, target: str, search: Search) -> SpecError:
    from difflib import get_close_matches  # an error's cost only

    hint = "Name a script, a program on PATH, or a command line in quotes."
    for wanted in (Path(target), Path(word)):
        if near := get_close_matches(wanted.name, _names_in(search.absolute(wanted).parent), n=1):
            hint = f"Did you mean {str(wanted.with_name(near[0]))!r}?"
            break
    if "/" in word or interpreters.extension(word):
        return SpecError(f"there is no file {word!r} in {search.cwd}", hint=hint)
    return SpecError(f"{word!r} is neither a file in {search.cwd} nor a program on PATH", hint=hint)


def _is_directory(word: str, folder: Path) -> SpecError:
    names = _names_in(folder)
    inside = [name for name in _ENTRIES if name in names]
    hint = f"Did you mean {str(Path(word, inside[0]))!r}?" if inside else "Name the file in it that is to run."
    return SpecError(f"{word!r} is a directory", hint=hint)


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
