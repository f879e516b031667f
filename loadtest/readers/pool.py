"""Tens of thousands of readers in one trio task.

A websocket library costs a client a task, some buffers and 20 us a frame; here a reader is a
kilobyte of state, and its next event a receive, a look into a dictionary and two assignments:
2 us with the system call.  All sockets are on an epoll of our own, and the epoll's own
descriptor is what the task waits for.  Then they are read for SLICE_S, and the other tasks of
the process, users and auditors, get their turn.

Which connections a reader has is decided in `loadtest/readers/lifelines.py`.
"""

import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Final

import trio

from client.reconnect import Reconnect
from loadtest.connections.dialing import Dialer
from loadtest.figures.tally import Tally
from loadtest.readers.faults import Faults
from loadtest.readers.hearing import ABNORMAL, HOLE_GRACE_S, RECEIVE_BYTES, Ear
from loadtest.readers.lifelines import Lifelines
from loadtest.readers.reader import Line, Reader
from loadtest.readers.receptions import FLUSH_S, Receptions

# Of reading before the other tasks of the process get their turn: the lag that readers may cause them.
SLICE_S: Final = 0.002
# A server that sends to thousands, one after the other, would wake the task for each frame or two, at 40 us a wake.
# Beyond so many a second they are read a millisecond's worth at a time, and are timed up to so much late; below,
# at once.  Trio cannot sleep for less than a millisecond.
DENSE_PER_S: Final = 5000
WAKES_APART_S: Final = 0.001
_POLLED_AT_ONCE: Final = 128
# Each connection is looked at for silence once in so long, a part of them every FLUSH_S.
_SWEEP_S: Final = 5.0


