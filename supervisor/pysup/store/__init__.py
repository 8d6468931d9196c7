"""The unit directories on disk, for until a reboot and for good: what they have of apps, and one writer at a time.

How an app's files change as one is in ``atomic``. An app that is in both directories (a crash in the middle of
``save``) counts as saved.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pysup import disk, names, spec
from pysup.app import App
from pysup.errors import Conflict, CorruptUnit, NotFound, NotPermitted
from pysup.store import atomic
from pysup.unitfile import parse, parse_environment

if TYPE_CHECKING:
    from pysup.render import File
    from pysup.revisions import Revision
    from pysup.vault import Kept


class Stored(NamedTuple):
    """An app as its files have it: ``numbers`` are the instances that its target wants.

    ``app`` is None when the template cannot be read back; ``problem`` is the error that says why.
    """

    name: str
    app: App | None
    numbers: tuple[int, ...]
    directory: Path
    saved: bool
    problem: CorruptUnit | None = None

    def require(self) -> App:
        """The app, or the error that says why it cannot be read."""
        if self.app is None:
            raise self.problem or CorruptUnit(f"app {self.name!r} cannot be read back")
        return self.app


@dataclass(frozen=True, slots=True)
class Store:
    """Where the units of one scope live, until a reboot or for good; its locks; revisions and secrets, if there are."""

    runtime: Path
    saved: Path
    locks: Path
    boot_target: str
    history: Path | None = None
    vault: Path | None = None

    def names(self) -> list[str]:
        """The apps that are there, in order of their names."""
        found = {
            app
            for directory in (self.runtime, self.saved)
            for app in map(names.parse_template, disk.entries(directory))
        }
        return sorted(app for app in found if app)

    def stamp(self) -> tuple[int, ...]:
        """What is another when apps or instances have come or gone since; cheap."""
        return tuple(disk.changed(directory) for directory in (self.runtime, self.saved))

    def directory(self, *, saved: bool) -> Path:
        """Where units are kept until a reboot, or for good."""
        return self.saved if saved else self.runtime

    def find(self, name: str) -> Stored | None:
        """The app of that name, or None. Values of its environment that the caller may not read are empty.

        Takes no lock: what is committed counts, wherever its files are yet.
        """
        for saved in (True, False):
            directory = self.directory(saved=saved)
            text = atomic.current(directory, name, names.template_unit(name))
            while text is not None:
                stored = _stored(name, text, directory, saved=saved)
                again = atomic.current(directory, name, names.template_unit(name))
                if again == text:
                    return stored
                text = again  # somebody changed it meanwhile
        return None

    def text(self, name: str, file: str) -> str | None:
        """One of the app's files, by its name, as the last committed change has it; None if it has none such."""
        for saved in (True, False):
            text = atomic.current(self.directory(saved=saved), name, file)
            if text is not None:
                return text
        return None

    def hides_environment(self, name: str) -> bool:
        """Whether the caller may not read the values of the app's environment."""
        try:
            self.text(name, names.environment_file(name))
        except NotPermitted:
            return True
        return False

    def get(self, name: str) -> Stored:
        """The app of that name, or NotFound."""
        stored = self.find(name)
        if stored is None:
            raise NotFound(f"there is no app {name!r}", hint="pysup list shows what there is.")
        return stored

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the app's lock for a block; waits for whoever has it."""
        descriptor = self.acquire(name)
        try:
            yield
        finally:
            os.close(descriptor)

    def acquire(self, name: str) -> int:
        """Take the app's lock; closing the descriptor lets it go. Settles what a dead holder left half done."""
        import fcntl  # reading needs no lock, and so need not load it

        descriptor = self._open_lock(f"{name}.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._settle(name)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @contextlib.contextmanager
    def claim(self, name: str, purpose: str) -> Iterator[None]:
        """Hold the app for something that takes long, without keeping others from its files; Conflict if it is held."""
        import fcntl

        descriptor = self._open_lock(f"{name}.{purpose}")
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"app {name!r} is busy: {purpose} is under way", hint="Wait until it is done.") from None
            yield
        finally:
            os.close(descriptor)

    def write(self, name: str, files: Mapping[str, File], *, saved: bool) -> None:
        """Make *files* the app's only files, in the one directory and not in the other. The lock must be held."""
        links = {f"{self.boot_target}.wants/{names.target_unit(name)}": f"../{names.target_unit(name)}"}
        is_enabled = saved and "[Install]" in files[names.target_unit(name)].text
        self._change(name, self.directory(saved=saved), files, links if is_enabled else {})
        self._change(name, self.directory(saved=not saved), {}, {})
        if self.history:
            from pysup import revisions  # who only reads need not load it

            environment = files.get(names.environment_file(name))
            with disk.writing(self.history):
                revisions.record(
                    self.history, name, files[names.template_unit(name)].text, environment.text if environment else ""
                )

    def revisions(self, name: str) -> list[Revision]:
        """What the app was, oldest first; the newest is what it is."""
        from pysup import revisions

        return revisions.read(self.history, self.get(name).name) if self.history else []

    def secrets(self, name: str) -> dict[str, Kept]:
        """The secrets that are kept for an app of that name, whether there is one or not. Raises NotPermitted."""
        from pysup import vault  # few need it

        return vault.find(self.vault / name) if self.vault else {}

    def with_secrets(self, app: App) -> App:
        """The app with the secrets that are kept for its name; those that it is known to have, for who may not look.

        Raises SpecError for one that it must have and that is not kept.
        """
        if self.vault is None or not (app.secrets or self.vault.exists()):
            return app
        from pysup import vault

        folder = self.vault / app.name
        try:
            kept = vault.find(folder)
        except NotPermitted:
            found = self.find(app.name)
            kept = vault.known(found.app if found else None, folder)
        return vault.attach(app, kept, folder)

    def is_unfinished(self, name: str) -> bool:
        """Whether a change of the app was begun and never ended: what runs may be older than its files."""
        return (self.locks / f"{name}.unfinished").exists()

    @contextlib.contextmanager
    def unfinished(self, name: str) -> Iterator[None]:
        """Have the app count as unfinished for a block, and after it unless it ends well."""
        mark = self.locks / f"{name}.unfinished"
        with disk.writing(self.locks):
            disk.make(self.locks)
            mark.touch(mode=0o600)
        yield
        mark.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Take the app's files away; what others put beside them stays. The lock must be held."""
        for directory in (self.runtime, self.saved):  # the saved copy is the one that counts, so it goes last
            self._change(name, directory, {}, {})
        (self.locks / f"{name}.unfinished").unlink(missing_ok=True)
        if self.history:
            from pysup import revisions

            revisions.forget(self.history, name)

    def forget_secrets(self, name: str) -> None:
        """Take what is kept for the app away."""
        from pysup import vault

        if self.vault:
            vault.forget(self.vault / name)

    def write_spare(self, files: Mapping[str, File]) -> None:
        """Put the files of a spare instance beside the app's, or sockets to come, until the next boot at most."""
        with disk.writing(self.runtime):
            disk.make(self.runtime)
            for path, file in files.items():
                disk.replace(self.runtime, path, file)

    def has_spare(self, name: str) -> bool:
        """Whether there is a spare instance: a reload is under way, or one was killed."""
        return any(map(names.spare_files(name).fullmatch, disk.entries(self.runtime)))

    def spares(self, name: str) -> list[str]:
        """Which spare instances there are."""
        found = map(names.spare_files(name).fullmatch, disk.entries(self.runtime))
        return sorted({one["kind"] for one in found if one and one["kind"]})

    def remove_spare(self, name: str) -> None:
        """Take the spares' files away."""
        self.drop([*filter(names.spare_files(name).fullmatch, disk.entries(self.runtime))])

    def drop(self, files: Iterable[str]) -> None:
        """Take files away that were put beside the app's."""
        with disk.writing(self.runtime):
            for path in files:
                (self.runtime / path).unlink(missing_ok=True)

    def drop_properties(self, unit: str, directives: Iterable[str]) -> None:
        """Take away what systemd wrote when it was told these of a unit (``SetUnitProperties``)."""
        folder = self.runtime.with_name(f"{self.runtime.name}.control") / f"{unit}.d"
        with disk.writing(folder):
            for directive in directives:
                disk.unlink(folder / f"50-{directive}.conf")

    def balancers(self) -> list[str]:
        """The apps that are balancers, in order of their names."""
        entries = (entry for directory in (self.runtime, self.saved) for entry in disk.entries(directory))
        return sorted({app for app in map(names.parse_balancer_file, entries) if app})

    def replace(self, name: str, path: str, file: File) -> str | None:
        """Change one file of an app; the text of the other that it was, if it was. The lock must be held."""
        directory = self.get(name).directory
        before = atomic.current(directory, name, path)
        if before == file.text:
            return None
        with disk.writing(directory):
            disk.replace(directory, path, file)
        return before or ""

    def files(self, name: str) -> list[Path]:
        """The files of the app, and drop-ins that others made for it."""
        stored = self.get(name)
        return [stored.directory / path for path in atomic.owned(stored.directory, name)] + self.foreign(name)

    def is_edited(self, name: str) -> bool:
        """Whether the app's template was changed by hand."""
        from pysup.render import is_edited  # who only reads need not load it

        text = self.text(name, names.template_unit(name))
        return text is not None and is_edited(text)

    def foreign(self, name: str) -> list[Path]:
        """Drop-ins for the app's units that pysup did not write, such as those of ``systemctl edit``."""
        beside = "|".join(map(re.escape, names.COMPANIONS))
        own = rf"@\d*\.service|\.target|\.slice|(?::probe@\w*)?\.socket|-(?:{beside})"
        unit = re.compile(rf"{re.escape(names.PREFIX + name)}(?:{own})\.d")
        found = []
        for directory in (self.runtime, self.saved):
            for entry in filter(unit.fullmatch, disk.entries(directory)):
                found += [
                    directory / entry / file
                    for file in disk.entries(directory / entry)
                    if file not in ("instance.conf", names.NAMESPACE_FILE)
                ]
        return sorted(found)

    def _open_lock(self, file: str) -> int:
        with disk.writing(self.locks):
            disk.make(self.locks)
            return os.open(self.locks / file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _settle(self, name: str) -> None:
        for directory in (self.saved, self.runtime):
            atomic.settle(directory, name, self.boot_target)
        if (self.saved / names.template_unit(name)).exists():
            self._change(name, self.runtime, {}, {})

    def _change(self, name: str, directory: Path, files: Mapping[str, File], links: Mapping[str, str]) -> None:
        atomic.change(directory, name, files, links, self.boot_target)


def _stored(name: str, text: str, directory: Path, *, saved: bool) -> Stored:
    target = atomic.current(directory, name, names.target_unit(name)) or ""
    wanted = (names.parse_instance(line.value) for line in parse(target) if line.key == "Wants")
    numbers = tuple(sorted(instance.number for instance in wanted if instance))
    template = directory / names.template_unit(name)
    app, problem = None, None
    try:
        lines = [(line.key, line.value) for line in parse(text) if line.section == spec.SECTION]
        app = spec.decode(lines, _environment(directory, name), where=str(template))
    except CorruptUnit as exc:
        problem = exc
    if app and app.name != name:
        problem = CorruptUnit(
            f"{template} holds the spec of app {app.name!r}", hint="Delete it, and start the app again."
        )
        app = None
    if app and app.is_job:  # its timer starts it, not the target
        numbers = (0,)
    return Stored(name=name, app=app, numbers=numbers, directory=directory, saved=saved, problem=problem)


class _Hidden(dict[str, str]):
    """Values that the caller may not read: every name has an empty one."""

    def __missing__(self, key: str) -> str:
        return ""


def _environment(directory: Path, name: str) -> Mapping[str, str]:
    file = names.environment_file(name)
    try:
        return parse_environment(atomic.current(directory, name, file) or "")
    except NotPermitted:
        return _Hidden()
    except ValueError as exc:
        raise CorruptUnit(
            f"{directory / file} cannot be read back: {exc}", hint="Delete the app and start it again."
        ) from exc
