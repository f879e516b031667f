"""What the pure session asks of the task that owns the sockets, in the order in which to do it."""

from dataclasses import dataclass
from typing import NewType

from client.updates import Outcome, Update
from wire.client_messages import ClientMessage

ConnectionId = NewType("ConnectionId", int)


@dataclass(frozen=True, slots=True)
class Open:
    """Dial `url`; answered by `opened` or `failed`."""

    connection: ConnectionId
    url: str


@dataclass(frozen=True, slots=True)
class Send:
    connection: ConnectionId
    message: ClientMessage


@dataclass(frozen=True, slots=True)
class Close:
    """Send what waits, say goodbye, let go.  The session has forgotten this connection already."""

    connection: ConnectionId
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the program."""

    update: Update


@dataclass(frozen=True, slots=True)
class Settle:
    """Request `n` has its outcome."""

    n: int
    outcome: Outcome


Effect = Open | Send | Close | Emit | Settle
