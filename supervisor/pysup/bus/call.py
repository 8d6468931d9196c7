"""A method call as a value, and what may come back; both connections carry the same ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import NamedTuple, TypeVar

from pysup.errors import BusError, NotPermitted, PysupError

SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = f"{SYSTEMD}.Manager"
PROPERTIES = "org.freedesktop.DBus.Properties"

NO_SUCH_UNIT = f"{SYSTEMD}.NoSuchUnit"

# What a call gives: its values with variants opened, or the error that it was answered with.
Reply = tuple[object, ...] | PysupError

T = TypeVar("T")

# A conversation: yields calls to be made together, is sent their replies in order, returns what it found out.
Conversation = Generator[Sequence["Call"], Sequence[Reply], T]


class Call(NamedTuple):
    """One method call."""

    member: str
    signature: str = ""
    args: tuple[object, ...] = ()
    path: str = MANAGER_PATH
    interface: str = MANAGER
    destination: str = SYSTEMD


class Variant(NamedTuple):
    """A value among a call's arguments that brings its signature with it."""

    signature: str
    value: object


class Signal(NamedTuple):
    """One signal that came in."""

    member: str
    path: str
    interface: str
    args: tuple[object, ...]


async def carry(conversation: Conversation[T], ask: Callable[[Sequence[Call]], Awaitable[list[Reply]]]) -> T:
    """Carry a conversation to its end over an asynchronous connection."""
    try:
        calls = next(conversation)
        while True:
            calls = conversation.send(await ask(calls))
    except StopIteration as end:
        result: T = end.value
        return result


def check(reply: Reply) -> tuple[object, ...]:
    """The values of a reply; raises if it is an error."""
    if isinstance(reply, PysupError):
        raise reply
    return reply


_REFUSED = (
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
    "org.freedesktop.DBus.Error.AuthFailed",
)

_KINDS: dict[str, Callable[[str, str], PysupError]] = {
    name: lambda text, _name: NotPermitted(
        f"systemd does not let you do this: {text}", hint="Run it with sudo, or use your own manager: --user."
    )
    for name in _REFUSED
}


# What the bus answers while systemd executes itself anew: it has left the bus, and comes back.
_AWAY = ("org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.ServiceUnknown")


def is_repeatable(call: Call, reply: Reply) -> bool:
    """Whether a call failed only because systemd was executed anew, and does no harm when made again."""
    if not isinstance(reply, BusError) or reply.name not in _AWAY or call.destination != SYSTEMD:
        return False
    return call.member not in ("KillUnit", "RestartUnit", "StartTransientUnit")


def error(name: str, text: str) -> PysupError:
    """The exception for an error reply."""
    kind = _KINDS.get(name)
    return kind(text, name) if kind else BusError(f"systemd: {text or name}", name=name)
