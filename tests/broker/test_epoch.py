"""Epochs: derived for a room that was never written, random after that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.epoch import EPOCH_BYTES, epoch_of, first_epoch
from wire.limits import EPOCH_CHARS_MAX
from wire.names import RoomName, parse_message_id


def test_the_first_epoch_is_the_same_for_ever() -> None:
    """Another value would void every position in a room that was never written: a vector, like the slots'."""
    assert first_epoch("a store", RoomName("town/square")) == "jx4yqxycpmp6m"


def test_another_store_or_another_room_has_another_first_epoch() -> None:
    epochs = {first_epoch(store, RoomName(room)) for store in ("a", "b", "at") for room in ("town/a", "town/b", "own/a")}
    assert len(epochs) == 9


@given(st.binary(min_size=EPOCH_BYTES, max_size=EPOCH_BYTES))
def test_an_epoch_is_thirteen_letters_and_digits_that_fit_an_id(random_bytes: bytes) -> None:
    epoch = epoch_of(random_bytes)
    assert len(epoch) == 13 <= EPOCH_CHARS_MAX
    assert parse_message_id(epoch) == epoch


def test_an_epoch_of_less_randomness_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        epoch_of(b"short")
