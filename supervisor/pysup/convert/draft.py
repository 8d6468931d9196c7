"""Draft: an app of PM2's on its way to a table of pysup's keys, with a note for each decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple


class Kind(StrEnum):
    """What has become of a key: it means the same, something else, or nothing."""

    KEPT = "kept"
    CHANGED = "changed"
    REFUSED = "refused"


class Note(NamedTuple):
    """A decision about a key of an app's; ``app`` is empty for what concerns the whole file."""

    app: str
    key: str
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """``document`` is plain data, as pysup.toml holds it; ``notes`` say what has become of each key."""

    document: dict[str, Any]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a file is read: its path, the directory of whoever asks, and that one's home."""

    file: Path
    cwd: Path
    home: Path


@dataclass(slots=True, kw_only=True)
class Draft:
    """``given`` are PM2's keys by their usual names, ``app`` pysup's, ``env`` and ``overlays`` the variables."""

    name: str
    given: Mapping[str, Any]
    place: Place
    app: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    overlays: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    cluster: bool = False
    node: bool = False

    def notes_of(self, key: str) -> list[Note]:
        """What has been noted of a key."""
        return [note for note in self.notes if note.key == key]

    def keep(self, key: str, text: str) -> None:
        """Note that a key means what it meant."""
        self.notes.append(Note(self.name, key, Kind.KEPT, text))

    def change(self, key: str, text: str) -> None:
        """Note that a key means something else."""
        self.notes.append(Note(self.name, key, Kind.CHANGED, text))

    def refuse(self, key: str, text: str) -> None:
        """Note that a key has no effect, why, and what to use instead."""
        self.notes.append(Note(self.name, key, Kind.REFUSED, text))
