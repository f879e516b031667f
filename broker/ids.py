"""The message ids a room remembers: what makes a retry return the first one's place.

Keyed (author, id), so nobody can take another's id.  An id is kept `MESSAGE_ID_WINDOW_S`
and at least as one of the newest `MESSAGE_IDS_PER_ROOM_MIN`; above
`MESSAGE_IDS_PER_ROOM_MAX` the oldest go early, since memory is bounded before anything else.
"""

from collections import deque
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from broker.journal.protocol import IdRow
from wire.limits import MESSAGE_ID_WINDOW_S, MESSAGE_IDS_PER_ROOM_MAX, MESSAGE_IDS_PER_ROOM_MIN
from wire.names import Epoch

BODY_HASH_BYTES: Final = 8
_WINDOW_MS: Final = int(MESSAGE_ID_WINDOW_S * 1000)


class KnownId(Struct, frozen=True, gc=False):
    """A used id and the epoch its offset belongs to."""

    row: IdRow
    epoch: Epoch


def body_hash_of(kind: str, target: int, text: str) -> bytes:
    """What tells a retry from another message under the same id.  Unsalted: it must survive the erasure of the body."""
    return blake2b(b"%s\x00%d\x00%s" % (kind.encode(), target, text.encode()), digest_size=BODY_HASH_BYTES).digest()


def kept_since_ms(now_ms: int) -> int:
    """The time before which an id may be forgotten."""
    return now_ms - _WINDOW_MS


class MessageIds:
    """Ids in the order of their use.  Invariant: `_order` holds exactly the values of `_by_key`."""

    __slots__ = ("_by_key", "_order")

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str], KnownId] = {}
        self._order: deque[KnownId] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def find(self, author: str, message_id: str) -> KnownId | None:
        return self._by_key.get((author, message_id))

    def add(self, row: IdRow, epoch: Epoch) -> None:
        """Remember a new id; the caller has looked for it first."""
        key = (row.author, row.id)
        assert key not in self._by_key, "an id that is known is answered, not added"
        known = KnownId(row, epoch)
        self._by_key[key] = known
        self._order.append(known)

    def expire(self, now_ms: int) -> None:
        """Forget what is old enough; amortised O(1) an id."""
        since = kept_since_ms(now_ms)
        order = self._order
        while len(order) > MESSAGE_IDS_PER_ROOM_MIN and (order[0].row.at < since or len(order) > MESSAGE_IDS_PER_ROOM_MAX):
            row = order.popleft().row
            del self._by_key[row.author, row.id]

    def since_ms(self, now_ms: int) -> int:
        """The time of the oldest id that counts: later than the window's begin when there were too many for it."""
        since = kept_since_ms(now_ms)
        is_full = len(self._order) >= MESSAGE_IDS_PER_ROOM_MAX
        return max(since, self._order[0].row.at) if is_full else since

    def rows_after(self, epoch: Epoch, offset: int) -> dict[int, IdRow]:
        """The ids of the events of `epoch` beyond `offset`, by offset."""
        rows: dict[int, IdRow] = {}
        for known in reversed(self._order):
            if known.epoch == epoch:
                if known.row.offset <= offset:
                    break
                rows[known.row.offset] = known.row
        return rows

    def known(self) -> list[KnownId]:
        """All that is remembered, oldest first: for tests and reports."""
        return list(self._order)
