"""The judge finds what it is there for: each planted bug is named, a clean run is clean, and time is told fault by fault."""

from collections.abc import Callable, Sequence

import pytest

from broker.record import CHAIN_START, Entry, chain_after, digest_of
from tests.chaos.chronicle import (
    Acked,
    Again,
    AnyLine,
    Attached,
    Connected,
    Failed,
    Fault,
    Lost,
    Placed,
    Removed,
    Said,
    Saw,
    Sent,
    Stopped,
)
from tests.chaos.judge import Findings, KeptEpoch, judge
from wire.names import Epoch

ROOM, OTHER = "chaos/room-00", "chaos/room-01"


def epoch_of(*ids: str, name: str = "e") -> KeptEpoch:
    """A record with a true chain."""
    chain, entries = CHAIN_START, []
    for offset, message_id in enumerate(ids, 1):
        digest = digest_of(b"salt", "ann", message_id, b"body")
        entries.append(Entry(offset, 1000, "message", digest, b"salt", "ann", message_id, b"body"))
        chain = chain_after(chain, Epoch(name), offset, 1000, "message", digest)
    return KeptEpoch(name, entries, chain)


def chain_at(kept: KeptEpoch, offset: int) -> str:
    chain = CHAIN_START
    for entry in kept.entries[:offset]:
        chain = chain_after(chain, Epoch(kept.epoch), entry.offset, entry.at, entry.kind, entry.digest)
    return chain[:8].hex()


LOG = epoch_of("m1", "m2", "m3")


def clean() -> list[AnyLine]:
    """Two people, three messages, one fault between the first and the second."""
    return [
        Placed(0.0, "ann", ROOM, "e", 0, False, "joined"),
        Placed(0.0, "bob", ROOM, "e", 0, False, "joined"),
        Attached(0.0, "shard-1", "gateway-1", ROOM, 1, "e", 0, "", False),
        Said(1.0, "ann", ROOM, "m1"), Acked(1.1, "ann", ROOM, "m1", "e", 1, False),
        Saw(1.1, "ann", ROOM, "e", 1, "m1"), Saw(1.1, "bob", ROOM, "e", 1, "m1"),
        Sent(1.1, "shard-1", "gateway-1", ROOM, 1, "e", 1, chain_at(LOG, 1)),
        Fault(2.0, 5.0, "kill_shard", "shard-1", 5.0),
        Said(2.5, "bob", ROOM, "m2"),
        Attached(4.0, "shard-2", "gateway-1", ROOM, 2, "e", 1, chain_at(LOG, 1), True),
        Acked(4.1, "bob", ROOM, "m2", "e", 2, False),
        Said(6.0, "ann", ROOM, "m3"), Acked(6.1, "ann", ROOM, "m3", "e", 3, False),
        Sent(6.1, "shard-2", "gateway-1", ROOM, 2, "e", 3, chain_at(LOG, 3)),
        *(Saw(6.1, who, ROOM, "e", offset, f"m{offset}") for who in ("ann", "bob") for offset in (2, 3)),
    ]  # fmt: skip


def found_in(lines: Sequence[AnyLine], *epochs: KeptEpoch) -> Findings:
    return judge(lines, {ROOM: epochs or (LOG,)}, ended=10.0)


def test_a_clean_run_is_clean_and_its_pause_is_told() -> None:
    found = found_in(clean())
    assert found.violations == []
    assert found.longest("kill_shard") == pytest.approx(1.6)
    assert (found.said, found.acked, found.seen, found.disconnected("kill_shard")) == (3, 3, 6, 0)


def without(kind: type, *at: float) -> Callable[[list[AnyLine]], list[AnyLine]]:
    return lambda lines: [line for line in lines if not (isinstance(line, kind) and line.t in at)]


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        (Acked(9.0, "ann", ROOM, "m9", "e", 4, False), "lost: m9"),
        (Saw(9.0, "bob", ROOM, "e", 3, "m3"), "again, or out of order"),
        (Saw(9.0, "bob", ROOM, "e", 5, "m5"), "unannounced gap"),
        (Saw(0.5, "bob", ROOM, "e", 1, "another"), "two writers"),
        (Failed(9.0, "ann", ROOM, "m9", "forbidden", True), "refused for good"),
        (Stopped(9.0, "ann", 3507, "no"), "was stopped"),
        (Placed(9.0, "ann", ROOM, "e", 1, False, "reset"), "had to start over"),
        (Said(9.0, "ann", ROOM, "m9"), "never came to an end"),
        (Attached(9.0, "shard-3", "gateway-1", ROOM, 2, "e", 3, chain_at(LOG, 3), True), "term 2 of slot"),
        (Sent(9.0, "shard-1", "gateway-2", ROOM, 1, "e", 2, "00" * 8), "where the record has"),
        (Sent(9.0, "shard-1", "gateway-2", ROOM, 1, "e", 4, "00" * 8), "where the record has None"),
        (Removed(9.0, "ann", ROOM, "e", 1, "e", 3), "back to life"),
        (Placed(9.0, "cem", OTHER, "f", 0, False, "joined"), "the store does not know it"),
    ],
)
def test_a_planted_bug_is_named(planted: AnyLine, word: str) -> None:
    lines = sorted([*clean(), planted], key=lambda line: line.t)
    if isinstance(planted, Acked):
        lines.insert(0, Said(0.0, "ann", ROOM, planted.id))
    found = found_in(lines)
    assert any(word in line for line in found.violations), found.violations


