"""What clients saw, and whether the promises were kept: the checker of every play and simulation.

Each `Witness` writes down what one client was told, in order.  `violations` holds the
histories against one another and against the log as the journal has it, and names what it
finds: lost, duplicate, reordered, unannounced gap, two writers, delivered though refused.
It is itself tested on planted bugs (tests/whole/test_history.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from client.updates import Connected, Reconnecting, Update
from wire.client_messages import Ack, Event, Joined, Refused, Reset, Skipped, Unknown


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as a reader had it."""

    epoch: str
    offset: int
    id: str


@dataclass(frozen=True, slots=True)
class Place:
    """From here on the reader has nothing before `offset` of `epoch` to expect: a join, a reset, a skip."""

    epoch: str
    offset: int
    continues: bool
    """Whether it claims that nothing is missing since what was seen before."""


@dataclass
class Witness:
    """One client's history of one room."""

    name: str
    room: str
    entries: list[Seen | Place] = field(default_factory=list)
    acked: dict[str, Ack] = field(default_factory=dict)
    acked_after: dict[str, int] = field(default_factory=dict)
    """How many entries there were when a message was acknowledged."""
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    reconnected_after: int = -1
    """How many entries there were when the connection was last lost."""
    moved_after: int = -1
    """How many there were when a connection to another gateway had taken the place of the one before."""
    acked_elsewhere: set[str] = field(default_factory=set)
    """Messages that were under way when it moved: the gateway that acknowledged them is maybe not the one it reads from."""
    removals: list[tuple[Ack, Ack]] = field(default_factory=list)
    """Messages that were removed again: how the message was acknowledged, and how its removal was."""
    _epoch: str = ""

    def saw(self, update: Update) -> None:
        """Write down one update of the client; those of other rooms are passed over."""
        if isinstance(update, Reconnecting):
            self.reconnected_after = len(self.entries)
        if isinstance(update, Connected) and update.moved:
            self.moved_after = len(self.entries)
        if getattr(update, "room", None) != self.room:
            return
        match update:
            case Joined():
                self._epoch = update.epoch
                self.entries.append(Place(update.epoch, update.since, update.recovered))
            case Reset():
                self._epoch = update.epoch
                self.entries.append(Place(update.epoch, update.offset, False))
            case Skipped():
                self.entries.append(Place(self._epoch, update.last, False))
            case Event():
                self.entries.append(Seen(self._epoch, update.offset, update.id))

    def published(self, message_id: str, outcome: Ack | Refused | Unknown, said_after: int | None = None) -> None:
        """Write down how a publish ended that began after so many entries, where that is known."""
        match outcome:
            case Ack():
                if said_after is not None and said_after <= self.moved_after:
                    self.acked_elsewhere.add(message_id)
                self.acked[message_id] = outcome
                self.acked_after[message_id] = len(self.entries)
            case Refused():
                self.refused.add(message_id)
            case Unknown():
                self.unknown.add(message_id)

    @property
    def events(self) -> list[Seen]:
        return [entry for entry in self.entries if isinstance(entry, Seen)]


@dataclass(frozen=True, slots=True)
class Kept:
    """One event of the log, as the journal has it at the end; one that was removed has no id any more."""

    epoch: str
    offset: int
    id: str
    removed: bool = False


# Stands for the id of what was removed.
ANY_ID = "*"


def violations(
    witnesses: Iterable[Witness], log: Sequence[Kept], forgotten: Collection[tuple[str, int]] = frozenset()
) -> list[str]:
    """Everything that breaks a promise, in words; empty when all were kept.

    `forgotten` are places (epoch, offset) that the store lost when nobody alive knew them any more.  What was
    acknowledged there may be gone, and the place may be used again, but whoever knew of it, and has been connected
    since, must have been told to start over.
    """
    witnesses = list(witnesses)
    found = _log_violations(log)
    by_place = {(kept.epoch, kept.offset): ANY_ID if kept.removed else kept.id for kept in log}
    ids = {kept.id for kept in log}
    for witness in witnesses:
        found += _order_violations(witness)
        for index, seen in enumerate(witness.entries):
            if isinstance(seen, Place):
                continue
            place = (seen.epoch, seen.offset)
            kept_id = by_place.get(place)
            if kept_id in (seen.id, ANY_ID):
                continue
            if place in forgotten or (not seen.id and _may_lack_a_removal(place, forgotten)):
                if not _was_told(witness, place, index):
                    found.append(f"{witness.name}: saw {seen.offset} of {seen.epoch}, which is forgotten, and was not told")
            elif kept_id is None:
                found.append(f"{witness.name}: saw offset {seen.offset} of {seen.epoch}, which the log does not have")
            else:
                found.append(f"two writers: offset {seen.offset} of {seen.epoch} is {kept_id} and, for {witness.name}, {seen.id}")
        found += _publish_violations(witness, ids, by_place, forgotten)
        found += _removal_violations(witness, by_place, forgotten)
    return found


