"""What a program reads from a client: the room's own messages and the connection's changes.

Messages of the wire are given as they are (`Event`, `Hide`, `Count`, `Stale`, `Reset`,
`Skipped`, `Joined`); what only the client can know has its types here.
"""

from dataclasses import dataclass

from wire.client_messages import Ack, Count, Event, Hide, Joined, Left, Refused, Renamed, Reset, Skipped, Stale, Unknown


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets `first` to `last` did not come and nobody said so: the client resumes from before them.

    They follow as events, or a `Reset` says why they cannot.
    """

    room: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class JoinRefused:
    """A room that was to be entered again is closed to us; it is tried again only if `refused.temporary`."""

    room: str
    refused: Refused


@dataclass(frozen=True, slots=True)
class Connecting:
    """A connection to `url` is being opened."""

    url: str


@dataclass(frozen=True, slots=True)
class Connected:
    """The gateway knows us: as `author`, speaking as `name`.  `moved`: it took over from one that left, nothing paused."""

    server: str
    author: str
    name: str
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The connection is lost; the next one is opened in `delay_s` seconds."""

    delay_s: float
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The client has ended and will not come back: a close code that says so, or its own user."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Kept events in order of offset; `offset` is the room's head; `more`: there is more that way."""

    n: int
    room: str
    epoch: str
    offset: int
    events: tuple[Event, ...]
    more: bool


ConnectionUpdate = Connecting | Connected | Reconnecting | Stopped
RoomUpdate = Event | Hide | Count | Stale | Reset | Skipped | Joined | Gap | JoinRefused
Update = RoomUpdate | ConnectionUpdate

PublishOutcome = Ack | Refused | Unknown
Outcome = PublishOutcome | Joined | Left | Renamed | HistoryPage