def test_what_was_taken_back_is_a_tombstone_whatever_readers_had_of_it() -> None:
    tombstone = LOG.entries[0].erased("author")
    log = KeptEpoch("e", [tombstone, *LOG.entries[1:]], LOG.head_chain)
    found = found_in([*clean(), Removed(9.0, "ann", ROOM, "e", 1, "e", 3)], log)
    assert found.violations == []
    assert found.removed == 1


def test_a_record_whose_chain_does_not_hold_is_named() -> None:
    forged = KeptEpoch("e", [LOG.entries[0], LOG.entries[2]], LOG.head_chain)
    assert any("has 3 where 2 belongs" in line for line in found_in(clean(), forged).violations)
    other_head = KeptEpoch("e", LOG.entries, bytes(16))
    assert any("on another chain" in line for line in found_in(clean(), other_head).violations)


def test_who_lost_their_own_connection_waited_for_that_and_not_for_the_shard() -> None:
    lines = sorted([*clean(), Lost(3.0, "bob", 1006, "")], key=lambda line: line.t)
    found = found_in(lines)
    assert found.longest("kill_shard") == pytest.approx(0.1)
    assert found.disconnected("kill_shard") == 1


@pytest.mark.parametrize(
    ("said", "failed", "before_s", "move_s"),
    [(2.4, 2.5, 0.4, 0.1), (2.4, 3.1, 0.4, 1.7), (3.1, 3.2, 0.0, 1.0)],
    ids=["refused before the move", "refused in the move, said before", "said and refused in the move"],
)
def test_a_wait_counts_for_the_faults_its_sendings_were_under_way_in(
    said: float, failed: float, before_s: float, move_s: float
) -> None:
    said_and_acked = [line for line in clean() if isinstance(line, Said | Acked) and line.id == "m2"]
    lines = [line for line in clean() if not isinstance(line, Fault) and line not in said_and_acked]
    lines += [
        Fault(1.5, 1.6, "kill_store", "", 1.6), Fault(2.8, 4.5, "move_slots", "", 4.5),
        Said(said, "bob", ROOM, "m2"), Failed(failed, "bob", ROOM, "m2", "unavailable", False),
        Again(4.0, "bob", ROOM, "m2"), Acked(4.1, "bob", ROOM, "m2", "e", 2, False),
    ]  # fmt: skip
    found = found_in(sorted(lines, key=lambda line: line.t))
    assert found.violations == []
    assert found.longest("kill_store") == pytest.approx(before_s)
    assert found.longest("move_slots") == pytest.approx(move_s)


@pytest.mark.parametrize(("back_at", "longest_s"), [(3.9, 0.1), (2.2, 1.6)], ids=["while away", "when back"])
def test_who_speaks_without_a_connection_waits_for_one(back_at: float, longest_s: float) -> None:
    lines = [*clean(), Lost(2.1, "bob", 1006, ""), Connected(back_at, "bob", "gateway-2", False)]
    found = found_in(sorted(lines, key=lambda line: line.t))
    assert found.longest("kill_shard") == pytest.approx(longest_s)
    assert found.disconnected("kill_shard") == 1


def test_a_message_said_just_before_a_fault_waited_for_that_one_and_not_for_the_one_before() -> None:
    lines = [*clean()[:-6], Said(7.9, "ann", ROOM, "m3"), Fault(8.0, 9.0, "cut_links", "of shard-1", 9.0)]
    lines += [Acked(9.5, "ann", ROOM, "m3", "e", 3, False), *(line for line in clean() if isinstance(line, Saw) and line.t > 6)]
    found = found_in(lines)
    assert found.violations == []
    assert found.longest("kill_shard") == pytest.approx(1.6)
    assert found.longest("cut_links") == pytest.approx(1.6)
