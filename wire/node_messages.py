"""What gateways and shards say to each other over a link.

Arrays with a number in front (msgspec's ``array_like``), since nobody reads them by eye
and every event passes through one.  Peers are authenticated, so a message that does not
decode is a bug or another version: `PeerError`, and the link ends.
New fields go last and have a default: then version N reads N-1 and the reverse.
"""

from functools import lru_cache
from hashlib import blake2b

import msgspec
from msgspec import Struct

from wire.codes import CloseCode
from wire.errors import PeerError

LINK_VERSION = 2
LINK_VERSION_MIN = 1
# `MapNews` and `Doubt` are sent on links of this version or newer only.
MAP_NEWS_SINCE_VERSION = 2

# Flags of a node frame.
FLAG_REMOVAL = 1  # a delete: the frame of its target must go from every tail
FLAG_SYSTEM = 2  # written by the service, not by a person

# `Attached.present` of a shard that has just taken over: gateways are still reporting, and half of a crowd would
# read like half of it leaving.
PRESENT_NOT_KNOWN_YET = -1


class NodeMessage(Struct, array_like=True, frozen=True):
    """Base of all link messages."""


class NodeFrame(Struct, array_like=True, frozen=True, gc=False):
    """One event on its way to gateways: `frame` is the msgpack payload that clients read, ready to send.

    `author_tag` is 32 bits of a hash of the author's id: enough to find a reader's own
    events and to sample fairly, too little to name anybody.
    """

    offset: int
    flags: int
    author_tag: int
    frame: bytes


@lru_cache(maxsize=4096)
def author_tag(author: str) -> int:
    """The 32 bits under which an author's events travel between shards and gateways.

    Remembered for the last 4096 authors: who speaks, speaks again, and a hash is a tenth of what a room takes to load.
    """
    return int.from_bytes(blake2b(author.encode(), digest_size=4).digest(), "big")


# --- link handshake (runtime/link.py) ---------------------------------------------------


class LinkChallenge(NodeMessage, tag=1, frozen=True):
    """Server's first word: its versions and a nonce to be signed with the shared secret."""

    version: int
    version_min: int
    nonce: bytes


class LinkHello(NodeMessage, tag=2, frozen=True):
    """Client's answer: who it is, its own nonce, and the proof over both."""

    version: int
    role: str
    node: str
    nonce: bytes
    proof: bytes


class LinkWelcome(NodeMessage, tag=3, frozen=True):
    """Server's proof: it knows the secret too.  `map_version` is the slot map it follows."""

    version: int
    node: str
    proof: bytes
    map_version: int = 0


class LinkRefused(NodeMessage, tag=4, frozen=True):
    """Why the link is not opened, for the operator's log."""

    reason: str


class LinkPing(NodeMessage, tag=5, frozen=True):
    """Heartbeat; `sent` is the sender's clock and comes back untouched."""

    sent: float


class LinkPong(NodeMessage, tag=6, frozen=True):
    sent: float


# --- gateway to shard ----------------------------------------------------------------------


class Attach(NodeMessage, tag=10, frozen=True):
    """Open a feed of a room; answered by `Attached` or `AttachRefused` with the same generation.

    `epoch` "" means "from the recent tail"; else the feed has all up to `offset` of that
    epoch, and `chain` is the first 8 bytes of the record's chain there (b"" if unknown).
    """

    room: str
    generation: int
    epoch: str = ""
    offset: int = 0
    chain: bytes = b""
    members: int = 0


class Detach(NodeMessage, tag=11, frozen=True):
    room: str
    generation: int


class Members(NodeMessage, tag=12, frozen=True):
    """How many sessions this gateway has in each of these rooms now: a sum, never people.

    `seen` is what its sketch of a room has that the shard was not told (`wire.sketch.pack_entries`); to be merged.
    """

    counts: list[tuple[str, int]]
    seen: list[tuple[str, bytes]] = []


class PublishCommand(NodeMessage, tag=13, frozen=True):
    """Something a person wants in the log: kind ``message``, ``edit`` or ``delete``.

    `request` is unique per link; answered by `Committed`, `CommandRefused` or `OutcomeUnknown`.
    """

    request: int
    room: str
    kind: str
    author: str
    name: str
    id: str
    text: str = ""
    target: int = 0


