"""Bytes under way in one direction of a simulated connection: delayed, bounded, held back, lost.

A chunk is what one send took; it arrives at a time drawn when it was sent, never before an
older one, and counts against the buffer until it is read (tests/support/sim_network.py).
"""

import errno
import math
import os
from collections import deque
from random import Random
from typing import Protocol

import trio


class Luck(Protocol):
    """What a pipe asks of the network around it."""

    rng: Random

    def delay(self) -> float:
        """Seconds until what is sent now arrives."""

    def cut_send(self, count: int) -> int:
        """How many of `count` bytes that fit a send takes."""


def _reset() -> OSError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


class Pipe:
    """Bytes under way in one direction.  Invariant: ``bytes_held == sum of chunks <= capacity``."""

    def __init__(self, luck: Luck, capacity: int) -> None:
        self._luck = luck
        self._capacity = capacity
        self._chunks: deque[tuple[float, bytes]] = deque()
        self.bytes_held = 0
        self._last_arrival = 0.0
        self._end: tuple[float, bool] | None = None
        """When the reader learns that nothing follows, and whether as a reset."""
        self._refused_from = math.inf
        """From when on the sender knows that nobody reads."""
        self._reader_is_gone = False
        self.held_until = 0.0
        """Nothing arrives before: the pipe is stalled."""
        self.news_for_reader = trio.lowlevel.ParkingLot()
        self.news_for_writer = trio.lowlevel.ParkingLot()

    # --- the sender's end -----------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> int:
        now = trio.current_time()
        if now >= self.refused_at():
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if self._end is not None and not self._reader_is_gone:
            raise _reset()
        room = self._capacity - self.bytes_held
        if room <= 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        taken = self._luck.cut_send(min(room, len(data)))
        if not self._reader_is_gone and taken:
            self._chunks.append((self._arrival(now), bytes(data[:taken])))
            self.bytes_held += taken
            self.news_for_reader.unpark_all()
        return taken

    def finish(self, *, reset: bool) -> None:
        """Nothing follows; the reader learns it after all that is under way."""
        if self._end is None:
            self._end = (self._arrival(trio.current_time()), reset)
            self.news_for_reader.unpark_all()

    def writable_at(self) -> float:
        return -math.inf if self.bytes_held < self._capacity or self._end is not None else self.refused_at()

    def refused_at(self) -> float:
        return max(self._refused_from, self.held_until)

    def _arrival(self, now: float) -> float:
        self._last_arrival = max(self._last_arrival, now + self._luck.delay())
        return self._last_arrival

    # --- the reader's end -----------------------------------------------------------------

    def recv(self, bytes_max: int) -> bytes:
        now = trio.current_time()
        if now >= self.held_until:
            got = self._take_arrived(now, bytes_max)
            if got:
                self.news_for_writer.unpark_all()
                return got
            if self._end is not None and not self._chunks and self._end[0] <= now:
                if self._end[1]:
                    raise _reset()
                return b""
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _take_arrived(self, now: float, bytes_max: int) -> bytes:
        parts: list[bytes] = []
        left = bytes_max
        while self._chunks and left and self._chunks[0][0] <= now:
            at, chunk = self._chunks.popleft()
            if len(chunk) > left:
                self._chunks.appendleft((at, chunk[left:]))
                chunk = chunk[:left]
            left -= len(chunk)
            parts.append(chunk)
        self.bytes_held -= bytes_max - left
        return b"".join(parts)

    def readable_at(self) -> float:
        first = self._chunks[0][0] if self._chunks else self._end[0] if self._end is not None else math.inf
        return max(first, self.held_until)

    def reader_leaves(self) -> bool:
        """Nobody reads any more; whether that left anything unread."""
        unread = bool(self._chunks)
        self._reader_is_gone = True
        self._drop(keep=0)
        self._refused_from = min(self._refused_from, trio.current_time() + self._luck.delay())
        self.news_for_writer.unpark_all()
        return unread

    # --- what befalls it --------------------------------------------------------------------

    def _drop(self, keep: int) -> None:
        """Lose what is under way, but for the first `keep` chunks."""
        while len(self._chunks) > keep:
            self.bytes_held -= len(self._chunks.pop()[1])

    def cut(self, *, keep_some: bool) -> None:
        """Reset: some of what is under way arrives, or only what is there already."""
        now = trio.current_time()
        arrived = sum(at <= now for at, _ in self._chunks)
        keep = self._luck.rng.randint(arrived, len(self._chunks)) if keep_some else arrived
        self._drop(keep)
        self._chunks = deque((min(at, now), chunk) for at, chunk in self._chunks)
        self._end = (now, True)
        self._refused_from = now
        self.held_until = min(self.held_until, now)
        self.news()

    def hold(self, until: float) -> None:
        self.held_until = until
        self.news()

    def news(self) -> None:
        self.news_for_reader.unpark_all()
        self.news_for_writer.unpark_all()