def _may_lack_a_removal(place: tuple[str, int], forgotten: Collection[tuple[str, int]]) -> bool:
    """Whether what removed the event at `place` may be among what was forgotten: then its text is in the log again."""
    return any(epoch == place[0] and offset > place[1] for epoch, offset in forgotten)


def _was_told(witness: Witness, place: tuple[str, int], since: int) -> bool:
    """Whether a client that knew of `place` was told, after so many of its entries, to start over elsewhere or before it.

    Who came back over another connection may have been the only one left who knew.  Its position has no
    chain, so nobody can tell that the log before it is another one.
    """
    if witness.reconnected_after > since:
        return True
    resets = [entry for entry in witness.entries[since:] if isinstance(entry, Place) and not entry.continues]
    return any(entry.epoch != place[0] or entry.offset < place[1] for entry in resets)


def _log_violations(log: Sequence[Kept]) -> list[str]:
    found = []
    ids: dict[str, Kept] = {}
    last: dict[str, int] = {}
    for kept in log:
        if kept.offset != last.get(kept.epoch, kept.offset - 1) + 1:
            found.append(f"the log of {kept.epoch} jumps from {last[kept.epoch]} to {kept.offset}")
        last[kept.epoch] = kept.offset
        if kept.id and kept.id in ids:
            found.append(f"duplicate: {kept.id} is at {ids[kept.id].offset} and at {kept.offset}")
        ids[kept.id] = kept
    return found


def _order_violations(witness: Witness) -> list[str]:
    """One reader's offsets: contiguous, but for what was announced, and never twice."""
    found = []
    epoch, expected = "", 0
    # What a client had of the same log when it was told to start over: it need not be given that again.
    had = 0
    for entry in witness.entries:
        if isinstance(entry, Place):
            if entry.continues and (entry.epoch, entry.offset + 1) != (epoch, expected) and entry.offset + 1 > expected:
                found.append(f"{witness.name}: resume claims to continue at {entry.offset + 1}, but {expected} was expected")
            if not entry.continues:
                had = expected if entry.epoch == epoch else 0
                epoch, expected = entry.epoch, entry.offset + 1
            continue
        if entry.offset == had and entry.epoch == epoch:
            expected = had
        had = 0
        if entry.epoch != epoch:
            found.append(f"{witness.name}: event {entry.offset} of {entry.epoch} without a join or reset")
        elif entry.offset < expected:
            found.append(f"{witness.name}: offset {entry.offset} again, or out of order, after {expected - 1}")
        elif entry.offset > expected:
            found.append(f"{witness.name}: unannounced gap, {expected} to {entry.offset - 1}")
        epoch, expected = entry.epoch, max(expected, entry.offset + 1)
    return found


def _removal_violations(
    witness: Witness, by_place: Mapping[tuple[str, int], str], forgotten: Collection[tuple[str, int]]
) -> list[str]:
    found = []
    for message, removal in witness.removals:
        place = (message.epoch, message.offset)
        is_forgotten = place in forgotten or (removal.epoch, removal.offset) in forgotten
        # A removal names an offset only: in another epoch it was about something else.
        if message.epoch == removal.epoch and by_place.get(place) != ANY_ID and not is_forgotten:
            found.append(f"back to life: {message.id} at {message.offset} of {message.epoch} was removed")
    return found


def _publish_violations(
    witness: Witness, ids: set[str], by_place: Mapping[tuple[str, int], str], forgotten: Collection[tuple[str, int]]
) -> list[str]:
    found = []
    for message_id, ack in witness.acked.items():
        place = (ack.epoch, ack.offset)
        kept_id = by_place.get(place)
        is_excused = place in forgotten and (
            message_id in witness.acked_elsewhere or _was_told(witness, place, witness.acked_after[message_id])
        )
        if kept_id not in (message_id, ANY_ID) and not is_excused:
            found.append(f"lost: {message_id} was acknowledged at {ack.offset} of {ack.epoch}, where the log has {kept_id}")
    found += [f"{message_id} was refused and is in the log" for message_id in sorted(witness.refused & ids)]
    return found
