"""Slots for those who have to come back elsewhere."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.drain import CLIENTS_PER_SLOT, reconnect_slots


@given(st.integers(0, 20_000), st.floats(1.0, 60.0))
def test_everyone_gets_one_slot_in_order_and_before_half_the_deadline(count: int, deadline_s: float) -> None:
    slots = list(reconnect_slots(range(count), deadline_s))
    assert [client for _, group in slots for client in group] == list(range(count))
    assert all(len(group) <= CLIENTS_PER_SLOT for _, group in slots)
    waits = [wait_ms for wait_ms, _ in slots]
    assert waits == sorted(waits)
    assert all(wait_ms <= deadline_s * 500 for wait_ms in waits)
