"""What becomes of one client's connections: how long each took, what refused it, what ended it.  Pure.

An observer (`client/observer.py`) of users and auditors alike.  Rows `connect` and `resume`, the
counts of connections, and refusals by code come from here; its owner asks which server holds
the client now.
"""

from collections.abc import Callable

from client.effects import ConnectionId
from client.updates import HistoryPage
from loadtest.connections.failures import errno_of, own_fault, refusal_code
from loadtest.figures.tally import Tally
from wire.client_messages import AnyServerMessage, ClientMessage, Goaway, Joined, Welcome


class ConnectionMeter:
    """One client's connections.  `now_us` is any clock in microseconds."""

    def __init__(self, tally: Tally, now_us: Callable[[], int]) -> None:
        self.server = ""
        """The gateway that holds us; empty while none does."""
        self.is_leaving = False
        """Set by the owner before it ends the client: what ends then has ended by our wish."""
        self._tally = tally
        self._now_us = now_us
        self._began_us: dict[ConnectionId, int] = {}
        """Connections that were not welcomed yet."""
        self._newest: ConnectionId | None = None
        self._current: ConnectionId | None = None
        self._lost_us: int | None = None
        self._was_connected = False
        self._was_sent_away = False

    def turn_came(self) -> None:
        """The connection dialled last had to wait for its turn, and begins now."""
        if self._newest in self._began_us:
            self._began_us[self._newest] = self._now_us()

    def dialled(self, connection: ConnectionId, url: str) -> None:
        self._newest = connection
        self._began_us[connection] = self._now_us()

    def opened(self, connection: ConnectionId) -> None:
        pass

    def sent(self, connection: ConnectionId, message: ClientMessage) -> None:
        pass

    def received(self, connection: ConnectionId, message: AnyServerMessage | HistoryPage) -> None:
        if isinstance(message, Welcome):
            self._welcomed(connection, message)
        elif isinstance(message, Goaway) and connection == self._current:
            self._was_sent_away = True

    def broken(self, connection: ConnectionId, reason: str) -> None:
        pass

    def failed(self, connection: ConnectionId, reason: str) -> None:
        self._began_us.pop(connection, None)
        if not self.is_leaving:
            self._refused(refusal_code(reason))
            sentence = own_fault(errno_of(reason))
            if sentence is not None:
                self._tally.unfit(sentence)

    def closed(self, connection: ConnectionId, code: int, reason: str) -> None:
        """Of an open connection: before its welcome it came to nothing, after it we are lost, unless another has us."""
        was_welcomed = self._began_us.pop(connection, None) is None
        if connection == self._current:
            self.server = ""
            self._current = None
            if not self.is_leaving:
                self._lost_us = self._now_us()
                self._tally.counts["disconnects"] += 1
                self._tally.refusals[str(code)] += 1
        elif not was_welcomed and not self.is_leaving:
            self._refused(str(code))

    def _refused(self, code: str) -> None:
        self._tally.counts["connects_failed"] += 1
        self._tally.row("connect").fail(code)
        self._tally.refusals[code] += 1

    def _welcomed(self, connection: ConnectionId, welcome: Welcome) -> None:
        counts, now_us = self._tally.counts, self._now_us()
        began_us = self._began_us.pop(connection, None)
        if began_us is None:
            # A second welcome on one connection; the audit's business, if anybody's.
            return
        counts["connects"] += 1
        self._tally.row("connect").latencies.record(now_us - began_us)
        if self._lost_us is not None:
            self._tally.row("resume").latencies.record(now_us - self._lost_us)
        if self._was_sent_away and self._lost_us is None:
            counts["moves"] += 1
        if self._was_connected:
            counts["resumes"] += 1
        for joined in welcome.joins if self._was_connected else ():
            if isinstance(joined, Joined) and joined.asked:
                counts["resumes_recovered" if joined.recovered else "resumes_reset"] += 1
        self.server = welcome.server
        self._current = connection
        self._was_connected, self._was_sent_away, self._lost_us = True, False, None
