"""The group committer: company, order, bounds, and nobody left without an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.group_commit import GroupCommit, Unknown
from runtime.offload import Offload, ThreadLane
from tests.support.offloads import HeldOffload, InlineOffload


@dataclass(frozen=True)
class Add:
    """A write of these tests: some numbers for one key."""

    key: str
    numbers: tuple[int, ...]
    size: int = 1


@dataclass
class Store:
    """Keeps every group it was given; answers each write with its last number."""

    groups: list[list[Add]] = field(default_factory=list)
    fail: Exception | None = None

    def commit(self, writes: Sequence[Add]) -> Sequence[int]:
        if self.fail is not None:
            raise self.fail
        self.groups.append(list(writes))
        return [write.numbers[-1] for write in writes]

    def of(self, key: str) -> list[int]:
        return [number for group in self.groups for write in group if write.key == key for number in write.numbers]


def joined(writes: Sequence[Add]) -> Add:
    return Add(writes[0].key, tuple(number for write in writes for number in write.numbers), sum(write.size for write in writes))


def committer(
    store: Store,
    offload: Offload,
    writes_max: int = 10,
    bytes_max: int = 1000,
    merge: Callable[[Sequence[Add]], Add] | None = None,
) -> GroupCommit[Add, int]:
    return GroupCommit(
        store.commit,
        offload,
        writes_max=writes_max,
        bytes_max=bytes_max,
        size_of=lambda write: write.size,
        key_of=lambda write: write.key,
        deadline_s=5.0,
        merge=merge,
    )


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_a_lone_write_waits_for_nobody(nursery: trio.Nursery) -> None:
    store, told = Store(), []
    commits = committer(store, InlineOffload())
    nursery.start_soon(commits.run)
    commits.submit(Add("a", (1,)), told.append)
    await commits.wait_idle()
    assert told == [1]
    assert commits.counters.groups == commits.counters.writes == commits.counters.seconds.count == 1


async def test_what_arrives_during_a_commit_goes_together_into_the_next(nursery: trio.Nursery) -> None:
    store, offload, told = Store(), HeldOffload(), []
    commits = committer(store, offload)
    nursery.start_soon(commits.run)
    commits.submit(Add("a", (1,)), told.append)
    await settle()
    for key in "bcd":
        commits.submit(Add(key, (ord(key),)), told.append)
    await settle()
    assert offload.waiting == 1, "at most one group is under way"
    assert commits.writes_pending == 3
    offload.let_go()
    await settle()
    assert told == [1]
    offload.let_go()
    await commits.wait_idle()
    assert [[write.key for write in group] for group in store.groups] == [["a"], ["b", "c", "d"]]
    assert told == [1, 98, 99, 100]


async def test_a_key_is_once_in_a_group_and_keeps_its_order(nursery: trio.Nursery) -> None:
    store, told = Store(), []
    commits = committer(store, InlineOffload())
    for n in range(3):
        commits.submit(Add("hot", (n,)), told.append)
    commits.submit(Add("cold", (9,)), told.append)
    nursery.start_soon(commits.run)
    await commits.wait_idle()
    assert [[(write.key, *write.numbers) for write in group] for group in store.groups] == [
        [("hot", 0), ("cold", 9)],
        [("hot", 1)],
        [("hot", 2)],
    ]
    assert told == [0, 9, 1, 2]


async def test_writes_of_a_key_are_merged_where_they_may_be(nursery: trio.Nursery) -> None:
    store, told = Store(), []
    commits = committer(store, InlineOffload(), merge=joined)
    for n in range(3):
        commits.submit(Add("hot", (n,)), told.append)
    commits.submit(Add("cold", (9,)), told.append)
    nursery.start_soon(commits.run)
    await commits.wait_idle()
    assert store.groups == [[Add("hot", (0, 1, 2), 3), Add("cold", (9,))]]
    assert told == [2, 2, 2, 9]
    assert commits.counters.writes == 2


async def test_the_bound_on_writes_counts_merged_ones_once(nursery: trio.Nursery) -> None:
    store = Store()
    commits = committer(store, InlineOffload(), writes_max=2, merge=joined)
    for key in "abcabc":
        commits.submit(Add(key, (1,)), lambda _: None)
    nursery.start_soon(commits.run)
    await commits.wait_idle()
    assert [[write.key for write in group] for group in store.groups] == [["a", "b"], ["c"]]


async def test_the_bound_on_bytes_splits_and_a_giant_goes_alone(nursery: trio.Nursery) -> None:
    store = Store()
    commits = committer(store, InlineOffload(), bytes_max=100)
    for key, size in (("a", 60), ("b", 60), ("giant", 1000), ("c", 40), ("d", 60)):
        commits.submit(Add(key, (1,), size), lambda _: None)
    assert commits.bytes_pending == 1220
    nursery.start_soon(commits.run)
    await commits.wait_idle()
    assert [[write.key for write in group] for group in store.groups] == [["a"], ["b"], ["giant"], ["c", "d"]]
    assert commits.bytes_pending == commits.writes_pending == 0


async def test_a_hot_key_does_not_starve_the_others(nursery: trio.Nursery) -> None:
    store = Store()
    commits = committer(store, InlineOffload(), bytes_max=10, merge=joined)
    for n in range(100):
        commits.submit(Add("hot", (n,)), lambda _: None)
    for key in "abc":
        commits.submit(Add(key, (1,)), lambda _: None)
    nursery.start_soon(commits.run)
    await commits.wait_idle()
    assert {write.key for write in store.groups[0]} == {"hot", "a", "b", "c"}
    assert store.of("hot") == list(range(100))


async def test_any_failure_of_the_store_is_unknown_to_all_of_the_group(nursery: trio.Nursery) -> None:
    store, told = Store(fail=RuntimeError("disk on fire")), []
    commits = committer(store, InlineOffload())
    commits.submit(Add("a", (1,)), told.append)
    commits.submit(Add("b", (2,)), told.append)
    nursery.start_soon(commits.run)
    await commits.wait_idle()
    assert told == [Unknown("RuntimeError: disk on fire")] * 2
    store.fail = None
    commits.submit(Add("a", (3,)), told.append)
    await commits.wait_idle()
    assert told[2:] == [3]
    assert (commits.counters.groups, commits.counters.failures) == (2, 1)


async def test_a_store_that_answers_too_few_outcomes_said_nothing(nursery: trio.Nursery) -> None:
    told: list[object] = []
    commits = GroupCommit[Add, int](
        lambda writes: [1],
        InlineOffload(),
        writes_max=10,
        bytes_max=10,
        size_of=lambda _: 1,
        key_of=lambda write: write.key,
        deadline_s=5,
    )
    commits.submit(Add("a", (1,)), told.append)
    commits.submit(Add("b", (1,)), told.append)
    nursery.start_soon(commits.run)
    await commits.wait_idle()
    assert told == [Unknown("the store answered 1 outcomes for 2 writes")] * 2


async def test_a_deadline_is_unknown_and_the_next_group_follows(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    store, offload, told = Store(), HeldOffload(), []
    commits = committer(store, offload)
    nursery.start_soon(commits.run)
    commits.submit(Add("a", (1,)), told.append)
    await trio.sleep(5.5)
    assert told == [Unknown("held beyond 5.0 s")]
    commits.submit(Add("a", (2,)), told.append)
    await settle()
    offload.let_go()
    offload.let_go()
    await commits.wait_idle()
    assert told[1:] == [2]
    assert store.of("a") == [1, 2], "the late write took effect all the same"


async def test_at_the_end_everyone_who_waits_is_told_unknown() -> None:
    store, told = Store(), []
    commits = committer(store, HeldOffload())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.run)
        commits.submit(Add("a", (1,)), told.append)
        await settle()
        commits.submit(Add("a", (2,)), told.append)
        commits.submit(Add("b", (3,)), told.append)
        nursery.cancel_scope.cancel()
    ended = Unknown("the committer ended before the write was answered")
    assert told == [ended] * 3
    commits.submit(Add("a", (4,)), told.append)
    assert told == [ended] * 4
    assert commits.is_idle


async def test_a_done_may_submit_again(nursery: trio.Nursery) -> None:
    store, told = Store(), []
    commits = committer(store, InlineOffload())

    def again(outcome: int | Unknown) -> None:
        told.append(outcome)
        if len(told) < 5:
            commits.submit(Add("a", (len(told),)), again)

    commits.submit(Add("a", (0,)), again)
    nursery.start_soon(commits.run)
    await commits.wait_idle()
    assert told == store.of("a") == [0, 1, 2, 3, 4]


async def test_a_bug_in_a_done_still_leaves_nobody_waiting() -> None:
    told: list[object] = []
    commits = committer(Store(), InlineOffload())

    def fail(outcome: int | Unknown) -> None:
        raise AssertionError("a bug")

    commits.submit(Add("a", (1,)), fail)
    commits.submit(Add("b", (2,)), told.append)
    with pytest.raises(AssertionError, match="a bug"):
        await commits.run()
    assert [type(outcome) for outcome in told] == [Unknown]


async def test_it_works_on_a_real_thread(nursery: trio.Nursery) -> None:
    store, told = Store(), []
    lane = ThreadLane("commits")
    commits = committer(store, lane, merge=joined)
    nursery.start_soon(commits.run)
    for n in range(500):
        commits.submit(Add(f"room-{n % 7}", (n,)), told.append)
        if n % 50 == 0:
            await trio.lowlevel.checkpoint()
    await commits.wait_idle()
    assert len(told) == 500
    assert len(store.groups) < 100
    lane.close()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 40), st.booleans()), max_size=60),
    st.integers(1, 5),
    st.integers(1, 100),
    st.booleans(),
    st.integers(0, 1000),
)
def test_every_write_is_answered_once_in_its_keys_order_within_the_bounds(
    writes: list[tuple[str, int, bool]], writes_max: int, bytes_max: int, merging: bool, seed: int
) -> None:
    store, order, rng = Store(), [], Random(seed)

    async def play() -> None:
        commits = committer(store, InlineOffload(), writes_max, bytes_max, joined if merging else None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commits.run)
            for n, (key, size, pause) in enumerate(writes):
                commits.submit(Add(key, (n,), size), lambda _, n=n: order.append(n))
                if pause:
                    for _ in range(rng.randrange(4)):
                        await trio.lowlevel.checkpoint()
            await commits.wait_idle()
            nursery.cancel_scope.cancel()

    trio.run(play)
    assert sorted(order) == list(range(len(writes)))
    for key in "abcd":
        expected = [n for n, write in enumerate(writes) if write[0] == key]
        assert store.of(key) == expected
        assert [n for n in order if n in expected] == expected
    for group in store.groups:
        assert len(group) <= writes_max
        assert len({write.key for write in group}) == len(group)
        assert sum(write.size for write in group) <= bytes_max or (len(group) == 1 and len(group[0].numbers) == 1)
