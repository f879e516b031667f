"""What a client sees of a feed: the ring, and how far passes have come."""

from typing import Protocol

from gateway.ring import Ring
from gateway.thinner import Thinner
from wire.names import RoomName


class Stream(Protocol):
    """The shared stream of one room."""

    room: RoomName
    ring: Ring
    thinner: Thinner
    boundary: int
    """Where the next pass starts: the end of the running pass, else all that was passed on."""
