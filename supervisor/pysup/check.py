"""The single rules that values of an App must keep; each says what is wrong, and what to do.

They stand where text that users give meets systemd's parser, so they are a security border: what cannot be
expressed in a unit file is refused here, before anything is written.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

from pysup import names
from pysup.errors import SpecError

MAX_ARGUMENT = 128 * 1024 - 1  # MAX_ARG_STRLEN, with its NUL: execve(2)
MAX_UNIT_NAME = 255

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIRECTIVE = re.compile(r"[A-Z][A-Za-z0-9]*")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\-]+(?:@[A-Za-z0-9:_.\\-]*)?\.([a-z]+)")
_UNIT_TYPES = frozenset(["service", "socket", "target", "timer", "path", "mount", "device", "slice", "scope", "swap"])
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?|0|[1-9][0-9]{0,9}")
_HTTP_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f\"'\\]+")

_KINDS: dict[type, tuple[str, str]] = {
    str: ("text", "Put it in quotes."),
    bool: ("True or False", "Write it without quotes."),
    Mapping: ("a mapping", "Write it as {'NAME': value}."),
}

Choice = TypeVar("Choice", bound=StrEnum)


def choice(kind: type[Choice], value: object, field: str) -> Choice:
    """One of a closed set, by its spelling."""
    try:
        return kind(str(value))
    except ValueError:
        allowed = ", ".join(member.value for member in kind)
        raise SpecError(f"{field} is {value!r}", hint=f"Use one of: {allowed}.") from None


def vector(values: Iterable[object] | str, name: str) -> tuple[object, ...]:
    """Several values; a text alone is a mistake."""
    if isinstance(values, str):
        raise SpecError(f"{name} is the text {values!r}, must be a list", hint=f"Write it as [{values!r}].")
    if not isinstance(values, Iterable):
        raise SpecError(f"{name} is {values!r}, must be a list", hint=f"Write it as [{values!r}].")
    return tuple(values)


def kind(value: object, wanted: type, field: str) -> None:
    """A value of a type, where no other rule would tell that it is none."""
    if not isinstance(value, wanted):
        words, hint = _KINDS.get(wanted) or (f"a {wanted.__name__}", f"Make one: {wanted.__name__}(…).")
        raise SpecError(f"{field} is {_short(value)}, must be {words}", hint=hint)


def app_name(value: str, field: str) -> None:
    """A name that can be part of a unit's, a file's and a journal identifier's."""
    if not isinstance(value, str) or not names.NAME.fullmatch(value):
        raise SpecError(
            f"{field} is {_short(value)}",
            hint="A name has 1 to 64 of A-Z a-z 0-9 _ . - and begins with a letter or a digit.",
        )
    if value == "all":
        raise SpecError(f"{field} is 'all', which means all apps", hint="Give it another name: --name NAME.")


def unit_name_length(name: str, namespace: str) -> None:
    """The longest unit name of an app must fit: '-' counts four times in a slice's."""
    length = len(names.slice_unit(name, namespace))
    if length > MAX_UNIT_NAME:
        raise SpecError(
            f"name {name!r} in namespace {namespace!r} makes a unit name of {length} characters",
            hint=f"systemd allows {MAX_UNIT_NAME}; take shorter names, or fewer '-'.",
        )


