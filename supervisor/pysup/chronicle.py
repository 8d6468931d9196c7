"""systemd's words about instances in the journal -> events: one table, by MESSAGE_ID. Pure.

Ids are systemd's catalog (sd-messages.h). Three facts have no id, and are found by their text, which systemd does not
translate. Some words are known to be an end only by what comes next: they wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from pysup.events import (
    NO_BRAKE,
    Brake,
    Event,
    Exited,
    Failed,
    OfInstance,
    Reloading,
    Restarting,
    Started,
    Starting,
    Stopped,
    Stopping,
)
from pysup.names import InstanceName

_PATIENCE = 1.0  # seconds beyond its delay after which a restart will not come any more

_NOT_AFTER_SUCCESS = ("no", "on-failure", "on-abnormal", "on-abort", "on-watchdog")

Brakes = Callable[[str], Brake]


class Word(NamedTuple):
    """One thing that systemd said about an instance; ``fields`` has what more it gave, as text."""

    name: InstanceName
    at: float
    message_id: str
    message: str
    invocation_id: str
    fields: Mapping[str, str]


class Story:
    """What happened to one instance, as far as it has been told."""

    def __init__(self, name: InstanceName, brakes: Brakes) -> None:
        self._name = name
        self._brakes = brakes
        self._waiting: Failed | Stopped | None = None
        self._is_stopping = False
        self._is_restart = False
        self._has_exited = False
        self._reason = ""

    def hear(self, word: Word) -> Iterator[OfInstance]:
        """The events that a word brings."""
        meaning = TABLE.get(word.message_id)
        if meaning:
            yield from meaning(self, word)
        else:
            self._reason = _reason(word.message_id, word.message) or self._reason

    def end(self, now: float) -> Iterator[OfInstance]:
        """What waited for more words, and is too old to get any."""
        brake, waiting = self._brakes(self._name.app), self._waiting
        if waiting:
            for_good = ("no", "on-success") if isinstance(waiting, Failed) else _NOT_AFTER_SUCCESS
            if brake.policy in for_good or now - waiting.at > brake.delay + _PATIENCE:
                yield from self._told()

    def _told(self) -> Iterator[OfInstance]:
        if self._waiting:
            waiting, self._waiting = self._waiting, None
            yield waiting

    def starting(self, word: Word) -> Iterator[OfInstance]:
        """Starting …: what came before it was an end, unless a restart was announced."""
        yield from self._told()
        self._is_stopping = self._is_restart = self._has_exited = False
        self._reason = ""
        yield Starting(name=self._name, at=word.at, invocation_id=word.invocation_id)

    def started(self, word: Word) -> Iterator[OfInstance]:
        """Started."""
        yield Started(name=self._name, at=word.at, invocation_id=word.invocation_id)

    def exited(self, word: Word) -> Iterator[OfInstance]:
        """Main process exited; other processes of the unit are not told."""
        if word.fields.get("COMMAND", "ExecStart") != "ExecStart":
            return
        how, status = word.fields.get("EXIT_CODE", ""), _number(word.fields.get("EXIT_STATUS", ""))
        if status is None or how not in ("exited", "killed", "dumped"):
            return
        self._has_exited = True
        is_code = how == "exited"
        yield Exited(
            name=self._name,
            at=word.at,
            invocation_id=word.invocation_id,
            code=status if is_code else None,
            signal=None if is_code else status,
            dumped=how == "dumped",
            result=self._reason or {"exited": "exit-code", "killed": "signal"}.get(how, "core-dump"),
            asked=self._is_stopping,
        )

    def ended_well(self, word: Word) -> Iterator[OfInstance]:
        """Deactivated successfully: of such an end systemd does not say how it was."""
        yield from self._exited_well(word)
        if not self._is_stopping:
            self._waiting = Stopped(name=self._name, at=word.at, invocation_id=word.invocation_id)

    def _exited_well(self, word: Word) -> Iterator[OfInstance]:
        if not self._has_exited:
            self._has_exited = True
            yield Exited(
                name=self._name,
                at=word.at,
                invocation_id=word.invocation_id,
                result="success",
                asked=self._is_stopping,
            )

    def failed(self, word: Word) -> Iterator[OfInstance]:
        """Failed with result …: for good, unless a restart is announced next."""
        result = word.fields.get("UNIT_RESULT", "") or "unknown"
        gave_up = self._reason == "start-limit-hit"
        self._waiting = Failed(
            name=self._name,
            at=word.at,
            invocation_id=word.invocation_id,
            result="start-limit-hit" if gave_up else result,
        )
        if gave_up:
            yield from self._told()

    def restarting(self, word: Word) -> Iterator[OfInstance]:
        """Scheduled restart job. A user's manager says nothing of a good end before it."""
        if not isinstance(self._waiting, Failed):
            yield from self._exited_well(word)
        self._waiting = None
        self._is_restart = True
        brake = self._brakes(self._name.app)
        yield Restarting(
            name=self._name,
            at=word.at,
            invocation_id=word.invocation_id,
            number=_number(word.fields.get("N_RESTARTS", "")) or _number(word.message.rstrip(".").split(" ")[-1]) or 0,
            limit=brake.limit,
            delay=brake.delay,
        )

    def stopping(self, word: Word) -> Iterator[OfInstance]:
        """Stopping …: somebody asked for it."""
        self._is_stopping = True
        yield from self._told()
        yield Stopping(name=self._name, at=word.at, invocation_id=word.invocation_id)

    def stopped(self, word: Word) -> Iterator[OfInstance]:
        """Stopped: a step of a restart, or the end."""
        if self._is_restart:
            return
        was_failure = isinstance(self._waiting, Failed)
        if not was_failure:
            yield from self._exited_well(word)
        yield from self._told()
        if not was_failure:
            yield Stopped(name=self._name, at=word.at, invocation_id=word.invocation_id)
        self._is_stopping = False

    def reloading(self, word: Word) -> Iterator[OfInstance]:
        """Reloading …."""
        yield Reloading(name=self._name, at=word.at, invocation_id=word.invocation_id)


