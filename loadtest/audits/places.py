"""Where messages stand, as workers tell it to their master: acknowledged places, places that auditors saw.  Pure."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from loadtest.figures.messages import Placed

# What stands in an id's place when the message was removed, and its id with it.
REMOVED: Final = 0


def id_hash(message_id: str) -> int:
    """63 bits of a message's id: among ten million ids two are alike once in 180,000 runs."""
    return int.from_bytes(blake2b(message_id.encode(), digest_size=8).digest(), "big") >> 1


class Places:
    """What is to be told with the next beat; bounded by what happens between two of them."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], list[int]] = {}
        self._watched: dict[tuple[str, str], list[int]] = {}

    def add(self, room: str, epoch: str, offset: int, message_id: str) -> None:
        """A message stands there; without an id, one that was removed."""
        hashed = id_hash(message_id) if message_id else REMOVED
        self._pairs.setdefault((room, epoch), []).extend((offset, hashed))

    def watched(self, room: str, epoch: str, first: int, last: int) -> None:
        """An auditor was there for all of ``first`` to ``last``."""
        self._watched.setdefault((room, epoch), []).extend((first, last))

    def take(self) -> list[Placed]:
        """Everything since the last call."""
        pairs, watched = self._pairs, self._watched
        self._pairs, self._watched = {}, {}
        logs: Iterable[tuple[str, str]] = dict.fromkeys((*pairs, *watched))
        return [Placed(room, epoch, pairs.get((room, epoch), []), watched.get((room, epoch), [])) for room, epoch in logs]
