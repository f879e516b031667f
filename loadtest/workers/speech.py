"""Publishing, measured: from the intended moment to the acknowledgement, each message once and accounted for.

Every message has an id of its own that names the run, the worker and a number, and a stamp
(`loadtest/audits/stamp.py`) by which each reader knows its moment.  Whatever becomes of it, it is counted
as one of acked, refused and unknown.
"""

from collections.abc import Callable

import trio

from client.client import Client
from client.updates import PublishOutcome
from loadtest.audits.places import Places
from loadtest.audits.stamp import message_id, stamp_text
from loadtest.figures.messages import Placed
from loadtest.figures.tally import WS, Tally
from loadtest.people.hooks import EventHook
from wire.client_messages import Ack, Refused

NOBODY_KNOWS = "no answer: nobody knows the outcome"
GIVEN_UP = "given up: its user was stopped before the answer"


class NotPublished(Exception):
    """What became of a message that was not acknowledged; one short sentence."""


class Speech:
    """All messages of one worker."""

    def __init__(self, run: str, worker: int, tally: Tally, request: EventHook, now_us: Callable[[], int]) -> None:
        """`now_us` is the master's clock; every outcome is also told to the listeners of `request`."""
        self._run = run
        self._worker = worker
        self._tally = tally
        self._request = request
        self._now_us = now_us
        self._sequence = 0
        self._places = Places()

    async def publish(self, client: Client, room: str, words: str, intended_us: int | None) -> PublishOutcome:
        """Say it; None: the moment of this call is the intended one."""
        intended_us = self._now_us() if intended_us is None else intended_us
        self._sequence += 1
        sequence = self._sequence
        text = stamp_text(words, room, intended_us, self._worker, sequence)
        self._tally.counts["publishes"] += 1
        try:
            outcome = await client.publish(room, text, message_id(self._run, self._worker, sequence))
        except trio.Cancelled:
            self._tell("unknown", intended_us, text, GIVEN_UP)
            raise
        match outcome:
            case Ack(epoch=epoch, offset=offset, id=id):
                self._places.add(room, epoch, offset, id)
                self._tell("acked", intended_us, text, "")
            case Refused(code=code):
                self._tell("refused", intended_us, text, f"refused: {code}")
            case _:
                self._tell("unknown", intended_us, text, NOBODY_KNOWS)
        return outcome

    def take_acked(self) -> list[Placed]:
        """Where acknowledged messages stand, since the last call."""
        return self._places.take()

    def _tell(self, count: str, intended_us: int, text: str, failure: str) -> None:
        self._tally.counts[count] += 1
        self._request.fire(
            request_type=WS, name="publish", response_time=(self._now_us() - intended_us) / 1000,
            response_length=len(text.encode()), exception=NotPublished(failure) if failure else None, context={},
        )  # fmt: skip


def count_requests(tally: Tally) -> Callable[..., None]:
    """A listener of `events.request` that makes rows of all that is measured: ours, and a scenario's own."""

    def count(
        request_type: str, name: str, response_time: float, response_length: int = 0, exception: object = None, **_: object
    ) -> None:
        row = tally.row(name, request_type)
        row.bytes += response_length
        if exception is None:
            row.latencies.record(round(response_time * 1000))
        else:
            row.fail(_words_of(exception))

    return count


def _words_of(error: object) -> str:
    if isinstance(error, NotPublished):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
