"""Users of a class: connected first, measured, and gone when they shall be."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from loadtest import StopUser, User, constant, per_second, task
from loadtest.figures.messages import Stretch
from loadtest.workers.crowds import UserCrowd
from tests.support.loadtest_ground import a_ground, now_us
from wire.client_messages import Event

ROOM = "square/main"


class Talker(User):
    """Says so when it begins, talks and stops."""

    rooms = (ROOM,)
    wait_time = constant(10)

    async def on_start(self) -> None:
        await self.publish(self.room, f"{self.number} is here")

    async def on_stop(self) -> None:
        await self.publish(self.room, f"{self.number} leaves")

    @task
    async def talk(self) -> None:
        await self.publish(self.room, f"{self.number} talks")
        await trio.sleep(5)
        await self.publish(self.room, f"{self.number} has talked")


async def test_a_user_is_in_its_rooms_before_it_starts_and_until_it_has_stopped(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        crowd = UserCrowd(Talker, it.ground)
        crowd.start()
        assert (crowd.wanted, crowd.living, crowd.servers()) == (1, 1, {})
        await trio.sleep(7)
        assert crowd.servers().total() == 1
        assert it.tally.counts["connects"] == 1
        crowd.stop()
        await crowd.wait_left()
        assert (crowd.wanted, crowd.living) == (0, 0)
        assert it.texts(ROOM) == ["0 is here", "0 talks", "0 has talked", "0 leaves"]
        assert it.tally.counts["acked"] == it.tally.counts["publishes"] == 4
        assert it.tally.counts["audited"] == 4
        assert it.tally.counts["disconnects"] == 0
        assert it.errors == []


async def test_latencies_of_deliveries_count_from_the_intended_moment(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        crowd = UserCrowd(Talker, it.ground)
        crowd.start()
        await wait_all_tasks_blocked()
        rows = {row.name: row for row in it.tally.take()[0]}
        assert rows["deliver (small)"].count == rows["publish"].count == 2


async def test_the_newest_users_leave_first_and_in_the_middle_of_a_task_they_end_it(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        crowd = UserCrowd(Talker, it.ground)
        for _ in range(3):
            crowd.start()
        await trio.sleep(2)
        crowd.stop()
        crowd.stop()
        await trio.sleep(1)
        assert (crowd.wanted, crowd.living) == (1, 3)
        await trio.sleep(3)
        assert (crowd.wanted, crowd.living) == (1, 1)
        assert sorted(it.texts(ROOM))[-3:] == ["2 is here", "2 leaves", "2 talks"]
        assert "0 leaves" not in it.texts(ROOM)


async def test_all_are_gone_at_the_moment_at_which_they_are_cancelled(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        crowd = UserCrowd(Talker, it.ground)
        for _ in range(2):
            crowd.start()
        await trio.sleep(1)
        crowd.stop_all()
        with trio.move_on_after(1.5):
            await crowd.wait_left()
        assert crowd.living == 2
        crowd.cancel_all()
        await crowd.wait_left()
        assert trio.current_time() == 2.5
        assert "0 has talked" not in it.texts(ROOM)
        assert {"0 leaves", "1 leaves"} <= set(it.texts(ROOM))


async def test_a_user_that_never_gets_in_is_stopped_at_once(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        it.gateway.refuse_dials = True
        crowd = UserCrowd(Talker, it.ground)
        crowd.start()
        await trio.sleep(30)
        assert it.tally.counts["connects_failed"] > 1
        crowd.stop()
        began = trio.current_time()
        await crowd.wait_left()
        assert trio.current_time() == began
        assert it.texts(ROOM) == []


async def test_a_user_that_is_done_leaves_and_is_not_replaced(autojump_clock: MockClock) -> None:
    class Passing(User):
        rooms = (ROOM,)

        @task
        async def go(self) -> None:
            raise StopUser

    async with a_ground() as it:
        crowd = UserCrowd(Passing, it.ground)
        crowd.start()
        crowd.start()
        await trio.sleep(1)
        assert (crowd.wanted, crowd.living) == (2, 0)
        crowd.stop()
        assert (crowd.wanted, crowd.living) == (1, 0)


async def test_a_lost_connection_is_counted_and_the_user_goes_on(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        crowd = UserCrowd(Talker, it.ground)
        crowd.start()
        await trio.sleep(1)
        await it.gateway.server_streams[0].aclose()
        await trio.sleep(30)
        counts = it.tally.counts
        assert (counts["disconnects"], counts["resumes"], counts["resumes_recovered"]) == (1, 1, 1)
        assert counts["lost"] == counts["duplicated"] == 0
        assert it.texts(ROOM).count("0 talks") >= 2


async def test_messages_of_the_rooms_are_told_in_order_and_an_error_in_it_is_the_users(autojump_clock: MockClock) -> None:
    class Listener(User):
        rooms = (ROOM,)
        heard: tuple[str, ...] = ()

        async def on_message(self, event: Event) -> None:
            type(self).heard += (event.text,)
            if event.text == "two":
                raise ValueError("a stone")
            if event.text == "four":
                raise StopUser

        @task
        async def sit(self) -> None:
            await trio.sleep(1)

    async with a_ground() as it:
        crowd = UserCrowd(Listener, it.ground)
        it.gateway.say(ROOM, "before")
        crowd.start()
        await wait_all_tasks_blocked()
        for text in ("one", "two", "three"):
            it.gateway.say(ROOM, text)
        await wait_all_tasks_blocked()
        assert (Listener.heard, crowd.living) == (("one", "two", "three"), 1)
        it.gateway.say(ROOM, "four")
        await crowd.wait_left()
        assert it.errors == ["a stone"]


async def test_messages_are_told_from_on_start_on(autojump_clock: MockClock) -> None:
    class Slow(User):
        rooms = (ROOM,)

        async def on_start(self) -> None:
            await trio.sleep(10)
            self.heard: list[str] = []

        async def on_message(self, event: Event) -> None:
            self.heard.append(event.text)

        @task
        async def tell(self) -> None:
            await trio.sleep(5)
            await self.publish(self.room, f"heard {self.heard}")
            raise StopUser

    async with a_ground() as it:
        crowd = UserCrowd(Slow, it.ground)
        crowd.start()
        await trio.sleep(5)
        it.gateway.say(ROOM, "too early")
        await trio.sleep(7)
        it.gateway.say(ROOM, "in time")
        await crowd.wait_left()
        assert it.texts(ROOM)[-1] == "heard ['in time']"
        assert it.errors == []


async def test_a_class_that_cannot_be_made_is_an_error_of_each_user(autojump_clock: MockClock) -> None:
    class Broken(Talker):
        def __init__(self, *args: Any) -> None:
            raise KeyError("no such thing")

    async with a_ground() as it:
        crowd = UserCrowd(Broken, it.ground)
        crowd.start()
        await crowd.wait_left()
        (raised,) = it.tally.take_raised()
        assert raised.message == "KeyError: 'no such thing'"
        assert 'raise KeyError("no such thing")' in raised.traceback


async def test_a_client_that_may_not_come_back_ends_its_user(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        crowd = UserCrowd(Talker, it.ground)
        crowd.start()
        await trio.sleep(1)
        await it.gateway.peers[0].websocket.aclose(3507, "banned")
        await crowd.wait_left()
        assert it.tally.refusals == {"3507": 1}


async def test_slots_go_to_users_in_turn_and_count_from_their_moments(autojump_clock: MockClock) -> None:
    class Speaker(User):
        rooms = (ROOM,)
        arrivals = per_second(2)

        @task
        async def speak(self) -> None:
            await self.publish(self.room, f"{self.number} at {self.intended_us}")
            assert self.intended_us is None, "a second message of the same task counts from when it is said"

    async with a_ground() as it:
        crowd = UserCrowd(Speaker, it.ground)
        assert crowd.feed is not None
        it.ground.nursery.start_soon(crowd.feed.run)
        crowd.start()
        crowd.start()
        await wait_all_tasks_blocked()
        crowd.follow(Stretch(now_us(), 0, now_us() + 1_000_000, 2.0, 0, 1))
        await trio.sleep(2.6)
        crowd.stop_all()
        await crowd.wait_left()
        assert [text.partition(" ")[2] for text in it.texts(ROOM)] == [f"at {1_000_000 + n * 500_000}" for n in range(4)]
        assert {text[0] for text in it.texts(ROOM)} == {"0", "1"}
        assert it.tally.counts["slots"] == 4
        assert it.tally.counts["slots_late"] == it.tally.counts["slots_missed"] == 0
        assert it.errors == []


@pytest.mark.parametrize("number", [0, 1])
async def test_a_user_has_its_number_its_rooms_and_randomness_of_its_own(number: int, autojump_clock: MockClock) -> None:
    class Chooser(User):
        rooms = ("qna/a", "qna/b", "qna/c")
        rooms_each = 1
        told: tuple[Any, ...] = ()

        @task
        async def choose(self) -> None:
            Chooser.told += ((self.number, self.rooms, self.room, self.random.random()),)
            await trio.sleep(100)

    async with a_ground() as it:
        crowd = UserCrowd(Chooser, it.ground)
        for _ in range(number + 1):
            crowd.start()
        await wait_all_tasks_blocked()
        told = sorted(Chooser.told)
        assert [each[:2] for each in told] == [(0, ("qna/c",)), (1, ("qna/a",))][: number + 1]
        assert len({each[3] for each in told}) == number + 1
