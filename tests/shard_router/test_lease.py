"""Who is alive, by one observer's own clock: signs, stalls, and what a stall may never do."""

import math

from hypothesis import given
from hypothesis import strategies as st

from shard_router.lease import STALL_S, OwnLease, Watch
from wire.limits import LEASE_RENEWAL_S, LEASE_S, MAP_POLL_S


class Observer:
    """A watch with a clock; reads are instant unless `took` says otherwise."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.now = 1000.0

    def look(self, *, after: float = MAP_POLL_S, took: float = 0.0, **counters: int) -> None:
        self.now += after
        asked = self.now
        self.now += took
        self.watch.look({name: ("first", counter) for name, counter in counters.items()}, asked, self.now)

    def look_for(self, seconds: float, **counters: int) -> None:
        """Read on and on while nobody moves."""
        for _ in range(math.ceil(seconds / MAP_POLL_S)):
            self.look(**counters)


def watching(**counters: int) -> Observer:
    """An observer that has seen these move once."""
    observer = Observer()
    observer.look(**dict.fromkeys(counters, 0))
    observer.look(**counters)
    return observer


def test_who_moves_is_alive_and_who_stands_still_for_a_lease_is_missing() -> None:
    observer = watching(a=1, b=1)
    for counter in range(2, 20):
        observer.look(a=counter, b=1)
    assert observer.watch.is_alive("a")
    assert observer.watch.has_moved("a")
    assert not observer.watch.is_alive("b")
    since = observer.watch.missing_since("b")
    assert since is not None
    assert observer.now - since >= LEASE_S
    assert observer.watch.missing_since("a") is None


def test_a_lease_ends_at_a_read_that_was_asked_a_lease_after_the_counter_was_seen_to_move() -> None:
    observer = watching(a=1)
    moved_at = observer.now
    assert observer.watch.next_missing_at() == moved_at + LEASE_S
    observer.look_for(LEASE_S - 2 * MAP_POLL_S, a=1)
    observer.look(after=moved_at + LEASE_S - 0.001 - observer.now, a=1)
    assert observer.watch.is_alive("a")
    observer.look(after=0.001, a=1)
    assert not observer.watch.is_alive("a")
    assert observer.watch.next_missing_at() == math.inf


def test_what_a_slow_answer_says_may_be_as_old_as_the_question() -> None:
    observer = watching(a=1)
    moved_at = observer.now
    observer.look_for(1.0, a=1)
    # Asked before the lease ends, answered after it: nobody knows whether the counter moved in between.
    observer.look(after=moved_at + LEASE_S - 0.1 - observer.now, took=0.3, a=1)
    assert observer.watch.is_alive("a")


def test_after_a_stall_everybody_has_one_full_lease() -> None:
    observer = watching(a=1, b=1)
    observer.look(after=5.0, a=1, b=1)
    assert observer.watch.is_alive("a")
    assert sorted(observer.watch.unproven()) == ["a", "b"]
    observer.look(a=2, b=1)
    assert list(observer.watch.unproven()) == ["b"]
    observer.look_for(LEASE_S - 2 * MAP_POLL_S, a=2, b=1)
    assert observer.watch.is_alive("b")
    observer.look_for(2 * MAP_POLL_S, a=2, b=1)
    assert not observer.watch.is_alive("b")
    assert not list(observer.watch.unproven())


def test_a_stall_brings_nobody_back_who_was_missing() -> None:
    observer = watching(a=1)
    observer.look_for(LEASE_S + MAP_POLL_S, a=1)
    assert not observer.watch.is_alive("a")
    observer.look(after=60.0, a=1)
    assert not observer.watch.is_alive("a")
    observer.look(a=2)
    assert observer.watch.has_moved("a")


def test_what_stands_there_at_the_first_read_proves_nothing_until_it_moves_or_its_lease_ends() -> None:
    observer = Observer()
    observer.look(dead=7, alive=7)
    assert sorted(observer.watch.unproven()) == ["alive", "dead"]
    assert not observer.watch.has_moved("dead")
    observer.look(dead=7, alive=8, newcomer=0)
    assert list(observer.watch.unproven()) == ["dead"]
    assert observer.watch.has_moved("newcomer")
    observer.look_for(LEASE_S, dead=7, alive=8, newcomer=0)
    assert not observer.watch.is_alive("dead")


def test_who_is_taken_out_is_not_alive_and_who_comes_again_is() -> None:
    observer = watching(a=1)
    observer.look()
    assert not observer.watch.is_alive("a")
    assert observer.watch.missing_since("a") is None
    observer.look(a=1)
    assert observer.watch.has_moved("a")


def test_another_incarnation_is_a_sign_of_life() -> None:
    observer = watching(a=5)
    observer.look_for(LEASE_S + MAP_POLL_S, a=5)
    observer.now += MAP_POLL_S
    observer.watch.look({"a": ("second", 5)}, observer.now, observer.now)
    assert observer.watch.has_moved("a")


@given(
    st.lists(st.tuples(st.floats(0.01, STALL_S / 2), st.floats(0, STALL_S / 2)), max_size=60),
    st.floats(0, LEASE_RENEWAL_S),
    st.integers(0, 50),
    st.floats(0.9, 30.0),
)
def test_nobody_who_renews_is_ever_missing_whatever_the_reads_do(
    reads: list[tuple[float, float]], phase: float, stall_before: int, stall_s: float
) -> None:
    """One stall among reads of any pace; the member renews every LEASE_RENEWAL_S but while the store stands still."""
    watch, now, stalled_from, stalled_until = Watch(), 0.0, math.inf, math.inf
    for number, (pause, took) in enumerate(reads):
        if number == stall_before:
            stalled_from, stalled_until = now, now + stall_s
            now = stalled_until
        asked = now
        now += took
        # The read shows the store as of its beginning: the least favourable moment.
        renewals = asked if asked < stalled_from else asked - (stalled_until - stalled_from)
        counter = int((renewals + phase) / LEASE_RENEWAL_S)
        watch.look({"a": ("first", counter)}, asked, now)
        assert watch.is_alive("a")
        now += pause


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.floats(0, 1.0)), min_size=1, max_size=60))
def test_who_stands_still_is_missing_one_lease_after_the_last_stall_at_the_latest(reads: list[tuple[float, float]]) -> None:
    watch, now, last_stall, asked_before = Watch(), 0.0, 0.0, -math.inf
    for pause, took in reads:
        now += pause
        asked, now = now, now + took
        was_missing = not watch.is_alive("a") and asked_before > -math.inf
        if now - asked_before > STALL_S:
            last_stall = now
        watch.look({"a": ("first", 1)}, asked, now)
        asked_before = asked
        assert watch.is_alive("a") == (not was_missing and asked - last_stall < LEASE_S)


def test_a_lease_lapses_from_the_start_of_the_last_renewal_that_succeeded() -> None:
    lease = OwnLease()
    assert lease.is_lapsed(0.0)
    lease.renewed(10.0)
    assert not lease.is_lapsed(10.0 + LEASE_S - 0.01)
    assert lease.is_lapsed(10.0 + LEASE_S)
    lease.renewed(20.0)
    lease.renewed(15.0)
    assert not lease.is_lapsed(21.0)
