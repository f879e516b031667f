"""The wheel of tokens that end: nobody too early, nobody forgotten, nothing kept of who left."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from gateway.client import Client
from gateway.expiry import Expiry
from tests.support.gateway_fakes import FakeGateway, make_client

GRACE_S = 5.0


def client_until(expires_at: float) -> Client:
    client, _ = make_client(FakeGateway())
    client.session.expires_at = expires_at
    return client


def test_a_client_is_due_when_its_grace_is_over_and_then_no_longer_watched() -> None:
    expiry, client = Expiry(GRACE_S, 100.0), client_until(110.5)
    expiry.add(client)
    assert expiry.due(115.4) == []
    assert expiry.due(116.0) == [client]
    assert expiry.due(200.0) == []
    assert len(expiry) == 0


def test_a_refresh_moves_it_without_a_word() -> None:
    expiry, client = Expiry(GRACE_S, 100.0), client_until(110.0)
    expiry.add(client)
    client.session.expires_at = 150.0
    assert expiry.due(154.9) == []
    assert expiry.due(155.0) == [client]


def test_who_never_expires_and_who_has_left_is_not_kept() -> None:
    expiry, guest, gone = Expiry(GRACE_S, 0.0), client_until(inf), client_until(10.0)
    expiry.add(guest)
    expiry.add(gone)
    expiry.remove(gone)
    expiry.remove(gone)
    expiry.remove(guest)
    assert len(expiry) == 0
    assert expiry.due(1000.0) == []


@given(st.lists(st.floats(0, 300), max_size=20), st.lists(st.floats(0.01, 50), max_size=40))
def test_whatever_the_times_each_is_told_once_and_within_a_second(ends: list[float], steps: list[float]) -> None:
    expiry, clients = Expiry(GRACE_S, 0.0), [client_until(end) for end in ends]
    for client in clients:
        expiry.add(client)
    told: list[Client] = []
    now = 0.0
    for step in steps:
        now += step
        told += expiry.due(now)
        assert all(client.session.expires_at + GRACE_S <= now for client in told)
        missed = [each for each in clients if each.session.expires_at + GRACE_S <= now - 1.0 and each not in told and now > 2.0]
        assert not missed
    assert len(told) == len(set(told))
    assert len(expiry) == len(clients) - len(told)
