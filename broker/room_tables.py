"""What a room adds to its tables: decided, in one write, and kept for a journal that forgets.

Rows that belong to an event are in the same write as it.  Others follow what was decided
before them and need no event.  Of a row that is decided twice before a write only the last
goes into it.  What the rows mean is left to the features.  Pure.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from broker.journal.protocol import Row, Snapshot
from broker.record import Head
from wire.limits import ROOM_RECENT_ROWS_BYTES_MAX, ROOM_RECENT_ROWS_MAX, ROOM_TAIL_EVENTS_MAX, ROWS_PER_WRITE_MAX
from wire.names import TableName


class DecidedRows(Struct, frozen=True):
    """Rows that may be written with event number `after` of this room's life in memory, or later; `is_tied`: with it only."""

    after: int
    is_tied: bool
    rows: Sequence[Row]
    size: int


class WrittenRows(Struct, frozen=True):
    """The rows of one write; `base` and `head` are the log's before and after it."""

    seq: int
    base: Head
    head: Head
    rows: Sequence[Row]
    size: int


class RoomTables:
    """Invariant: `_recent` has every write of rows from `_recent_base` to `seq`."""

    __slots__ = (
        "_in_flight", "_pending", "_recent", "_recent_base", "_recent_bytes", "_recent_rows", "_snapshot_in_flight",
        "_snapshot_pending", "seq", "snapshot",
    )  # fmt: skip

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        """The published sequence: what the journal has, unless it forgot."""
        self.snapshot: Snapshot | None = None
        """The newest that was written from here in this epoch."""
        self._pending: deque[DecidedRows] = deque()
        self._in_flight: list[DecidedRows] = []
        self._snapshot_pending: Snapshot | None = None
        self._snapshot_in_flight: Snapshot | None = None
        self._recent: deque[WrittenRows] = deque()
        """At most ROOM_RECENT_ROWS_MAX rows and ROOM_RECENT_ROWS_BYTES_MAX, or one write."""
        self._recent_base = seq
        self._recent_rows = 0
        self._recent_bytes = 0

    # --- deciding and writing -------------------------------------------------------------------

    @property
    def has_unsubmitted(self) -> bool:
        return bool(self._pending) or self._snapshot_pending is not None

    @property
    def is_in_flight(self) -> bool:
        return bool(self._in_flight) or self._snapshot_in_flight is not None

    def add(self, rows: Sequence[Row], after: int, *, is_tied: bool) -> None:
        assert 0 < len(rows) <= ROWS_PER_WRITE_MAX, "what is decided at once fits into one write"
        self._pending.append(DecidedRows(after, is_tied, rows, sum(row.size() for row in rows)))

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Goes with the next write of this epoch; it is of the published log."""
        self._snapshot_pending = snapshot

    def events_max(self, written: int, bytes_max: int) -> int:
        """How many events the next write may have, so that no event comes without its rows.

        `written` events were in writes before.
        """
        for waiting in list(self._pending)[self._fitting(bytes_max):]:
            if waiting.is_tied and waiting.after > written:
                return waiting.after - 1 - written
        return ROOM_TAIL_EVENTS_MAX

    def take(self, upto: int, bytes_max: int, *, new_epoch: bool) -> tuple[list[Row], Snapshot | None]:
        """What goes into the write that ends with event number `upto`."""
        for _ in range(self._fitting(bytes_max)):
            if self._pending[0].after > upto:
                break
            self._in_flight.append(self._pending.popleft())
        if new_epoch:
            # A snapshot of the log that ends here is of no use any more.
            self._snapshot_pending = self.snapshot = None
        self._snapshot_in_flight, self._snapshot_pending = self._snapshot_pending, None
        return merged(decided.rows for decided in self._in_flight), self._snapshot_in_flight

    def _fitting(self, bytes_max: int) -> int:
        """How many of what is pending fit into one write: at least one, if there is one."""
        rows = size = 0
        for count, decided in enumerate(self._pending):
            rows, size = rows + len(decided.rows), size + decided.size
            if count and (rows > ROWS_PER_WRITE_MAX or size > bytes_max):
                return count
        return len(self._pending)

    def publish(self, base: Head, head: Head) -> None:
        """The write in flight has committed."""
        if self._snapshot_in_flight is not None:
            self.snapshot, self._snapshot_in_flight = self._snapshot_in_flight, None
        if not self._in_flight:
            return
        rows = merged(decided.rows for decided in self._in_flight)
        self._in_flight = []
        self.seq += 1
        self._keep(WrittenRows(self.seq, base, head, rows, sum(row.size() for row in rows)))

    def take_back(self) -> None:
        """Nothing of the write in flight was written."""
        self._pending.extendleft(reversed(self._in_flight))
        self._in_flight = []
        self._snapshot_pending = self._snapshot_pending or self._snapshot_in_flight
        self._snapshot_in_flight = None

    # --- a journal that forgot ----------------------------------------------------------------------

    def _keep(self, written: WrittenRows) -> None:
        recent = self._recent
        recent.append(written)
        self._recent_rows += len(written.rows)
        self._recent_bytes += written.size
        while len(recent) > 1 and (
            self._recent_rows > ROOM_RECENT_ROWS_MAX or self._recent_bytes > ROOM_RECENT_ROWS_BYTES_MAX
        ):
            oldest = recent.popleft()
            self._recent_base = oldest.seq
            self._recent_rows -= len(oldest.rows)
            self._recent_bytes -= oldest.size

    def written_after(self, seq: int) -> Sequence[WrittenRows] | None:
        """The writes of rows that a journal at `seq` does not have; None when they are not all here, or it has more."""
        if not self._recent_base <= seq <= self.seq:
            return None
        return [written for written in self._recent if written.seq > seq]

    def remember(self, before: "RoomTables") -> None:
        """This room was loaded again after `before`: what that one kept counts, when nothing came between."""
        if before.seq == self.seq:
            self._recent = before._recent.copy()
            self._recent_base = before._recent_base
            self._recent_rows, self._recent_bytes = before._recent_rows, before._recent_bytes


def merged(decided: Iterable[Sequence[Row]]) -> list[Row]:
    """Each row once, as it was decided last."""
    latest: dict[tuple[TableName, str], Row] = {}
    for rows in decided:
        for row in rows:
            latest[row.table, row.key] = row
    return list(latest.values())
