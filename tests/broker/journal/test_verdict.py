"""The rule of fence and head, as a table."""

import dataclasses

import pytest

from broker.journal.protocol import CommitVerdict
from broker.journal.verdict import check_shape, outcome_of
from broker.record import CHAIN_START, Head
from tests.support.journal_writes import RoomWriter, row
from wire.names import Epoch, Term

A, B = Epoch("epoch-a"), Epoch("epoch-b")
ONE, TWO = b"1" * 16, b"2" * 16
NOTHING = Head(A, 0, CHAIN_START, 0)
V = CommitVerdict


@pytest.mark.parametrize(
    ("base", "kept", "verdict"),
    [
        (NOTHING, None, V.COMMITTED),
        (Head(A, 1, ONE, 5), Head(A, 1, ONE, 5), V.COMMITTED),
        (Head(A, 1, ONE, 0), Head(A, 1, ONE, 5), V.COMMITTED),  # time is no part of a place
        (Head(A, 2, TWO, 5), Head(A, 1, ONE, 5), V.BEHIND),
        (Head(A, 2, TWO, 5), None, V.BEHIND),
        (Head(A, 1, TWO, 5), Head(A, 1, ONE, 5), V.DIVERGED),
        (Head(A, 1, ONE, 5), Head(A, 2, TWO, 5), V.DIVERGED),
        (NOTHING, Head(A, 1, ONE, 5), V.DIVERGED),
        (Head(A, 0, ONE, 5), None, V.DIVERGED),
        (Head(B, 1, ONE, 5), Head(A, 1, ONE, 5), V.DIVERGED),
        (Head(B, 2, ONE, 5), Head(A, 1, ONE, 5), V.DIVERGED),
    ],
)
def test_a_write_is_judged_by_the_head_it_builds_on(base: Head, kept: Head | None, verdict: CommitVerdict) -> None:
    outcome = outcome_of(RoomWriter(term=3).write("x", base=base), Term(3), kept)
    assert outcome.verdict is verdict
    assert outcome.head == (None if verdict is V.COMMITTED else kept or NOTHING)


@pytest.mark.parametrize(
    ("base", "rows_base", "verdict"),
    [
        (Head(A, 1, ONE, 5), 3, V.COMMITTED),
        (Head(A, 1, ONE, 5), 4, V.BEHIND),
        (Head(A, 1, ONE, 5), 2, V.DIVERGED),
        (Head(A, 2, TWO, 5), 3, V.BEHIND),
        (Head(A, 2, TWO, 5), 4, V.BEHIND),
        (Head(A, 2, TWO, 5), 2, V.DIVERGED),
        (Head(A, 1, TWO, 5), 4, V.DIVERGED),
        (Head(B, 1, ONE, 5), 4, V.DIVERGED),
    ],
)
def test_a_write_is_judged_by_the_tables_it_builds_on_as_well(base: Head, rows_base: int, verdict: CommitVerdict) -> None:
    writer = RoomWriter(term=3)
    writer.rows_seq = rows_base
    kept = Head(A, 1, ONE, 5)
    for rows in ([], [row("ann", "yes")]):
        outcome = outcome_of(writer.write("x", base=base, rows=rows), Term(3), kept, 3)
        assert outcome.verdict is verdict
        assert (outcome.head, outcome.rows_seq) == ((None, 0) if verdict is V.COMMITTED else (kept, 3))


@pytest.mark.parametrize("newest", [None, 2, 4])
def test_only_the_newest_term_may_write_whatever_the_head(newest: int | None) -> None:
    outcome = outcome_of(RoomWriter(term=3).write("x"), None if newest is None else Term(newest), None)
    assert (outcome.verdict, outcome.head) == (V.FENCED, None)


def test_a_write_has_one_shape() -> None:
    writer = RoomWriter()
    good = writer.write("one", "two")
    check_shape(good)
    check_shape(writer.write())
    check_shape(writer.write("begun", new_epoch="epoch-b"))
    later = Head(A, 2, good.head.chain, 0)
    for wrong in (
        {"head": Head(A, 3, good.head.chain, 0)},
        {"head": Head(A, 2, b"short", 0)},
        {"base": Head(A, 1, ONE, 0)},
        {"base": later, "head": Head(A, 4, ONE, 0)},
        {"entries": good.entries[:1]},
        {"new_epoch": True},
        {"head": Head(B, 2, good.head.chain, 0)},
        {"entries": (), "head": good.base},  # its ids name events that it does not have
        {"entries": (), "ids": (), "head": Head(A, 0, ONE, 0)},
        {"entries": (), "ids": (), "head": Head(B, 0, CHAIN_START, 0), "new_epoch": True},
    ):
        with pytest.raises(AssertionError):
            check_shape(dataclasses.replace(good, **wrong))
