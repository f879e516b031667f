"""Every message is accounted for once, with its latency from the intended moment."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from client.updates import PublishOutcome
from loadtest.audits.places import id_hash
from loadtest.audits.stamp import are_words_whole, read_stamp
from loadtest.figures.messages import Placed
from loadtest.figures.tally import Tally
from loadtest.people.hooks import EventHook
from loadtest.workers.speech import GIVEN_UP, NOBODY_KNOWS, Speech, count_requests
from wire.client_messages import Ack, Refused, Unknown

ROOM = "square/main"


class _Client:
    """Answers each publish after a second."""

    def __init__(self, answer: Callable[[str], PublishOutcome]) -> None:
        self.said: list[tuple[str, str, str]] = []
        self._answer = answer

    async def publish(self, room: str, text: str, id: str) -> PublishOutcome:
        self.said.append((room, text, id))
        await trio.sleep(1)
        return self._answer(id)


def _ack(id: str) -> Ack:
    return Ack(1, ROOM, id, "e1", 7, 0)


class _Rig:
    def __init__(self, answer: Callable[[str], PublishOutcome] = _ack) -> None:
        self.tally = Tally()
        self.request = EventHook("request")
        self.request.add_listener(count_requests(self.tally))
        self.speech = Speech("run1", 3, self.tally, self.request, lambda: round(trio.current_time() * 1e6))
        self.client: Any = _Client(answer)

    async def publish(self, words: str = "bonsoir", intended_us: int | None = None) -> PublishOutcome:
        return await self.speech.publish(self.client, ROOM, words, intended_us)


async def test_an_acknowledged_message_counts_from_its_moment_and_its_place_is_told(autojump_clock: MockClock) -> None:
    rig = _Rig()
    await trio.sleep(5)
    assert await rig.publish(intended_us=2_500_000) == Ack(1, ROOM, "lt-run1-3-1", "e1", 7, 0)
    (row,), counts, _ = rig.tally.take()
    assert (row.name, row.count, row.total_us, row.failures) == ("publish", 1, 3_500_000, 0)
    assert counts == {"publishes": 1, "acked": 1}
    assert rig.speech.take_acked() == [Placed(ROOM, "e1", [7, id_hash("lt-run1-3-1")])]
    assert rig.speech.take_acked() == []


async def test_a_message_without_a_moment_counts_from_its_call(autojump_clock: MockClock) -> None:
    rig = _Rig()
    await trio.sleep(5)
    await rig.publish()
    assert rig.tally.take()[0][0].total_us == 1_000_000


async def test_texts_have_stamps_and_ids_that_no_other_message_has(autojump_clock: MockClock) -> None:
    rig = _Rig()
    await rig.publish("one", 11)
    await rig.publish("two", 22)
    for (room, text, id), number in zip(rig.client.said, (1, 2), strict=True):
        stamp = read_stamp(text)
        assert stamp is not None
        assert (room, id) == (ROOM, f"lt-run1-3-{number}")
        assert (stamp.intended_us, stamp.worker, stamp.sequence) == (11 * number, 3, number)
        assert are_words_whole(text, stamp)


@pytest.mark.parametrize(
    ("outcome", "count", "error"),
    [
        (Refused(1, "too_fast", "Slow down."), "refused", "refused: too_fast"),
        (Unknown(1, ROOM, "id"), "unknown", NOBODY_KNOWS),
    ],
)
async def test_what_was_not_acknowledged_is_a_failure_by_its_name(
    outcome: PublishOutcome, count: str, error: str, autojump_clock: MockClock
) -> None:
    rig = _Rig(lambda _: outcome)
    assert await rig.publish() == outcome
    (row,), counts, _ = rig.tally.take()
    assert (row.count, row.failures, row.errors) == (0, 1, {error: 1})
    assert counts == {"publishes": 1, count: 1}
    assert rig.speech.take_acked() == []


async def test_a_message_given_up_is_unknown(autojump_clock: MockClock) -> None:
    rig = _Rig()
    with trio.move_on_after(0.5):
        await rig.publish()
    (row,), counts, _ = rig.tally.take()
    assert (row.failures, row.errors) == (1, {GIVEN_UP: 1})
    assert counts == {"publishes": 1, "unknown": 1}


def test_requests_of_a_scenario_become_rows_of_their_own() -> None:
    tally = Tally()
    request = EventHook("request")
    request.add_listener(count_requests(tally))
    request.fire(request_type="HTTP", name="page", response_time=12.5, response_length=100, exception=None, context={})
    request.fire(request_type="HTTP", name="page", response_time=1, response_length=0, exception=ValueError("status 500"))
    request.fire(request_type="HTTP", name="page", response_time=1, response_length=0, exception=trio.TooSlowError())
    (row,), _, _ = tally.take()
    assert (row.kind, row.name, row.count, row.total_us, row.bytes) == ("HTTP", "page", 1, 12_500, 100)
    assert row.errors == {"ValueError: status 500": 1, "TooSlowError": 1}
