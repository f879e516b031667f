"""Who may still come in: counts of connections against their bounds.  Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class Admission:
    """Counts one gateway's connections.  Invariant: ``0 <= handshakes_pending <= connections_open``.

    Two budgets: over the soft one a client is told `busy` inside its websocket, where a
    browser's script can read it; over the hard one its handshake is answered with 503.
    Above both stands the bound on handshakes under way, so that at most ``connections_max
    + handshakes_pending_max`` descriptors are ever held.
    """

    connections_max: int
    connections_soft_max: int
    handshakes_pending_max: int
    connections_open: int = 0
    """Sockets held, handshakes under way included."""
    handshakes_pending: int = 0

    @property
    def websockets_open(self) -> int:
        return self.connections_open - self.handshakes_pending

    @property
    def admits(self) -> bool:
        """Whether one more handshake may begin; asked by the accept loop."""
        return self.handshakes_pending < self.handshakes_pending_max

    @property
    def is_full(self) -> bool:
        """The hard budget, asked while a handshake is still pending: it gets 503."""
        return self.websockets_open >= self.connections_max

    @property
    def is_busy(self) -> bool:
        """The soft budget, asked after `handshake_over`: this websocket is told `busy` and closed."""
        return self.websockets_open > self.connections_soft_max

    def accepted(self) -> None:
        self.connections_open += 1
        self.handshakes_pending += 1

    def handshake_over(self) -> None:
        """A handshake ended, well or badly; called exactly once by the task of each connection."""
        assert self.handshakes_pending > 0, "a handshake ends once"
        self.handshakes_pending -= 1

    def ended(self) -> None:
        assert self.connections_open > self.handshakes_pending, "a connection ends once, after its handshake"
        self.connections_open -= 1