def text(value: str, field: str) -> None:
    """Text that can be handed to a process: UTF-8, without NUL."""
    if not isinstance(value, str):
        raise SpecError(f"{field} is {value!r}, must be text", hint="Put it in quotes.")
    if "\0" in value:
        raise SpecError(f"{field} contains a NUL byte", hint="No process can be given one; take it out.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SpecError(f"{field} is not valid UTF-8", hint="systemd passes on UTF-8 text only.") from None


def argument(value: str, field: str) -> None:
    """An argument for execve."""
    text(value, field)
    if len(value.encode()) > MAX_ARGUMENT:
        raise SpecError(f"{field} is longer than {MAX_ARGUMENT} bytes", hint="Put it in a file and pass its name.")


def env_name(value: str, field: str) -> None:
    """A variable's name as the shell has them."""
    if not isinstance(value, str) or not _ENV_NAME.fullmatch(value):
        raise SpecError(f"{field}: {_short(value)} is not a variable's name", hint="Use A-Z a-z 0-9 and _.")


def env_value(value: str, field: str) -> None:
    """A variable's value."""
    argument(value, field)


def line(value: str, field: str) -> None:
    """Text that stands alone on a line of a unit file, unquoted."""
    text(value, field)
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise SpecError(f"{field} is {_short(value)}: it has control characters", hint="Write it on one plain line.")
    if value != value.strip() or value.endswith("\\"):
        raise SpecError(
            f"{field} is {_short(value)}: unit files cannot hold blanks at its ends, or a backslash at its end",
            hint="Take them away.",
        )


def path(value: str, field: str) -> None:
    """An absolute path that a unit file can hold."""
    line(value, field)
    if not value.startswith("/"):
        raise SpecError(f"{field} is {_short(value)}, not an absolute path", hint="Begin it with '/'.")
    if len(value.encode()) > 4095:
        raise SpecError(f"{field} is longer than 4095 bytes", hint="Linux knows no longer paths.")
    if any(part == ".." for part in value.split("/")):
        raise SpecError(f"{field} is {_short(value)}", hint="Write the path without '..'.")


def account(value: str, field: str) -> None:
    """A user's or group's name or number; empty for none."""
    kind(value, str, field)
    if value and not _ACCOUNT.fullmatch(value):
        raise SpecError(f"{field} is {_short(value)}, not an account's name", hint="See getent passwd, getent group.")


def dependency(value: str, field: str) -> None:
    """An app's name, or a unit's with its suffix."""
    kind(value, str, field)
    if not (names.NAME.fullmatch(value) or is_unit(value)):
        raise SpecError(
            f"{field} has {_short(value)}, neither an app nor a unit",
            hint="Name an app, or a unit with its suffix, such as redis-server.service.",
        )


def service(value: str, field: str) -> None:
    """A service that is not one of ours, with its suffix."""
    kind(value, str, field)
    if not is_unit(value) or not value.endswith(".service") or value.startswith(names.PREFIX):
        raise SpecError(
            f"{field} is {_short(value)}, not another's service", hint="Name it with its suffix: redis-server.service."
        )


def is_unit(value: str) -> bool:
    """Whether a dependency names a unit (and not an app)."""
    found = _UNIT.fullmatch(value)
    return found is not None and found[1] in _UNIT_TYPES


def directive(key: str, values: Sequence[str], field: str) -> None:
    """An extra directive: a plain key, and values that each stay on one line."""
    if not isinstance(key, str) or not _DIRECTIVE.fullmatch(key):
        raise SpecError(f"{field} has the key {_short(key)}, not a directive's name", hint="Such as LimitCORE.")
    for value in values:
        line(value, f"{field}.{key}")


def http_url(value: str, field: str) -> None:
    """An http or https URL without blanks or quotes."""
    if not _HTTP_URL.fullmatch(value):
        raise SpecError(f"{field} is {_short(value)}, not an http(s) URL", hint="Write http://127.0.0.1:{port}/path.")


def signal_name(value: str, field: str) -> str:
    """A signal by name or number, as ``SIGTERM``."""
    wanted = str(value).upper()
    try:
        if wanted.isdigit():
            return signal.Signals(int(wanted)).name
        return signal.Signals["SIG" + wanted.removeprefix("SIG")].name
    except (KeyError, ValueError):
        raise SpecError(f"{field} is {value!r}, not a signal", hint="Such as SIGTERM, INT or 15.") from None


def number(value: str, field: str) -> int:
    """A whole number from text."""
    try:
        return int(value)
    except ValueError:
        raise SpecError(f"{field} is {_short(value)}, not a whole number", hint="Write digits only.") from None


def port(value: int, field: str) -> None:
    """A TCP port."""
    between(value, 1, 65535, field)


def between(value: int, low: int, high: int, field: str) -> None:
    """A whole number in a range, both ends included."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SpecError(f"{field} is {value!r}", hint=f"It must be a whole number from {low} to {high}.")


def positive(value: float, field: str) -> None:
    """A finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 2**63:
        raise SpecError(f"{field} is {value!r}", hint="It must be a number above 0, and below 2^63.")


def not_negative(value: float, field: str) -> None:
    """A finite number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**63:
        raise SpecError(f"{field} is {value!r}", hint="It must be a number, 0 or more.")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:40]}… ({len(str(value))} characters)"
