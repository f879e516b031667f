"""Who still knows what the store forgot: the judge's question when something acknowledged is gone.

A store that fails over forgets events.  As long as one shard that lives has them, they must come
back unnoticed.  An event that nobody alive knows may be lost, if all who saw it are told: its
place is `forgotten`.
"""

from collections.abc import Callable, Iterable

from broker.journal.protocol import Write
from broker.room import Room
from tests.support.forgetful_journal import ForgetfulJournal
from wire.names import Epoch, RoomName

Place = tuple[str, int]


class SharedMemory:
    """`room_of(node, room)` is a room as a living shard has it; `owner_of(room)` the node that speaks for it."""

    def __init__(
        self, store: ForgetfulJournal, owner_of: Callable[[str], str], room_of: Callable[[str, str], Room | None]
    ) -> None:
        self.forgotten: dict[str, dict[Place, str]] = {}
        """By room: the places that were lost when nobody knew them, with the ids that were there."""
        self._store = store
        self._owner_of = owner_of
        self._room_of = room_of
        self._missing: dict[str, dict[Place, str]] = {}
        """By room: what the store had forgotten and its shard knew."""

    def forgot(self, lost: Iterable[Write]) -> None:
        """The store has lost these writes just now; what is built on something that nobody knows cannot come back either."""
        unknown: dict[str, None] = {}
        for write in lost:
            room = self._room_of(self._owner_of(write.room), write.room)
            knows = room is not None and room.decided.epoch == write.head.epoch and room.decided.offset >= write.head.offset
            if not knows:
                unknown[write.room] = None
            table = self.forgotten if write.room in unknown else self._missing
            table.setdefault(write.room, {}).update({(write.head.epoch, e.offset): e.id for e in write.entries})

    def dies(self, node: str) -> None:
        """A node is gone, with all that only it knew."""
        for room in [room for room in self._missing if self._owner_of(room) == node]:
            for (epoch, offset), message_id in self._missing.pop(room).items():
                if not self._is_there(room, epoch, offset, message_id):
                    self.forgotten.setdefault(room, {})[epoch, offset] = message_id

    def still_missing(self) -> list[str]:
        """What the store has not got back from those who know it, in words."""
        return [
            f"{message_id or 'an event'} at {offset} of {epoch} is still missing, and {self._owner_of(room)} knows it"
            for room, missing in self._missing.items()
            for (epoch, offset), message_id in missing.items()
            if not self._is_there(room, epoch, offset, message_id) and self._is_known(room, epoch, offset, message_id)
        ]

    def _is_known(self, room: str, epoch: str, offset: int, message_id: str) -> bool:
        """Whether the shard has it now.  What it had decided and not published may be gone; who was told of more would say so."""
        known = self._room_of(self._owner_of(room), room)
        if known is None or known.head.epoch != epoch or not known.tail.reaches(offset - 1):
            return True
        entries = [item.entry for item in known.tail.items_after(offset - 1)][:1]
        return any(entry.id == message_id or bool(entry.removed) for entry in entries)

    def _is_there(self, room: str, epoch: str, offset: int, message_id: str) -> bool:
        """Whether the store has it, as it was or removed."""
        found = self._store.contents.read(RoomName(room), Epoch(epoch), offset - 1, 1)
        return any(entry.offset == offset and (entry.id == message_id or bool(entry.removed)) for entry in found)
