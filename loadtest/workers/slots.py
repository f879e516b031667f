"""Slots of a plan, given to users who are free: the open model's clockwork in one worker.

One task per class sleeps until the next slot's moment.  A slot goes to whoever has been free
longest, so all speak in turn.  When nobody is free it waits, and its latency counts from its
moment all the same; after SLOT_WAIT_S_MAX it is given up.  Every slot is counted, and so is
every one that was late or missed (`loadtest.figures.messages.COUNTS`).
"""

from collections import deque
from collections.abc import Callable

import trio

from loadtest.figures.messages import Stretch
from loadtest.figures.tally import Tally
from loadtest.workers.arrivals import LATE_SLOT_S, SLOT_WAIT_S_MAX, Slots

_SECOND_US = 1_000_000


class SlotFeed:
    """The slots of one class on this worker.  Invariant: nobody is free while a slot waits."""

    def __init__(self, tally: Tally, now_us: Callable[[], int], looked_at: Callable[[list[int]], None]) -> None:
        """`now_us` is the master's clock, in which the plan is written; `looked_at` is told how late slots were seen."""
        self._tally = tally
        self._now_us = now_us
        self._looked_at = looked_at
        self._slots = Slots()
        self._changed = trio.Event()
        self._waiting: deque[int] = deque()
        """Slots whose moment has come; none is older than SLOT_WAIT_S_MAX for long."""
        self._free: deque[_Wish] = deque()
        self._is_over = False

    def follow(self, stretch: Stretch) -> None:
        """The plan as the master tells it."""
        self._slots.follow(stretch)
        self._changed.set()

    def end(self) -> None:
        """No slot begins any more; those that wait are missed."""
        self._hand_out()
        self._is_over = True
        self._tally.counts["slots_missed"] += len(self._waiting)
        self._waiting.clear()
        self._changed.set()

    async def run(self) -> None:
        """Hand out slots at their moments, until `end`."""
        while not self._is_over:
            self._hand_out()
            due_us = self._slots.next_due_us()
            if self._waiting:
                given_up_us = self._waiting[0] + round(SLOT_WAIT_S_MAX * _SECOND_US)
                due_us = given_up_us if due_us is None else min(due_us, given_up_us)
            self._changed = trio.Event()
            with trio.CancelScope() as scope:
                if due_us is not None:
                    scope.deadline = trio.current_time() + (due_us - self._now_us()) / _SECOND_US
                await self._changed.wait()

    async def wait(self) -> int:
        """A slot's moment, when it has come: the caller begins it now."""
        wish = _Wish()
        self._free.append(wish)
        self._serve()
        try:
            await wish.served.wait()
        except trio.Cancelled:
            if wish.slot_us is None:
                self._free.remove(wish)
            elif self._is_over:
                self._tally.counts["slots_missed"] += 1
            else:
                # Given, and not begun: somebody else may be free.
                self._waiting.appendleft(wish.slot_us)
                self._serve()
            raise
        assert wish.slot_us is not None, "who is served has a slot"
        self._begin(wish.slot_us)
        return wish.slot_us

    def _hand_out(self) -> None:
        now_us = self._now_us()
        if not self._is_over:
            due = self._slots.take(now_us)
            self._tally.counts["slots"] += len(due)
            self._looked_at([now_us - due_us for due_us in due])
            self._waiting.extend(due)
        while self._waiting and now_us - self._waiting[0] >= SLOT_WAIT_S_MAX * _SECOND_US:
            self._waiting.popleft()
            self._tally.counts["slots_missed"] += 1
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._free:
            wish = self._free.popleft()
            wish.slot_us = self._waiting.popleft()
            wish.served.set()

    def _begin(self, slot_us: int) -> None:
        if self._now_us() - slot_us > LATE_SLOT_S * _SECOND_US:
            self._tally.counts["slots_late"] += 1


class _Wish:
    """One user who is free."""

    __slots__ = ("served", "slot_us")

    def __init__(self) -> None:
        self.served = trio.Event()
        self.slot_us: int | None = None