class RangeRead(NodeMessage, tag=14, frozen=True):
    """Read events after `after`, or before `before` (0: the head); answered by `Range` or `CommandRefused`."""

    request: int
    room: str
    epoch: str = ""
    after: int = -1
    before: int = 0
    limit: int = 50


# --- shard to gateway -------------------------------------------------------------------------


class Attached(NodeMessage, tag=20, frozen=True):
    """The feed is open: `frames` are the events `since` + 1 to `offset`; batches follow from `offset` + 1.

    `resumed`: the frames continue the feed's own position without a gap.  Else `reason`
    is one of ResumeReason, or "" for a first attach.  `chain` is the first 8 bytes of the
    chain at `offset`, `term` the fencing number under which the shard serves the slot,
    `present` the room's sum of members, or PRESENT_NOT_KNOWN_YET: a `Sum` follows.
    """

    room: str
    generation: int
    term: int
    epoch: str
    offset: int
    since: int
    chain: bytes
    resumed: bool
    reason: str
    frames: list[NodeFrame]
    present: int = 0
    seen_5m: int = 0
    seen_60m: int = 0


class AttachRefused(NodeMessage, tag=21, frozen=True):
    room: str
    generation: int
    code: str
    message: str
    retry_after_ms: int = 0


class Batch(NodeMessage, tag=22, frozen=True):
    """Events of one room, in order and without a gap: the first continues what was sent before.

    `chain` is the first 8 bytes of the chain at the last of them.
    """

    room: str
    generation: int
    chain: bytes
    frames: list[NodeFrame]


class HideFrames(NodeMessage, tag=23, frozen=True):
    """Removed events: `tombstones` replace the frames of the same offsets in every tail, at once."""

    room: str
    generation: int
    tombstones: list[NodeFrame]


class Reattach(NodeMessage, tag=24, frozen=True):
    """Attach again with your position: batches were dropped (the down-link was full), or the epoch ended."""

    room: str
    generation: int


class Sum(NodeMessage, tag=25, frozen=True):
    """How many are in the room, over all gateways, and an estimate of how many different people were lately."""

    room: str
    generation: int
    present: int
    seen_5m: int = 0
    seen_60m: int = 0


class Committed(NodeMessage, tag=26, frozen=True):
    request: int
    epoch: str
    offset: int
    at: int
    duplicate: bool = False


class CommandRefused(NodeMessage, tag=27, frozen=True):
    """`code` is one of wire.codes.Refusal; never carried out."""

    request: int
    code: str
    message: str
    retry_after_ms: int = 0


class OutcomeUnknown(NodeMessage, tag=28, frozen=True):
    """Zero or one times."""

    request: int


class Range(NodeMessage, tag=29, frozen=True):
    request: int
    epoch: str
    offset: int
    frames: list[NodeFrame]
    more: bool = False


class Moved(NodeMessage, tag=30, frozen=True):
    """This shard does not speak for the room (any more): ask the directory again."""

    room: str
    map_version: int
    generation: int = 0
    request: int = 0


class Leaving(NodeMessage, tag=31, frozen=True):
    """The shard drains: no new commands, please; what is under way is answered first."""


class MapNews(NodeMessage, tag=32, frozen=True):
    """Either way: the slot map the sender follows now.  Who has an older one looks at once, not at its next poll."""

    map_version: int


class Doubt(NodeMessage, tag=33, frozen=True):
    """Shard to gateway: whether its lease has lapsed.  What it says may be behind its successor's until it has not."""

    is_lapsed: bool


AnyNodeMessage = (
    LinkChallenge | LinkHello | LinkWelcome | LinkRefused | LinkPing | LinkPong
    | Attach | Detach | Members | PublishCommand | RangeRead
    | Attached | AttachRefused | Batch | HideFrames | Reattach | Sum
    | Committed | CommandRefused | OutcomeUnknown | Range | Moved | Leaving | MapNews | Doubt
)

_DECODER: msgspec.msgpack.Decoder[AnyNodeMessage] = msgspec.msgpack.Decoder(AnyNodeMessage)
_ENCODER = msgspec.msgpack.Encoder()


def decode_node_message(data: bytes | bytearray | memoryview) -> AnyNodeMessage:
    """Read one link message; raises `PeerError`."""
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PeerError(CloseCode.BAD_REQUEST, f"link message of {len(data)} bytes is none of ours: {error}") from error


def encode_node_message(message: NodeMessage) -> bytes:
    return _ENCODER.encode(message)
