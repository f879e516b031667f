"""When a client comes back: never in step with others, never too soon, never too late."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from client.reconnect import Reconnect
from wire.limits import RECONNECT_BASE_S, RECONNECT_CAP_S, RECONNECT_UNOPENED_MAX_S, RECONNECT_UNOPENED_MIN_S

SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.integers(1, 60))
def test_delays_stay_between_base_and_cap(seed: int, attempts: int) -> None:
    reconnect = Reconnect(["ws://a"], Random(seed))
    for step in range(attempts):
        delay = reconnect.delay_after_close(0.0, 0.0)
        assert RECONNECT_BASE_S <= delay <= min(RECONNECT_CAP_S, RECONNECT_BASE_S * (1 + 2**step))


def test_delays_of_many_clients_are_spread() -> None:
    delays = [Reconnect(["ws://a"], Random(seed)).delay_after_close(0.0, 0.0) for seed in range(1000)]
    assert len(set(delays)) == 1000
    in_first_half = sum(delay < 1.5 * RECONNECT_BASE_S for delay in delays)
    assert 400 < in_first_half < 600


def test_a_connection_that_lasted_starts_the_backoff_anew() -> None:
    reconnect = Reconnect(["ws://a"], Random(1))
    for _ in range(20):
        reconnect.delay_after_close(0.1, 0.0)
    assert reconnect.delay_after_close(RECONNECT_CAP_S, 0.0) <= 2 * RECONNECT_BASE_S


@given(SEEDS, st.floats(0.001, 100))
def test_the_servers_slot_is_kept_with_a_little_jitter(seed: int, retry_after_s: float) -> None:
    delay = Reconnect(["ws://a"], Random(seed)).delay_after_close(0.0, retry_after_s)
    assert retry_after_s <= delay <= retry_after_s + RECONNECT_BASE_S


@given(SEEDS)
def test_a_handshake_that_never_opened_is_tried_again_after_one_to_ten_seconds(seed: int) -> None:
    reconnect = Reconnect(["ws://a"], Random(seed))
    for _ in range(10):
        assert RECONNECT_UNOPENED_MIN_S <= reconnect.delay_after_unopened() <= RECONNECT_UNOPENED_MAX_S
    assert reconnect.delay_after_unopened(30.0) >= 30.0


@given(SEEDS)
def test_the_first_round_walks_all_addresses_without_waiting(seed: int) -> None:
    urls = ["ws://a", "ws://b", "ws://c"]
    reconnect = Reconnect(urls, Random(seed))
    tried = [reconnect.next_url()]
    while reconnect.delay_after_unopened() == 0.0:
        tried.append(reconnect.next_url())
    assert sorted(tried) == urls
    assert reconnect.delay_after_unopened() > 0


def test_after_a_welcome_there_is_no_first_round_any_more() -> None:
    reconnect = Reconnect(["ws://a", "ws://b"], Random(1))
    reconnect.welcomed()
    assert reconnect.delay_after_unopened() > 0


def test_clients_of_one_list_start_at_different_places() -> None:
    assert len({Reconnect(["ws://a", "ws://b", "ws://c"], Random(seed)).next_url() for seed in range(50)}) == 3


def test_who_is_told_where_to_begin_begins_there() -> None:
    urls = ["ws://a", "ws://b", "ws://c"]
    reconnect = Reconnect(urls, Random(1), first=1)
    assert [reconnect.next_url() for _ in urls] == ["ws://b", "ws://c", "ws://a"]
