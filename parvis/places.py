"""Journals by their words: `sqlite:PATH`, `redis://...`, or `sqlite` and `redis`, which stand for what the settings name.

A place can be opened in three ways: as a journal (to claim), to be read as a whole, to be
filled; and it knows the data directories that nobody else may use meanwhile.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from broker.journal.archive import Source, Target
from broker.journal.protocol import Journal
from broker.journal.sqlite import SqliteJournal
from broker.journal.sqlite_archive import SqliteSource
from broker.journal.sqlite_target import SqliteTarget
from parvis.data_dir import LOCK_NAME, lock_data_dir, make_data_dir
from parvis.errors import StartError
from parvis.parts import journal_path
from runtime.lifecycle import ExitCode
from runtime.schema import Settings

_KINDS = "sqlite:PATH, or sqlite, the journal of the settings"


class Place(Protocol):
    """Where a journal is, or will be."""

    def __str__(self) -> str: ...

    @property
    def data_dir(self) -> Path | None:
        """The directory that a parvis on this journal locks, if it has one."""

    def journal(self) -> Journal: ...

    def source(self) -> Source: ...

    def target(self) -> Target: ...


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    """A file in a data directory."""

    path: Path
    data_dir: Path

    def __str__(self) -> str:
        return f"sqlite:{self.path}"

    def journal(self) -> Journal:
        return SqliteJournal(self.path, new_store_id="")

    def source(self) -> Source:
        return SqliteSource(self.path)

    def target(self) -> Target:
        return SqliteTarget(self.path, new_store_id=secrets.token_hex(8))


def place_of(words: str, settings: Settings) -> Place:
    """What the words on a command line mean; raises `StartError` for words that mean nothing."""
    if words == "sqlite":
        return SqlitePlace(journal_path(settings), Path(settings.data_dir))
    kind, colon, path = words.partition(":")
    if kind == "sqlite" and colon and path:
        return SqlitePlace(Path(path), Path(path).parent)
    raise StartError(f"a journal is {_KINDS}; {words!r} is neither", ExitCode.USAGE)


def place_of_settings(settings: Settings) -> Place:
    """The journal that `parvis up` with these settings uses."""
    if settings.journal.kind == "memory":
        raise StartError("journal.kind = memory: such a journal ends with its process; nothing else reaches it", ExitCode.CONFIG)
    return place_of(settings.journal.kind, settings)


@contextmanager
def held(data_dirs: Iterable[Path | None], *, new: Path | None = None) -> Iterator[None]:
    """Keep every parvis out of these data directories; raises `StartError`, with the process id, when one is in there.

    `new` is made when it is not there.  In the others a directory that no parvis ever used is left as it is.
    """
    with ExitStack() as locks:
        if new is not None:
            make_data_dir(new)
            locks.callback(lock_data_dir(new).close)
        seen = {new.resolve()} if new is not None else set()
        for each in data_dirs:
            if each is not None and each.resolve() not in seen and (each / LOCK_NAME).exists():
                seen.add(each.resolve())
                locks.callback(lock_data_dir(each).close)
        yield