Meaning = Callable[[Story, Word], Iterator[OfInstance]]

TABLE: Mapping[str, Meaning] = {
    "7d4958e842da4a758f6c1cdc7b36dcc5": Story.starting,  # SD_MESSAGE_UNIT_STARTING
    "39f53479d3a045ac8e11786248231fbf": Story.started,  # SD_MESSAGE_UNIT_STARTED
    "98e322203f7a4ed290d09fe03c09fe15": Story.exited,  # SD_MESSAGE_UNIT_PROCESS_EXIT
    "7ad2d189f7e94e70a38c781354912448": Story.ended_well,  # SD_MESSAGE_UNIT_SUCCESS
    "d9b373ed55a64feb8242e02dbe79a49c": Story.failed,  # SD_MESSAGE_UNIT_FAILURE_RESULT
    "5eb03494b6584870a536b337290809b3": Story.restarting,  # SD_MESSAGE_UNIT_RESTART_SCHEDULED
    "de5b426a63be47a7b6ac3eaac82e2f6f": Story.stopping,  # SD_MESSAGE_UNIT_STOPPING
    "9d1aaa27d60140bd96365438aad20286": Story.stopped,  # SD_MESSAGE_UNIT_STOPPED
    "d34d037fff1847e6ae669a370e694725": Story.reloading,  # SD_MESSAGE_UNIT_RELOADING
}

# Why the end that follows came: systemd's results, by what it says before.
REASONS: Mapping[str, str] = {
    "fe6faa94e7774663a0da52717891d8ef": "oom-kill",  # SD_MESSAGE_UNIT_OUT_OF_MEMORY: the kernel
    "d989611b15e44c9dbf31e3c81256e4ed": "oom-kill",  # SD_MESSAGE_UNIT_OOMD_KILL: systemd-oomd
}
REASONS_BY_TEXT: Mapping[str, str] = {
    ": Watchdog timeout (limit ": "watchdog",
    ": Start request repeated too quickly.": "start-limit-hit",
    "' timed out. ": "timeout",  # State 'stop-sigterm' timed out. Killing.
    " operation timed out. ": "timeout",  # start operation timed out. Terminating.
}

_LONGEST = 1000  # systemd's own words are short; nobody's else are looked through


def tell(words: Iterable[Word], brakes: Brakes = lambda _: NO_BRAKE, *, now: float) -> Iterator[Event]:
    """The events of words in their order; those that wait for a next word come when it does, or at the end."""
    stories: dict[InstanceName, Story] = {}
    for word in words:
        story = stories.get(word.name)
        if story is None:
            story = stories[word.name] = Story(word.name, brakes)
        yield from story.hear(word)
    left = [event for story in stories.values() for event in story.end(now)]
    yield from sorted(left, key=lambda event: event.at)


def is_known(message_id: str, message: str) -> bool:
    """Whether such a word means anything here."""
    return message_id in TABLE or bool(_reason(message_id, message))


def _reason(message_id: str, message: str) -> str:
    if message_id or len(message) > _LONGEST:
        return REASONS.get(message_id, "")
    return next((reason for text, reason in REASONS_BY_TEXT.items() if text in message), "")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
