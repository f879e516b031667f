"""Users: from on_start to on_stop, stopping at once or after a task, paced by waits or by a plan."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from loadtest import Reader, StopUser, User, constant, per_second, task
from tests.support.loadtest_footing import Alone


def test_a_class_is_abstract_only_when_it_says_so() -> None:
    class Base(User):
        abstract = True

    class Citizen(Base): ...

    class Passer(Reader): ...

    assert [each.abstract for each in (User, Reader, Base, Citizen, Passer)] == [True, True, True, False, False]


class Noter(User):
    abstract = True
    wait_time = constant(10)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.done: list[tuple[str, float]] = []

    def note(self, what: str) -> None:
        self.done.append((what, trio.current_time()))

    async def on_start(self) -> None:
        self.note("starts")

    async def on_stop(self) -> None:
        self.note("stops")


class Citizen(Noter):
    @task
    async def talk(self) -> None:
        self.note("talks")
        await self.publish(self.room, "bonsoir")
        await trio.sleep(4)


async def test_a_user_that_waits_stops_at_once(autojump_clock: MockClock) -> None:
    alone = Alone(Citizen)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alone.run)
        await trio.sleep(9)
        alone.user.stop()
    assert alone.user.done == [("starts", 0), ("talks", 0), ("stops", 9)]
    assert alone.footing.said == ["bonsoir"]


async def test_a_user_in_a_task_ends_it_first(autojump_clock: MockClock) -> None:
    alone = Alone(Citizen)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alone.run)
        await trio.sleep(3)
        alone.user.stop()
    assert alone.user.done == [("starts", 0), ("talks", 0), ("stops", 4)]


async def test_a_cancelled_user_is_gone_at_that_moment(autojump_clock: MockClock) -> None:
    alone = Alone(Citizen)
    with trio.move_on_after(3):
        await alone.run()
    assert alone.user.done == [("starts", 0), ("talks", 0), ("stops", 3)]


async def test_what_on_start_raises_is_told_and_ends_the_user() -> None:
    class Lost(Citizen):
        async def on_start(self) -> None:
            raise ValueError("no way in")

    alone = Alone(Lost)
    await alone.run()
    assert [str(error) for error in alone.errors] == ["no way in"]
    assert [what for what, _ in alone.user.done] == ["stops"]


@pytest.mark.parametrize("wish", [StopUser, ValueError])
async def test_what_on_stop_raises_ends_nothing_else(wish: type[Exception]) -> None:
    class Lost(Citizen):
        async def on_start(self) -> None:
            raise StopUser

        async def on_stop(self) -> None:
            raise wish

    alone = Alone(Lost)
    await alone.run()
    assert alone.errors == ([] if wish is StopUser else alone.errors[:1])
    assert len(alone.errors) == (0 if wish is StopUser else 1)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_wait_may_be_a_method_of_the_class(is_async: bool, autojump_clock: MockClock) -> None:
    class Patient(Citizen):
        if is_async:

            async def wait_time(self) -> float:  # type: ignore[override]  # a method, as locust allows
                await trio.sleep(1)
                return 6.0
        else:

            def wait_time(self) -> float:  # type: ignore[override]  # a method, as locust allows
                return 7.0

    alone = Alone(Patient)
    with trio.move_on_after(12):
        await alone.run()
    assert [at for what, at in alone.user.done if what == "talks"] == [0, 11]


async def test_slots_of_a_plan_begin_tasks_and_no_wait_is_asked(autojump_clock: MockClock) -> None:
    class Speaker(Noter):
        arrivals = per_second(1)
        @task
        async def talk(self) -> None:
            self.note(f"talks for {self.intended_us}")

    alone = Alone(Speaker, slots=[1_000, 2_000, 3_000])
    with trio.move_on_after(5):
        await alone.run()
    assert [what for what, _ in alone.user.done] == ["starts", "talks for 1000", "talks for 2000", "talks for 3000", "stops"]


async def test_a_measured_block_is_a_request(autojump_clock: MockClock) -> None:
    heard: list[Any] = []

    class Asker(Noter):
        @task
        async def ask(self) -> None:
            with self.measure("answer"):
                await trio.sleep(1)
            with self.measure("page", "HTTP"):
                raise ValueError("no page")
            raise StopUser

    alone = Alone(Asker)
    alone.environment.events.request.add_listener(lambda **values: heard.append(values))
    await alone.run()
    assert [(each["request_type"], each["name"], str(each["exception"])) for each in heard] == [
        ("WS", "answer", "None"),
        ("HTTP", "page", "no page"),
    ]


async def test_waiting_within_a_task_is_a_moment_to_stop(autojump_clock: MockClock) -> None:
    class Talker(Noter):
        @task
        async def talk(self) -> None:
            self.note("talks")
            await self.wait()
            self.note("goes on")

    alone = Alone(Talker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alone.run)
        await trio.sleep(5)
        alone.user.stop()
    assert [what for what, _ in alone.user.done if what != "talks"] == ["starts", "stops"]


async def test_a_user_that_waits_for_something_stops_at_once_and_it_is_no_failure(autojump_clock: MockClock) -> None:
    heard: list[Any] = []

    class Asker(Noter):
        @task
        async def ask(self) -> None:
            self.note("asks")
            self.answered = trio.Event()
            with self.measure("answer"), trio.fail_after(100):
                await self.wait_for(self.answered)
            self.note("is answered")

    alone = Alone(Asker)
    alone.environment.events.request.add_listener(lambda **values: heard.append(values["exception"]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alone.run)
        await trio.sleep(3)
        alone.user.answered.set()
        await trio.sleep(14)
        alone.user.stop()
    assert alone.user.done == [("starts", 0), ("asks", 0), ("is answered", 3), ("asks", 13), ("stops", 17)]
    assert heard == [None]
    assert alone.errors == []
