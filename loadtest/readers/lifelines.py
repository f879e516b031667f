"""Which connections readers have: opened, welcomed, lost, moved, left; by the rules of clients.

`client/lifeline.py` is the same for one client.  Here all are kept in a few containers, so
that a reader who waits costs nothing, and every end is counted under its code.
"""

import errno
import heapq
import itertools
import os
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

from loadtest.connections.dialing import HANDSHAKES_AT_ONCE_MAX, Dialer
from loadtest.connections.failures import own_fault
from loadtest.connections.greeting import Greeting, masked_frame, message_frame
from loadtest.figures.tally import Tally
from loadtest.readers.hearing import ABNORMAL, RECEIVE_BYTES, Ear
from loadtest.readers.reader import NOWHERE, Line, Reader
from loadtest.readers.secure_sockets import SecureSocket
from wire.client_messages import INTEGER_MAX, Join, JoinRequest, Position
from wire.codes import CloseCode, may_reconnect
from wire.frames import OPCODE_CLOSE
from wire.limits import CLIENT_PING_SLACK_S, CLOSE_GRACE_S, HANDSHAKE_DEADLINE_S, RECONNECT_BASE_S

_CLIENT: Final = "parvis-loadtest"
_NORMAL: Final = int(CloseCode.NORMAL).to_bytes(2, "big")
# By edges: the kernel looks at each socket once instead of twice, a fifth of what a frame costs.  Whoever reads must read
# all that is there, and look for the end itself when it is told of one (`loadtest/readers/pool.py`).
READING: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


