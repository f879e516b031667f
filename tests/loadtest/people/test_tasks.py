"""Tasks and sets of tasks: locust's order, waits, interrupts and tags."""

from collections import Counter
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from loadtest import (
    RescheduleTask,
    RescheduleTaskImmediately,
    SequentialTaskSet,
    StopUser,
    TaskSet,
    User,
    between,
    constant,
    tag,
    task,
)
from loadtest.people.tasks import Chosen, known_tags, tasks_of
from tests.support.loadtest_footing import Alone


def _names(holder: type) -> list[str]:
    return [each.__name__ for each in tasks_of(holder)]


class Noter(User):
    """Writes down what it does, and leaves after `steps` of it."""

    abstract = True
    steps = 6

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.done: list[str] = []
        self.times: list[float] = []

    def note(self, what: str) -> None:
        self.done.append(what)
        self.times.append(trio.current_time())
        if len(self.done) >= self.steps:
            raise StopUser


async def _done(kind: type[Noter], **footing: Any) -> list[str]:
    alone = Alone(kind, **footing)
    await alone.run()
    assert alone.errors == []
    return alone.user.done  # type: ignore[no-any-return]


def test_weights_count_and_are_inherited() -> None:
    async def outside(user: User) -> None: ...

    class Base(User):
        tasks = {outside: 2}  # noqa: RUF012  # as scenarios write it

        @task(3)
        async def often(self) -> None: ...

    class Child(Base):
        tasks = [(outside, 1), outside]  # noqa: RUF012  # as scenarios write it

        @task
        async def once(self) -> None: ...

        @task(0)
        async def never(self) -> None: ...

    assert Counter(_names(Base)) == {"outside": 2, "often": 3}
    assert Counter(_names(Child)) == {"outside": 4, "often": 3, "once": 1}


async def test_tasks_are_picked_by_weight_with_the_users_own_randomness(autojump_clock: MockClock) -> None:
    class Citizen(Noter):
        steps = 4000

        @task(3)
        async def reads(self) -> None:
            self.note("reads")

        @task
        async def writes(self) -> None:
            self.note("writes")

    done = await _done(Citizen)
    assert 2900 < Counter(done)["reads"] < 3100
    assert await _done(Citizen) == done


async def test_a_sequence_keeps_the_order_of_writing_and_begins_again() -> None:
    async def last(steps: Any) -> None:
        steps.user.note("last")

    class Citizen(Noter):
        steps = 10

        @task
        class Steps(SequentialTaskSet):
            @task
            async def first(self) -> None:
                self.user.note("first")

            tasks = [last]  # noqa: RUF012  # as scenarios write it

            @task(2)
            async def twice(self) -> None:
                self.user.note("twice")

    assert await _done(Citizen) == ["first", "last", "twice", "twice"] * 2 + ["first", "last"]


async def test_a_nested_set_runs_until_it_interrupts_and_its_parent_goes_on_at_once_or_waits(autojump_clock: MockClock) -> None:
    def citizen(reschedule: bool) -> type[Noter]:
        class Citizen(Noter):
            wait_time = constant(5)

            @task
            class Outer(SequentialTaskSet):
                async def on_start(self) -> None:
                    self.user.note("enters")

                @task
                class Inner(SequentialTaskSet):
                    wait_time = constant(1)

                    async def on_start(self) -> None:
                        assert isinstance(self.parent, Citizen.Outer)

                    async def on_stop(self) -> None:
                        self.user.note("leaves")

                    @task
                    async def ask(self) -> None:
                        self.user.note("asks")

                    @task
                    async def back(self) -> None:
                        self.interrupt(reschedule)

                @task
                async def listen(self) -> None:
                    self.user.note("listens")

        return Citizen

    for reschedule, pause_s in ((True, 0), (False, 5)):
        alone = Alone(citizen(reschedule))
        began = trio.current_time()
        await alone.run()
        assert alone.user.done == ["enters", "asks", "leaves", "listens", "asks", "leaves"]
        assert [at - began for at in alone.user.times] == [0, 0, 1, 1 + pause_s, 6 + pause_s, 7 + pause_s]


async def test_a_set_may_interrupt_itself_as_it_begins() -> None:
    class Citizen(Noter):
        @task
        class Closed(TaskSet):
            async def on_start(self) -> None:
                self.user.note("closed")
                self.interrupt()

            @task
            async def never(self) -> None:
                raise AssertionError("nothing of an interrupted set runs")

    assert await _done(Citizen) == ["closed"] * 6


async def test_sets_that_wait_for_nothing_keep_nobody_out() -> None:
    class Citizen(User):
        @task
        class Spins(TaskSet):
            @task
            async def spin(self) -> None:
                self.interrupt()

    alone = Alone(Citizen)
    turns = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alone.run)
        for _ in range(100):
            await trio.lowlevel.checkpoint()
            turns += 1
        nursery.cancel_scope.cancel()
    assert turns == 100


