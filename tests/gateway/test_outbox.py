"""The outbox: what it accepts leaves once and in order."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox import Outbox


@given(st.binary(max_size=50), st.lists(st.one_of(st.binary(min_size=1, max_size=30), st.integers(0, 40)), max_size=40))
def test_what_an_outbox_accepts_leaves_once_and_in_order(rest: bytes, steps: list[bytes | int]) -> None:
    outbox = Outbox(rest, control_bytes_max=100)
    accepted, left = bytearray(rest), bytearray()
    for step in steps:
        if isinstance(step, bytes):
            if outbox.offer(step):
                accepted += step
        else:
            shown = outbox.peek()
            taken = min(step, len(shown))
            left += shown[:taken]
            outbox.took(taken)
    left += outbox.peek()
    assert left == accepted


def test_a_full_outbox_refuses_and_keeps_what_it_has() -> None:
    outbox = Outbox(b"rest", control_bytes_max=10)
    assert outbox.offer(b"12345678")
    assert not outbox.offer(b"123")
    assert outbox.offer(b"12")
    assert outbox.bytes_held == 14
    assert outbox.peek() == b"rest1234567812"


def test_a_cut_buffer_waits_for_its_end() -> None:
    outbox = Outbox()
    outbox.cut(b"half a frame")
    outbox.offer(b"next")
    assert outbox.peek() == b"half a framenext"