class Lifelines:
    """The connections of one pool.  Synchronous: whoever reads the sockets calls it."""

    def __init__(self, dialer: Dialer, tally: Tally, ear: Ear, epoll: select.epoll, rng: Random) -> None:
        self.open: dict[int, Line] = {}
        """Welcomed lines by descriptor, those that say goodbye too."""
        self.opening: dict[int, Line] = {}
        self.servers: Counter[str] = Counter()
        self.now = 0.0
        """The event loop's clock, as of the last `turn`."""
        self._dialer = dialer
        self._tally = tally
        self._ear = ear
        self._epoll = epoll
        self._rng = rng
        self._mask = rng.randbytes(4)
        self._waiting: deque[Reader] = deque()
        """For their first connection, in the order they came."""
        self._turn_at: float | None = None
        """The moment that the dialer has reserved for the first of them."""
        self._firsts_opening = 0
        self._deadlines: deque[tuple[float, Line]] = deque()
        """Of handshakes; in order, since all have the same time."""
        self._due: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = itertools.count()

    # --- time ----------------------------------------------------------------------------------------

    def next_at(self) -> float:
        """When `turn` has something to do."""
        times = [float("inf")]
        if self._due:
            times.append(self._due[0][0])
        if self._deadlines:
            times.append(self._deadlines[0][0])
        if self._waiting and self._firsts_opening < HANDSHAKES_AT_ONCE_MAX:
            times.append(self.now if self._turn_at is None else self._turn_at)
        return min(times)

    def turn(self, now: float) -> None:
        """Do what is due."""
        self.now = now
        while self._due and self._due[0][0] <= now:
            _, _, act, subject = heapq.heappop(self._due)
            act(subject)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, line = self._deadlines.popleft()
            if line.greeting is not None and self.opening.get(line.sock.fileno()) is line:
                self._failed(line, "no answer", "no welcome within the handshake's deadline")
        while self._waiting and self._firsts_opening < HANDSHAKES_AT_ONCE_MAX:
            if self._turn_at is None:
                self._turn_at = self._dialer.pace.reserve(now)
            if self._turn_at > now:
                return
            self._turn_at = None
            reader = self._waiting.popleft()
            if reader.is_closed:
                # Its turn is not lost: the next one may have it.
                self._turn_at = now
                continue
            self._dial(reader, is_first=True)

    def after(self, delay_s: float, act: Callable[[Any], None], subject: object) -> None:
        """Call it then, in a `turn`."""
        self._at(self.now + delay_s, act, subject)

    def _at(self, when: float, act: Callable[[Any], None], subject: object) -> None:
        heapq.heappush(self._due, (when, next(self._order), act, subject))

    # --- opening ----------------------------------------------------------------------------------------

    def begin(self, reader: Reader) -> None:
        self._waiting.append(reader)

    def _come_back(self, reader: Reader, delay_s: float) -> None:
        """Dial after that time; an earlier moment that is already known stays."""
        if reader.is_closed or reader.next is not None:
            return
        at = self.now + delay_s
        if reader.dial_at is None or at < reader.dial_at:
            reader.dial_at = at
            self._at(at, self._dial_if_due, reader)

    def _dial_if_due(self, reader: Reader) -> None:
        if reader.dial_at is not None and reader.dial_at <= self.now and reader.next is None and not reader.is_closed:
            self._dial(reader)

    def _dial(self, reader: Reader, *, is_first: bool = False) -> None:
        reader.dial_at = None
        target = self._dialer.targets[reader.reconnect.next_url()]
        joins, asked = self._joins(reader)
        greeting = Greeting(
            target.authority, target.path, joins, key=self._rng.randbytes(16), mask=self._mask, client=_CLIENT,
            guest=reader.guest, session=reader.session,
        )  # fmt: skip
        try:
            sock = self._dialer.open_socket(target)
        except OSError as error:
            self._blame(error.errno or 0)
            self._count_failure(os.strerror(error.errno or 0).lower(), str(error))
            self._come_back(reader, reader.reconnect.delay_after_unopened())
            return
        line = reader.next = Line(reader, sock, greeting, asked)
        line.dialled_ns, line.is_first = time.monotonic_ns(), is_first
        self._firsts_opening += is_first
        self.opening[sock.fileno()] = line
        self._epoll.register(sock.fileno(), select.EPOLLOUT)
        self._deadlines.append((self.now + HANDSHAKE_DEADLINE_S, line))
        failure = sock.connect_ex(target.address)
        if failure not in (0, errno.EINPROGRESS):
            self._failed_with(line, failure)

    def _joins(self, reader: Reader) -> tuple[list[JoinRequest], dict[str, Position]]:
        joins, asked = [], {}
        for name in reader.rooms:
            place = reader.standing(name)
            since = place.position() if place is not None else None
            if since is not None:
                asked[name] = since
            joins.append(JoinRequest(name, since, limit=reader.history))
        return joins, asked

    def opening_ready(self, fd: int) -> tuple[Line, bytes] | None:
        """A socket that is being opened is ready; answers a line that was welcomed, and what came behind the welcome."""
        line = self.opening.get(fd)
        if line is None or line.greeting is None:
            return None
        greeting = line.greeting
        try:
            if greeting.request:
                failure = line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failure:
                    self._failed_with(line, failure)
                    return None
                self._epoll.modify(fd, select.EPOLLIN)
                if not isinstance(line.sock, SecureSocket) or line.sock.shake():
                    line.sock.send(greeting.request)
                    greeting.request = b""
                return None
            reply = greeting.receive(line.recv(RECEIVE_BYTES))
            if reply:
                line.sock.send(reply)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno is None:
                self._failed(line, "no TLS", str(error))
            else:
                self._failed_with(line, error.errno)
            return None
        if greeting.welcome is not None:
            self._welcomed(line, greeting)
            return (line, greeting.rest) if greeting.rest and line.end is None else None
        if greeting.refused is not None:
            refused = greeting.refused
            self._refused(line, refused.code, refused.message, refused.retry_after_ms / 1000, is_final=not refused.temporary)
        elif greeting.rejected is not None:
            rejected = greeting.rejected
            if rejected.code == "protocol":
                self._ear.broken(line, rejected.close_code, rejected.sentence)
            if rejected.close_code:
                self._refused(line, rejected.code, rejected.sentence, 0.0, is_final=not may_reconnect(rejected.close_code))
            else:
                self._failed(line, rejected.code, rejected.sentence, rejected.retry_after_s)
        return None

    def _welcomed(self, line: Line, greeting: Greeting) -> None:
        reader, welcome, old, now_ns = line.reader, greeting.welcome, line.reader.line, time.monotonic_ns()
        assert welcome is not None, "only who is welcomed comes here"
        fd, counts = line.sock.fileno(), self._tally.counts
        del self.opening[fd]
        self.open[fd] = line
        self._epoll.modify(fd, READING)
        line.greeting, reader.next = None, None
        self._firsts_opening -= line.is_first
        was_there, reader.was_welcomed = reader.was_welcomed, True
        reader.reconnect.welcomed()
        reader.guest, reader.session = welcome.guest, welcome.session
        line.silent_max_s, line.heard_at, line.opened_at = welcome.ping_ms / 1000 + CLIENT_PING_SLACK_S, self.now, self.now
        line.server = sys.intern(welcome.server)
        self.servers[line.server] += 1
        counts["connects"] += 1
        counts["resumes"] += was_there
        self._ear.welcomed(line, welcome)
        reader.line = line
        if line.refusals:
            self._tally.row("connect").fail(f"refused a room: {line.refusals[0].code}")
            self.rooms_refused(line)
        else:
            self._tally.row("connect").record_all(((now_ns - line.dialled_ns) // 1000,))
        if old is not None:
            counts["moves"] += 1
            for room, place in old.places.items():
                if room not in line.places:
                    reader.left[room] = place
            self._say_goodbye(old)
        elif reader.lost_ns:
            self._tally.row("resume").record_all(((now_ns - reader.lost_ns) // 1000,))
        reader.lost_ns = 0

    # --- coming to nothing ---------------------------------------------------------------------------------

    def _failed_with(self, line: Line, failure: int) -> None:
        self._blame(failure)
        why = os.strerror(failure).lower()
        self._failed(line, why, why)

    def _blame(self, failure: int) -> None:
        sentence = own_fault(failure)
        if sentence is not None:
            self._tally.unfit(sentence)

    def _failed(self, line: Line, code: str, sentence: str, retry_after_s: float = 0.0) -> None:
        """The handshake never opened."""
        self._give_up(line, code, sentence)
        self._come_back(line.reader, line.reader.reconnect.delay_after_unopened(retry_after_s))

    def _refused(self, line: Line, code: str, sentence: str, retry_after_s: float, *, is_final: bool) -> None:
        """It opened, and the hello was not welcomed."""
        self._give_up(line, code, sentence)
        if not is_final:
            self._come_back(line.reader, line.reader.reconnect.delay_after_close(0.0, retry_after_s))

    def _give_up(self, line: Line, code: str, sentence: str) -> None:
        self._abandon(line)
        self._count_failure(code, sentence)

    def _abandon(self, line: Line) -> None:
        """Close what was being opened."""
        self._firsts_opening -= line.is_first
        del self.opening[line.sock.fileno()]
        self._shut(line)
        line.greeting, line.reader.next = None, None

    def _count_failure(self, code: str, sentence: str) -> None:
        self._tally.counts["connects_failed"] += 1
        self._tally.refusals[code] += 1
        self._tally.row("connect").fail(sentence)

    def rooms_refused(self, line: Line) -> None:
        """Rooms of a connection that stays: those refused for now are asked for again."""
        for refused in line.refusals:
            self._tally.refusals[refused.code] += 1
            if refused.temporary and refused.room:
                delay_s = max(refused.retry_after_ms / 1000, RECONNECT_BASE_S) + self._rng.uniform(0, RECONNECT_BASE_S)
                self._at(self.now + delay_s, self._join_again, (line, refused.room))
        line.refusals = []

    def _join_again(self, what: tuple[Line, str]) -> None:
        line, name = what
        if line.reader.line is not line or line.is_leaving:
            return
        place = line.reader.standing(name)
        since = place.position() if place is not None else None
        if since is not None:
            line.asked[name] = since
        line.next_n += 1
        self.send(line, message_frame(Join(line.next_n, name, since, limit=line.reader.history), self._mask))

    # --- ending --------------------------------------------------------------------------------------------

    def send(self, line: Line, data: bytes) -> None:
        """A few bytes; a socket that does not take them whole is of no use any more."""
        try:
            sent = line.sock.send(data)
        except OSError as error:
            line.end = line.end or (ABNORMAL, os.strerror(error.errno or 0))
        else:
            if sent < len(data):
                line.end = line.end or (ABNORMAL, "the server takes no more bytes")

    def lost(self, line: Line, code: int, reason: str, *, by_us: bool = False) -> None:
        """An open connection is over, and it was not our wish; `by_us`: it was a fault that we made."""
        reader, counts = line.reader, self._tally.counts
        line.end = (code, reason)
        self._forget(line)
        if line.is_leaving or reader.line is not line:
            return
        reader.line = None
        reader.left.update(line.places)
        if reader.fault:
            # An end that was asked for: no disconnect, no resume whose time counts, and no code that says stop.
            counts["misbehaved_ended"] += not by_us
            reader.fault = ""
            code = ABNORMAL
            for place in line.places.values():
                place.live_from = INTEGER_MAX
        else:
            reader.lost_ns = time.monotonic_ns()
            if not by_us:
                counts["disconnects"] += 1
                self._tally.refusals[str(code)] += 1
        if may_reconnect(code):
            self._come_back(reader, reader.reconnect.delay_after_close(self.now - line.opened_at, 0.0))

    def told_to_leave(self, line: Line) -> None:
        """Open the successor in the slot that the gateway gave; this one goes on meanwhile."""
        goaway, line.goaway = line.goaway, None
        if goaway is not None and line.reader.line is line:
            self._come_back(line.reader, goaway.retry_after_ms / 1000)

    def close(self, reader: Reader) -> None:
        reader.is_closed = True
        if reader.next is not None:
            self._abandon(reader.next)
        if reader.line is not None:
            line, reader.line = reader.line, None
            self._say_goodbye(line)

    def _say_goodbye(self, line: Line) -> None:
        """A close frame; then nothing is read but the end, which comes by itself or after CLOSE_GRACE_S."""
        self._ear.over(line)
        self.servers[line.server] -= 1
        line.is_leaving, line.place = True, NOWHERE
        self.send(line, masked_frame(_NORMAL, self._mask, OPCODE_CLOSE))
        self._at(self.now + CLOSE_GRACE_S, self.left, line)

    def left(self, line: Line) -> None:
        """A line that said goodbye has ended, or its time is up."""
        if self.open.get(line.sock.fileno()) is line:
            del self.open[line.sock.fileno()]
            self._shut(line)

    def deafen(self, line: Line) -> None:
        """Read nothing of it any more; that it has ended is still noticed.  What is read late is not timed."""
        line.place, line.deaf_until_ns = NOWHERE, 0
        for place in line.places.values():
            place.live_from = INTEGER_MAX
        self._epoll.modify(line.sock.fileno(), select.EPOLLRDHUP)

    def hear_again(self, line: Line) -> None:
        """Read on, first what has piled up: it is late by our own doing, and not timed."""
        line.reader.fault, line.heard_at, line.deaf_until_ns = "", self.now, time.monotonic_ns()
        self._epoll.modify(line.sock.fileno(), READING)

    def _forget(self, line: Line) -> None:
        fd = line.sock.fileno()
        if self.open.get(fd) is line:
            del self.open[fd]
            self._shut(line)
            if not line.is_leaving:
                self.servers[line.server] -= 1
                self._ear.over(line)

    def _shut(self, line: Line) -> None:
        """Closing takes the socket off the epoll, too."""
        line.place = NOWHERE
        line.sock.close()

    def end(self) -> None:
        for line in [*self.opening.values(), *self.open.values()]:
            line.sock.close()
        self.opening.clear()
        self.open.clear()
