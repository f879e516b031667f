"""Seals and merged terms of journals; the rest of the seam is held by tests/support/archive_contract.py."""

from hypothesis import given
from hypothesis import strategies as st

from broker.journal.archive import RoomDamaged, Standing, Unfinished, unfinished_refusal
from broker.journal.protocol import JournalCorrupt
from wire.names import RoomName, Slot, Term

STANDINGS = st.builds(
    Standing,
    st.integers(0, 9),
    st.dictionaries(st.integers(0, 5).map(Slot), st.integers(1, 9).map(Term)),
)


@given(STANDINGS, STANDINGS)
def test_a_seal_tells_two_standings_apart_and_nothing_else(one: Standing, other: Standing) -> None:
    assert (one.seal() == other.seal()) == (one == other)
    backwards = Standing(one.map_version, dict(reversed(one.terms.items())))
    assert backwards.seal() == one.seal()


@given(STANDINGS, STANDINGS)
def test_whoever_could_write_to_a_target_is_fenced_and_whoever_could_to_the_source_is_not_overtaken(
    copied: Standing, before: Standing
) -> None:
    after = copied.over(before)
    assert after.map_version == max(copied.map_version, before.map_version)
    assert all(after.terms[slot] > term for slot, term in before.terms.items())
    assert all(after.terms[slot] >= term for slot, term in copied.terms.items())
    assert after.terms.keys() == copied.terms.keys() | before.terms.keys()


def test_a_store_never_claimed_takes_the_standing_over() -> None:
    standing = Standing(7, {Slot(1): Term(3)})
    assert standing.over(Standing()) == standing


def test_refusals_name_what_they_speak_of() -> None:
    assert isinstance(RoomDamaged(RoomName("a/b"), "why"), JournalCorrupt)
    assert str(RoomDamaged(RoomName("a/b"), "why")) == "room a/b is damaged: why"
    assert "journal x: a restore into it" in str(unfinished_refusal("journal x", Unfinished("restore", "file", "")))
