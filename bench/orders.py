"""What the bench tells its load processes, and what they report: one JSON line each."""

from typing import Final

import msgspec
from msgspec import Struct


class Order(Struct, tag_field="order", kw_only=True):
    """Base of all orders."""


class Connect(Order, tag="connect"):
    """Open `each` subscribers in each room; every `audit_every`-th of a room keeps a tape for the audit."""

    host: str
    port: int
    rooms: list[str]
    each: int
    audit_every: int = 50


class Stall(Order, tag="stall"):
    """Open subscribers that never read after their welcome."""

    host: str
    port: int
    room: str
    count: int
    receive_buffer_bytes: int


class Begin(Order, tag="begin"):
    """A measurement starts: forget earlier samples and tapes."""


class Settle(Order, tag="settle"):
    """Read on until every reader of room i has offset `heads[i]`, or nothing came for `quiet_s`."""

    heads: list[int]
    quiet_s: float
    deadline_s: float


class Evaluate(Order, tag="evaluate"):
    """Turn the samples into figures; the schedule and the offsets are the speaker's."""

    start: float
    rate: float
    seconds: float
    offsets: list[list[int]]


class Close(Order, tag="close"):
    """Close all connections; the server stays, and others may be opened."""


class OpenSpeakers(Order, tag="open_speakers"):
    """Open `connections` that publish, spread over the rooms."""

    host: str
    port: int
    rooms: list[str]
    connections: int


class Speak(Order, tag="speak"):
    """Publish by the clock: `rate` messages a second and room for `seconds`, texts padded to `payload_bytes` an event."""

    start: float
    rate: float
    seconds: float
    payload_bytes: int
    answer_wait_s: float


AnyOrder = Connect | Stall | Begin | Settle | Evaluate | Close | OpenSpeakers | Speak


class Report(Struct, tag_field="report", kw_only=True):
    """Base of all reports."""


class Done(Report, tag="done"):
    pass


class Failed(Report, tag="failed"):
    reason: str


class Connected(Report, tag="connected"):
    connections: int
    seconds: float
    ports: list[int] = []
    """Our ends' ports, of stalled readers only: their sockets are found by them."""


class Settled(Report, tag="settled"):
    """`complete`: everyone has everything."""

    complete: bool
    at: float


class Measured(Report, tag="measured"):
    """Sums over all readers since `Begin`; times in milliseconds from the intended moment."""

    deliveries: int
    lost: int
    unannounced: int
    """Of those lost, what no `skipped` named; or the reverse."""
    repeated: int
    closed: int
    unplanned: int
    audited: int
    violations: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    frame_bytes: int
    receives: int
    cpu_s: float
    """CPU of the load process itself: close to the wall's seconds means that it was the limit."""


class Spoken(Report, tag="spoken"):
    """What the speaker did; `offsets[room][i]` is where message i of the room was put, 0 if nobody said."""

    sent: int
    acknowledged: int
    refused: dict[str, int]
    unanswered: int
    closed: int
    late_p99_ms: float
    ack_p50_ms: float
    ack_p99_ms: float
    ack_max_ms: float
    offsets: list[list[int]]
    cpu_s: float


AnyReport = Done | Failed | Connected | Settled | Measured | Spoken

_ORDERS: Final[msgspec.json.Decoder[AnyOrder]] = msgspec.json.Decoder(AnyOrder)
_REPORTS: Final[msgspec.json.Decoder[AnyReport]] = msgspec.json.Decoder(AnyReport)


def decode_order(line: bytes) -> AnyOrder:
    return _ORDERS.decode(line)


def decode_report(line: bytes) -> AnyReport:
    return _REPORTS.decode(line)


def encode_line(message: Order | Report) -> bytes:
    return msgspec.json.encode(message) + b"\n"
