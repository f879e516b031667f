"""The chat feature of a room: messages, their edits and their removal by their author.

A feature owns its commands, its events and its part of the room's decided state.  `decide`
judges a command, `apply` folds an entry that was decided or loaded; both see the same
entries, so a replay of the log gives the same state.  Nothing here knows offsets' commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from broker.record import Entry
from wire.codes import Refusal
from wire.limits import EDITS_PER_MESSAGE_MAX
from wire.node_messages import PublishCommand

REMOVED_BY_AUTHOR: Final = "author"


@dataclass(frozen=True, slots=True)
class Removal:
    """An entry that a decision erases: enough to write its tombstone without its text."""

    offset: int
    at: int
    kind: str
    target: int
    reason: str


class _Message(Struct, gc=False):
    """One message within reach.  `edits` holds offset and time of each edit; at most EDITS_PER_MESSAGE_MAX.

    A Struct that holds nothing the collector looks at: a room that is loaded makes a thousand at once.
    """

    author: str
    at: int
    removed: bool = False
    edits: tuple[tuple[int, int], ...] = ()


def _removals(target: int, message: _Message) -> list[Removal]:
    """A message goes with all its edits."""
    removals = [Removal(target, message.at, "message", 0, REMOVED_BY_AUTHOR)]
    return removals + [Removal(offset, at, "edit", target, REMOVED_BY_AUTHOR) for offset, at in message.edits]


class Chat:
    """The messages that can still be edited or removed, by offset: those within the room's tail."""

    __slots__ = ("_messages", "_reach")

    kinds = frozenset({"message", "edit", "delete"})

    def __init__(self, reach: int = 1) -> None:
        self._messages: dict[int, _Message] = {}
        self._reach = reach
        """The oldest offset that a command may still speak of; never falls."""

    def decide(self, command: PublishCommand) -> Sequence[Removal] | Refusal:
        """Judge one command of `kinds`: a refusal, or what its event erases.  Changes nothing."""
        if command.kind == "message":
            return ()
        message = self._find(command)
        if isinstance(message, Refusal):
            return message
        if command.kind == "edit":
            return Refusal.EDIT_LIMIT if len(message.edits) >= EDITS_PER_MESSAGE_MAX else ()
        return _removals(command.target, message)

    def removals_of(self, entry: Entry) -> Sequence[Removal] | None:
        """What an entry erased, asked before it is applied; None when its target is out of reach."""
        if entry.kind != "delete":
            return ()
        message = self._messages.get(entry.target)
        return None if message is None else _removals(entry.target, message)

    def _find(self, command: PublishCommand) -> _Message | Refusal:
        """The message that an edit or a delete speaks of, if it is there and its author's to change.

        A removed message is no message, whoever asks: its author is not remembered, so no
        other answer would be the same after a restart.
        """
        if 0 < command.target < self._reach:
            return Refusal.TOO_OLD
        message = self._messages.get(command.target)
        if message is None or message.removed:
            return Refusal.NO_SUCH_MESSAGE
        return message if message.author == command.author else Refusal.FORBIDDEN

    def apply(self, entry: Entry) -> None:
        """Fold one entry, in order of offset: just decided, or read back from the journal."""
        if entry.kind == "message":
            self._messages[entry.offset] = _Message(entry.author, entry.at, removed=bool(entry.removed))
            return
        message = self._messages.get(entry.target)
        if message is None:
            return
        if entry.kind == "edit":
            message.edits += ((entry.offset, entry.at),)
        elif entry.kind == "delete":
            # What is gone is forgotten here too, so that the state is the same after a replay.
            message.removed = True
            message.author = ""

    def forget_before(self, offset: int) -> None:
        """What lies before `offset` is out of reach: the room's tail has let it go."""
        if offset > self._reach:
            for gone in range(self._reach, offset):
                self._messages.pop(gone, None)
            self._reach = offset

    def state(self) -> tuple[int, dict[int, tuple[str, int, bool, tuple[tuple[int, int], ...]]]]:
        """The whole state as plain values, to compare two folds."""
        messages = {offset: (m.author, m.at, m.removed, m.edits) for offset, m in self._messages.items()}
        return self._reach, messages
