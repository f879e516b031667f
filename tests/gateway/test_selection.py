"""Selections: exact, fair by author, the same for everybody."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.selection import Run, block_of, last_of, ranks, runs, seed_of
from wire.limits import SAMPLE_BLOCK_EVENTS

AUTHORS = st.lists(st.integers(0, 6) | st.integers(0, 2**32 - 1), max_size=SAMPLE_BLOCK_EVENTS)


@given(st.integers(1, 2**40), st.lists(st.booleans(), max_size=100))
def test_what_is_given_and_what_is_left_out_is_every_offset_once_in_order(first: int, kept: list[bool]) -> None:
    made = list(runs(first, first + len(kept) - 1, lambda offset: kept[offset - first]))
    told = [(offset, run.is_kept) for run in made for offset in range(run.first, run.last + 1)]
    assert told == list(enumerate(kept, first))
    assert all(run.is_kept != later.is_kept for run, later in pairwise(made))


@given(st.integers(0, 2**40), AUTHORS, st.integers(0, 2**64 - 1), st.integers(0, SAMPLE_BLOCK_EVENTS))
def test_nobody_is_kept_twice_more_than_somebody_who_still_waits(first: int, authors: list[int], seed: int, keep: int) -> None:
    ranked = ranks(first, authors, seed)
    assert sorted(ranked) == list(range(len(authors)))
    kept = Counter(author for author, rank in zip(authors, ranked, strict=True) if rank < keep)
    waiting = {author for author, rank in zip(authors, ranked, strict=True) if rank >= keep}
    for author in waiting:
        assert max(kept.values(), default=0) <= kept[author] + 1


@given(st.integers(0, 2**40), AUTHORS, st.integers(0, 2**64 - 1))
def test_the_same_seed_gives_the_same_selection(first: int, authors: list[int], seed: int) -> None:
    assert ranks(first, authors, seed) == ranks(first, list(authors), seed)


def test_who_is_kept_changes_from_block_to_block_and_from_room_to_room() -> None:
    authors = list(range(SAMPLE_BLOCK_EVENTS))
    for seeds in ([seed_of("town/square")] * 200, [seed_of(f"town/{n}") for n in range(200)]):
        chosen = Counter(ranks(n * SAMPLE_BLOCK_EVENTS + 1, authors, seed).index(0) for n, seed in enumerate(seeds))
        # 200 draws of 32: that one author has more than 20 of them does not happen by chance, nor that many have none.
        assert len(chosen) > 25
        assert max(chosen.values()) <= 20


def test_a_flood_by_one_author_takes_no_more_turns_than_anybody_else() -> None:
    authors = [7] * 24 + list(range(8, 16))
    ranked = ranks(1, authors, 5)
    kept = [author for author, rank in zip(authors, ranked, strict=True) if rank < 8]
    assert len(set(kept)) == 8


def test_blocks_follow_each_other_from_the_first_offset_on() -> None:
    assert [block_of(offset) for offset in (1, SAMPLE_BLOCK_EVENTS, SAMPLE_BLOCK_EVENTS + 1)] == [0, 0, 1]
    assert (last_of(-1), last_of(0)) == (0, SAMPLE_BLOCK_EVENTS)


def test_nothing_is_in_no_run() -> None:
    assert list(runs(5, 4, lambda _offset: True)) == []
    assert list(runs(5, 6, lambda _offset: False)) == [Run(5, 6, False)]