async def test_a_task_may_be_left_with_or_without_a_wait(autojump_clock: MockClock) -> None:
    class Citizen(Noter):
        steps = 4
        wait_time = constant(2)

        @task
        class Steps(SequentialTaskSet):
            @task
            async def at_once(self) -> None:
                self.user.note("at once")
                raise RescheduleTaskImmediately

            @task
            async def later(self) -> None:
                self.user.note("later")
                raise RescheduleTask

    alone = Alone(Citizen)
    began = trio.current_time()
    await alone.run()
    assert [at - began for at in alone.user.times] == [0, 0, 2, 2]


async def test_an_exception_is_told_and_the_user_goes_on_after_its_wait(autojump_clock: MockClock) -> None:
    class Citizen(Noter):
        steps = 3
        wait_time = between(2, 2)

        @task
        async def stumbles(self) -> None:
            self.note("tries")
            raise ValueError("a stone")

    alone = Alone(Citizen)
    began = trio.current_time()
    await alone.run()
    assert [at - began for at in alone.user.times] == [0, 2, 4]
    assert [str(error) for error in alone.errors] == ["a stone", "a stone"]


async def test_scheduled_tasks_come_before_the_next_of_the_set() -> None:
    class Citizen(Noter):
        steps = 5

        @task
        class Steps(SequentialTaskSet):
            async def on_start(self) -> None:
                self.schedule_task(self.listens)
                self.schedule_task(type(self).speaks, first=True)

            @task
            async def speaks(self) -> None:
                self.user.note("speaks")

            @task
            async def listens(self) -> None:
                self.user.note("listens")

    assert await _done(Citizen) == ["speaks", "listens", "speaks", "listens", "speaks"]


async def test_on_stop_of_every_set_is_called_when_the_user_is_cancelled(autojump_clock: MockClock) -> None:
    left: list[str] = []

    class Citizen(User):
        async def on_stop(self) -> None:
            left.append("user")

        @task
        class Outer(TaskSet):
            async def on_stop(self) -> None:
                await trio.sleep(1)
                left.append("outer")
                raise ValueError("stumbles on the way out")

            @task
            class Inner(TaskSet):
                async def on_stop(self) -> None:
                    await trio.sleep(1000)
                    left.append("inner, if it had been given the time")

                @task
                async def sleeps(self) -> None:
                    await trio.sleep_forever()

    alone = Alone(Citizen)
    with trio.move_on_after(10):
        await alone.run()
    assert left == ["outer", "user"]
    assert [str(error) for error in alone.errors] == ["stumbles on the way out"]
    assert trio.current_time() <= 10 + 2 + 1, "who leaves is given CLOSE_GRACE_S at each step"


class Debate(User):
    @tag("reads")
    @task(2)
    async def reads(self) -> None: ...

    @task
    @tag("writes", "loud")
    async def shouts(self) -> None: ...

    @task
    async def sits(self) -> None: ...

    @tag("stage")
    @task
    class Stage(TaskSet):
        @task
        @tag("loud")
        async def sings(self) -> None: ...

        @task
        async def bows(self) -> None: ...

        @task
        class Behind(TaskSet):
            @task
            async def hides(self) -> None: ...


@pytest.mark.parametrize(
    ("tags", "exclude", "left", "on_stage"),
    [
        ([], [], ["reads", "reads", "shouts", "sits", "Stage"], ["sings", "bows", "Behind"]),
        (["loud"], [], ["shouts", "Stage"], ["sings"]),
        (["stage"], [], ["Stage"], ["sings", "bows", "Behind"]),
        ([], ["loud"], ["reads", "reads", "sits", "Stage"], ["bows", "Behind"]),
        (["stage", "reads"], ["loud"], ["reads", "reads", "Stage"], ["bows", "Behind"]),
        ([], ["stage"], ["reads", "reads", "shouts", "sits"], []),
        (["writes"], ["loud"], [], []),
    ],
)
def test_tags_choose_tasks_and_what_is_in_sets(tags: list[str], exclude: list[str], left: list[str], on_stage: list[str]) -> None:
    chosen = Chosen(tags, exclude)
    assert [each.__name__ for each in chosen.tasks(Debate)] == left
    assert [each.__name__ for each in chosen.tasks(Debate.Stage)] == on_stage
    assert len(tasks_of(Debate)) == 5, "the class itself is as it was written"


def test_all_tags_are_known() -> None:
    assert known_tags([Debate]) == {"reads", "writes", "loud", "stage"}


async def test_a_user_runs_the_tasks_that_tags_leave() -> None:
    class Citizen(Noter):
        @task
        async def reads(self) -> None:
            self.note("reads")

        @tag("loud")
        @task
        class Stage(TaskSet):
            @task
            async def sings(self) -> None:
                self.user.note("sings")

    assert set(await _done(Citizen, chosen=Chosen(["loud"]))) == {"sings"}
    assert set(await _done(Citizen, chosen=Chosen([], ["loud"]))) == {"reads"}
