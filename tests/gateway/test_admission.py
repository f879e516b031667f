import pytest

from gateway.admission import Admission


def test_what_is_under_way_is_bounded_before_anything_is_read() -> None:
    admission = Admission(connections_max=10, connections_soft_max=10, handshakes_pending_max=2)
    admission.accepted()
    assert admission.admits
    admission.accepted()
    assert not admission.admits
    admission.handshake_over()
    assert admission.admits


def test_the_hard_budget_counts_open_websockets_and_not_who_still_asks() -> None:
    admission = Admission(connections_max=1, connections_soft_max=1, handshakes_pending_max=9)
    admission.accepted()
    assert not admission.is_full
    admission.handshake_over()
    assert admission.is_full
    admission.accepted()
    assert admission.is_full
    assert admission.websockets_open == 1


def test_over_the_soft_budget_is_who_opened_beyond_it() -> None:
    admission = Admission(connections_max=9, connections_soft_max=1, handshakes_pending_max=9)
    admission.accepted()
    admission.handshake_over()
    assert not admission.is_busy
    admission.accepted()
    admission.handshake_over()
    assert admission.is_busy
    admission.ended()
    assert not admission.is_busy


def test_nothing_ends_that_did_not_begin() -> None:
    admission = Admission(1, 1, 1)
    with pytest.raises(AssertionError):
        admission.handshake_over()
    with pytest.raises(AssertionError):
        admission.ended()


def test_a_connection_does_not_end_before_its_handshake() -> None:
    admission = Admission(1, 1, 1)
    admission.accepted()
    with pytest.raises(AssertionError):
        admission.ended()
