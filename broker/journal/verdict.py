"""Whether a write may be stored: the one rule of fence and head, as a pure function.

The term must be the slot's newest, neither older nor unknown: a store that was replaced by
an older copy knows lower terms than its writers, and accepting those would let two write.
"""

from typing import Final

from broker.journal.protocol import CommitOutcome, CommitVerdict, Write
from broker.record import CHAIN_BYTES, CHAIN_START, Head
from wire.names import Term

COMMITTED: Final = CommitOutcome(CommitVerdict.COMMITTED)
FENCED: Final = CommitOutcome(CommitVerdict.FENCED)


def check_shape(write: Write) -> None:
    """Hold a writer to its word before anything is stored; a violation is a bug of ours."""
    entries, base, head = write.entries, write.base, write.head
    before = 0 if write.new_epoch else base.offset
    assert write.new_epoch == (base.epoch != head.epoch), "a write changes the epoch if, and only if, it says so"
    assert head.offset == before + len(entries), "the head of a write is the offset of its last entry"
    if entries:
        assert entries[0].offset == before + 1, "the entries of a write begin right after its base"
        assert entries[-1].offset == head.offset, "the entries of a write are contiguous"
        assert len(head.chain) == CHAIN_BYTES, "a chain has 16 bytes"
    else:
        assert not write.new_epoch, "a new epoch begins with an event"
        assert not write.ids, "an id names an event of its write"
        assert head.chain == base.chain, "without entries the head stays"


def outcome_of(write: Write, term: Term | None, head: Head | None) -> CommitOutcome:
    """The outcome of `write`, given the slot's newest term and the room's head; None where the journal has none."""
    if write.term != term:
        return FENCED
    base = write.base
    if head is None:
        head = Head(base.epoch, 0, CHAIN_START, 0)
    if base.epoch == head.epoch:
        if base.offset > head.offset:
            return CommitOutcome(CommitVerdict.BEHIND, head)
        if base.offset == head.offset and base.chain == head.chain:
            return COMMITTED
    return CommitOutcome(CommitVerdict.DIVERGED, head)