class ReaderPool:
    """All readers of one worker; `run` is their task, the other methods are synchronous and called from the same thread."""

    def __init__(self, dialer: Dialer, tally: Tally, *, run: str, offset_us: int, rng: Random) -> None:
        """`run` is the run's name, `offset_us` + this process's monotonic clock the master's (`messages.Prepare`, `Welcome`)."""
        self._epoll = select.epoll()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._waker, select.EPOLLIN)
        self._receptions = Receptions(tally, run, offset_us)
        self._ear = Ear(self._receptions, tally, rng.randbytes(4))
        self._lifelines = Lifelines(dialer, tally, self._ear, self._epoll, rng)
        self._faults = Faults(self._lifelines, tally, rng)
        self._dialer = dialer
        self._rng = rng
        self.receives = 0
        """Sockets that were found ready: as many as frames when none are joined on their way."""
        self._flushed_receives = 0
        self._is_dense = False
        self._numbers = 0
        self._waits_until = 0.0
        self._flush_at = 0.0
        self._swept: Iterator[Line] = iter(())
        self._sweep_count = 0

    # --- what the runner asks for ---------------------------------------------------------------------

    def open(self, rooms: Sequence[str], class_name: str, history: int = 0) -> Reader:
        """One more reader of these rooms, each with its last `history` events first; it waits for its turn to connect."""
        self._numbers += 1
        reconnect = Reconnect(self._dialer.urls, self._rng, self._dialer.next_first())
        reader = Reader(self._numbers, class_name, tuple(rooms), history, reconnect)
        self._lifelines.begin(reader)
        self._wake()
        return reader

    def close(self, reader: Reader) -> None:
        """It says goodbye and does not come back."""
        self._lifelines.close(reader)
        self._wake()

    def fault(self, kind: str, count: int, seconds: float) -> int:
        """Make so many connected readers misbehave (`messages.Hit`, `readers/faults.py`); answers how many there were."""
        chosen = self._faults.inflict(kind, count, seconds)
        self._wake()
        return chosen

    @property
    def connected(self) -> int:
        """Readers that are welcomed now."""
        return sum(self._lifelines.servers.values())

    @property
    def servers(self) -> Mapping[str, int]:
        """Connections by the name of the gateway."""
        return {name: count for name, count in self._lifelines.servers.items() if count}

    @property
    def sockets(self) -> int:
        """All sockets there are, those that say goodbye or are being opened too; 0 when everybody has left."""
        return len(self._lifelines.open) + len(self._lifelines.opening)

    def behind(self, heads: Mapping[str, tuple[str, int]]) -> int:
        """How many (reader, room) pairs of connected readers have not reached the head (epoch, offset) of their room."""
        return sum(1 for _ in self._behind(heads))

    def conclude(self, heads: Mapping[str, tuple[str, int]]) -> None:
        """Nothing more will come: what connected readers do not have is undelivered."""
        self._ear.tell_holes(1 << 63)
        for line, name in list(self._behind(heads)):
            self._ear.missing(line, line.places[self._receptions.room(name)], heads[name][1])
        self._receptions.flush()

    def _behind(self, heads: Mapping[str, tuple[str, int]]) -> Iterator[tuple[Line, str]]:
        for line in self._lifelines.open.values():
            if line.is_leaving or line.reader.fault:
                continue
            for place in line.places.values():
                epoch, head = heads.get(place.room.name, ("", 0))
                if place.epoch == epoch and place.next <= head:
                    yield line, place.room.name

    # --- the task -----------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until it is cancelled, which closes all sockets."""
        try:
            task_status.started()
            read_at = 0.0
            while True:
                self._waits_until = min(self._lifelines.next_at(), self._flush_at)
                with trio.move_on_at(self._waits_until):
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                now = trio.current_time()
                if self._is_dense and now - read_at < WAKES_APART_S:
                    await trio.sleep_until(read_at + WAKES_APART_S)
                    now = trio.current_time()
                read_at = now
                self._lifelines.turn(now)
                self._read_some()
                if now >= self._flush_at:
                    self._flush_at = now + FLUSH_S
                    self._flush(now)
        finally:
            self._receptions.flush()
            self._lifelines.end()
            self._epoll.close()
            os.close(self._waker)

    def _wake(self) -> None:
        """Something may be due before what the task waits for."""
        if self._lifelines.next_at() < self._waits_until:
            os.eventfd_write(self._waker, 1)

    def _read_some(self) -> None:
        """Read for SLICE_S, or until nothing is there."""
        poll, read, clock = self._epoll.poll, self._read, time.perf_counter
        until = clock() + SLICE_S
        while ready := poll(0, _POLLED_AT_ONCE):
            read(ready)
            if clock() >= until:
                return

    def _read(self, ready: list[tuple[int, int]]) -> None:
        """The hot path.

        Corners cut here: no method is called for the usual message, and no counter is
        counted; both follow from `Sight.times`.  2 us a frame, 1.2 of it the system call
        (`make bench-loadtest`).
        """
        self.receives += len(ready)
        lines, known, now_ns = self._lifelines.open.get, self._receptions.known.get, time.monotonic_ns
        for fd, events in ready:
            line = lines(fd)
            if line is None:
                self._read_other(fd)
                continue
            if events != select.EPOLLIN:
                self._read_to_the_end(line)
                continue
            try:
                data = line.recv(RECEIVE_BYTES)
            except BlockingIOError:
                # The socket that was ready is gone, and another one has its number.
                continue
            except OSError as error:
                self._lifelines.lost(line, ABNORMAL, os.strerror(error.errno or 0))
                continue
            sight = known(data)
            place = line.place
            if sight is not None and sight.first == place.next and sight.room is place.room:
                place.next = sight.after
                sight.times.append(now_ns())
            else:
                self._hear(line, data, now_ns())
                if len(data) == RECEIVE_BYTES:
                    self._read_to_the_end(line)

    def _read_to_the_end(self, line: Line) -> None:
        """All that is there: more than one receive takes, or the end with or without something before it."""
        while line.sock.fileno() >= 0:
            try:
                data = line.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._lifelines.lost(line, ABNORMAL, os.strerror(error.errno or 0))
                return
            self._hear(line, data, time.monotonic_ns())

    def _read_other(self, fd: int) -> None:
        if fd == self._waker:
            os.eventfd_read(fd)
            return
        welcomed = self._lifelines.opening_ready(fd)
        if welcomed is not None:
            line, rest = welcomed
            self._hear(line, rest, time.monotonic_ns())

    def _hear(self, line: Line, data: bytes, at_ns: int) -> None:
        lifelines = self._lifelines
        if line.is_leaving:
            if not data:
                lifelines.left(line)
            return
        if not data:
            lifelines.lost(line, ABNORMAL, "the server ended the connection without a goodbye")
            return
        line.heard_at = lifelines.now
        reply = self._ear.hear(line, data, at_ns)
        if reply:
            lifelines.send(line, reply)
        if line.refusals:
            lifelines.rooms_refused(line)
        if line.goaway is not None:
            lifelines.told_to_leave(line)
        if line.end is not None:
            lifelines.lost(line, *line.end)

    def _flush(self, now: float) -> None:
        self._is_dense = self.receives - self._flushed_receives > DENSE_PER_S * FLUSH_S
        self._flushed_receives = self.receives
        self._receptions.flush()
        if self._ear.holed:
            self._ear.tell_holes(time.monotonic_ns() - int(HOLE_GRACE_S * 1e9))
        self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Leave connections that have been silent for too long: a dead network closes nothing.

        A line's last moment is not noted with each event: that its offsets rose says the same.
        """
        for _ in range(self._sweep_count + 1):
            line = next(self._swept, None)
            if line is None:
                lines = list(self._lifelines.open.values())
                self._swept, self._sweep_count = iter(lines), int(len(lines) * FLUSH_S / _SWEEP_S)
                return
            seen = sum(place.next for place in line.places.values())
            if seen != line.seen_next:
                line.seen_next, line.heard_at = seen, now
            elif now - line.heard_at > line.silent_max_s and not line.is_leaving and not line.reader.fault and line.end is None:
                self._lifelines.lost(line, ABNORMAL, "nothing was heard for too long")
