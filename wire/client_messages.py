"""What a client and a gateway say to each other, as types.

Every message is a map whose key ``t`` names its kind; the same maps travel as
msgpack (binary frames) and as JSON (text frames).  Requests carry ``n``, a number the
client chooses; the answer carries it back.  Unknown fields are refused from clients (a
typing error is found at once) and ignored from servers (so that a server may be newer).
docs/protocol.md is the full text; its tables are checked against this file.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from wire.limits import (
    AUTHOR_ID_CHARS_MAX,
    CLIENT_NAME_CHARS_MAX,
    CONNECTION_TOKEN_CHARS_MAX,
    EPOCH_CHARS_MAX,
    HISTORY_EVENTS_MAX,
    JOIN_HISTORY_EVENTS_DEFAULT,
    JOINS_PER_HELLO_MAX,
    MESSAGE_ID_CHARS_MAX,
    NICKNAME_BYTES_MAX,
    ROOM_NAME_CHARS_MAX,
    ROOMS_PER_CLIENT_MAX,
    TEXT_BYTES_MAX,
    TOKEN_CHARS_MAX,
)

PROTOCOL_VERSION = 1
SUBPROTOCOL_MSGPACK = "parvis.v1.msgpack"
SUBPROTOCOL_JSON = "parvis.v1.json"

# 2**53 - 1: the largest integer that a browser's number holds exactly.
INTEGER_MAX = 2**53 - 1

RequestNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]
OffsetField = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
RoomField = Annotated[str, Meta(max_length=ROOM_NAME_CHARS_MAX)]
EpochField = Annotated[str, Meta(max_length=EPOCH_CHARS_MAX)]
MessageIdField = Annotated[str, Meta(max_length=MESSAGE_ID_CHARS_MAX)]
# Characters never outnumber UTF-8 bytes; the byte bound itself is checked by wire/text.py.
TextField = Annotated[str, Meta(max_length=TEXT_BYTES_MAX)]
NameField = Annotated[str, Meta(max_length=NICKNAME_BYTES_MAX)]
TokenField = Annotated[str, Meta(max_length=TOKEN_CHARS_MAX)]
ConnectionTokenField = Annotated[str, Meta(max_length=CONNECTION_TOKEN_CHARS_MAX)]
AuthorField = Annotated[str, Meta(max_length=AUTHOR_ID_CHARS_MAX)]
ChainField = Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?$")]


class ClientMessage(Struct, tag_field="t", forbid_unknown_fields=True, frozen=True):
    """Base of what a client may say."""


class Position(Struct, forbid_unknown_fields=True, frozen=True):
    """A place in a room's log.  `chain` is the first 8 bytes of the record's chain there, in hex, if known."""

    epoch: EpochField
    offset: OffsetField
    chain: ChainField = ""


class JoinRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """One room of a hello: with `since` it is a resume, else the last `limit` events are sent first."""

    room: RoomField
    since: Position | None = None
    limit: Annotated[int, Meta(ge=0, le=HISTORY_EVENTS_MAX)] = JOIN_HISTORY_EVENTS_DEFAULT


class Hello(ClientMessage, tag="hello", frozen=True):
    """The first message of a connection: who speaks, and the rooms to enter, in one round trip."""

    v: Annotated[int, Meta(ge=0, le=1000)]
    client: Annotated[str, Meta(max_length=CLIENT_NAME_CHARS_MAX)] = ""
    guest: TokenField = ""
    session: TokenField = ""
    name: NameField = ""
    joins: Annotated[list[JoinRequest], Meta(max_length=JOINS_PER_HELLO_MAX)] = []
    token: ConnectionTokenField = ""


class Join(ClientMessage, tag="join", frozen=True):
    """Enter one more room."""

    n: RequestNumber
    room: RoomField
    since: Position | None = None
    limit: Annotated[int, Meta(ge=0, le=HISTORY_EVENTS_MAX)] = JOIN_HISTORY_EVENTS_DEFAULT


class Leave(ClientMessage, tag="leave", frozen=True):
    """Leave a room.  Never refused for being too fast: refusing it would add load."""

    n: RequestNumber
    room: RoomField


class Publish(ClientMessage, tag="publish", frozen=True):
    """Say `text` in a room.  A retry carries the same `id` and gets the first one's position."""

    n: RequestNumber
    room: RoomField
    id: MessageIdField
    text: TextField


class Edit(ClientMessage, tag="edit", frozen=True):
    """Replace the text of one's own message at offset `target`."""

    n: RequestNumber
    room: RoomField
    id: MessageIdField
    target: OffsetField
    text: TextField


class Delete(ClientMessage, tag="delete", frozen=True):
    """Remove one's own message at offset `target`: its text is erased, its place is kept."""

    n: RequestNumber
    room: RoomField
    id: MessageIdField
    target: OffsetField


class History(ClientMessage, tag="history", frozen=True):
    """Read kept events: those after an offset, or those before one; the latest when neither is given."""

    n: RequestNumber
    room: RoomField
    epoch: EpochField = ""
    after: OffsetField | None = None
    before: OffsetField | None = None
    limit: Annotated[int, Meta(ge=1, le=HISTORY_EVENTS_MAX)] = JOIN_HISTORY_EVENTS_DEFAULT


class Rename(ClientMessage, tag="rename", frozen=True):
    """Speak under another name from the next message on."""

    n: RequestNumber
    name: NameField


class Refresh(ClientMessage, tag="refresh", frozen=True):
    """Go on under a newer token of the same person; the connection stays."""

    n: RequestNumber
    token: ConnectionTokenField


class Revoke(ClientMessage, tag="revoke", frozen=True):
    """Make void what `author` or `session` was given before `before`; with neither, what anybody was.

    `before` is seconds since 1970, as in a token; 0 means now.
    """

    n: RequestNumber
    id: MessageIdField
    author: AuthorField = ""
    session: AuthorField = ""
    before: Annotated[int, Meta(ge=0, le=INTEGER_MAX)] = 0


class Pong(ClientMessage, tag="pong", frozen=True):
    """Answer to a ping; `seen` gives the last offset processed in each room."""

    seen: Annotated[dict[RoomField, OffsetField], Meta(max_length=ROOMS_PER_CLIENT_MAX)] = {}


AnyClientMessage = Hello | Join | Leave | Publish | Edit | Delete | History | Rename | Refresh | Revoke | Pong


class ServerMessage(Struct, tag_field="t", frozen=True, omit_defaults=True):
    """Base of what a gateway may say."""


class Refused(ServerMessage, tag="refused", frozen=True):
    """An expected no.  The request was not carried out and never will be, unless it is sent again."""

    n: int
    code: str
    message: str
    temporary: bool = False
    retry_after_ms: int = 0
    room: str = ""
    id: str = ""


class Joined(ServerMessage, tag="joined", frozen=True):
    """The reader is in the room.  The events `since` + 1 up to `offset` follow as event frames, then live ones.

    `asked`: the join carried a position.  `recovered`: nothing after that position is
    missing.  Otherwise `reason` says why and what follows is recent history, not the rest.
    """

    n: int
    room: str
    epoch: str
    offset: int
    since: int
    chain: str = ""
    asked: bool = False
    recovered: bool = False
    reason: str = ""
    present: int = 0
    seen_5m: int = 0
    seen_60m: int = 0


class Welcome(ServerMessage, tag="welcome", frozen=True):
    """Answer to hello.  `guest` and `session` are signed; present them again when coming back.

    `guest` is empty for who came with a token; `expires_ms` is what is left of that token's life, 0 without one.
    """

    v: int
    server: str
    session: str
    guest: str
    author: str
    name: str
    ping_ms: int
    joins: list[Joined | Refused] = []
    expires_ms: int = 0


class Left(ServerMessage, tag="left", frozen=True):
    """The room was left: no event of it follows.  With `n` 0 the gateway took the client out of it."""

    n: int
    room: str


class Renamed(ServerMessage, tag="renamed", frozen=True):
    """The name under which this client speaks from now on."""

    n: int
    name: str


class Refreshed(ServerMessage, tag="refreshed", frozen=True):
    """The newer token is in force; it has `expires_ms` to live."""

    n: int
    expires_ms: int


class Ack(ServerMessage, tag="ack", frozen=True):
    """Published and kept, at this place.  `duplicate`: the id was known, this is the first one's place."""

    n: int
    room: str
    id: str
    epoch: str
    offset: int
    at: int
    duplicate: bool = False


class Unknown(ServerMessage, tag="unknown", frozen=True):
    """The publish happened once or not at all: send it again with the same id."""

    n: int
    room: str
    id: str
    retry_after_ms: int = 0


class Event(ServerMessage, tag="event", frozen=True):
    """One entry of a room's log.

    `kind` is ``message``, ``edit``, ``delete`` or ``epoch``; `at` is milliseconds since 1970,
    never going back within a room; `by` is the author's id and `name` what they called
    themselves; `target` is the offset an edit or a delete speaks of; `removed` says why the
    text is gone.
    """

    room: str
    offset: int
    at: int
    kind: str
    by: str = ""
    name: str = ""
    id: str = ""
    text: str = ""
    target: int = 0
    removed: str = ""


class Page(ServerMessage, tag="page", frozen=True):
    """Answer to history: `events` in order of offset; `offset` is the room's head; `more` says there is more that way."""

    n: int
    room: str
    epoch: str
    offset: int
    events: list[msgspec.Raw] = []
    more: bool = False


class Hide(ServerMessage, tag="hide", frozen=True):
    """A message was removed: stop showing it now.  The event that says so follows in its place."""

    room: str
    offset: int


class Count(ServerMessage, tag="count", frozen=True):
    """How many are in the room.  A signal: conflated, at most four a second, without an offset."""

    room: str
    present: int
    seen_5m: int = 0
    seen_60m: int = 0


class Stale(ServerMessage, tag="stale", frozen=True):
    """Whether the room's shard is out of reach: what is shown may be behind."""

    room: str
    stale: bool


class Reset(ServerMessage, tag="reset", frozen=True):
    """The room's log is another one now.  Forget the old position; events after `offset` of the new epoch follow."""

    room: str
    epoch: str
    offset: int
    reason: str = ""


class Skipped(ServerMessage, tag="skipped", frozen=True):
    """The events `first` to `last` were not sent to this reader; history can fetch them."""

    room: str
    first: int
    last: int


class Ping(ServerMessage, tag="ping", frozen=True):
    """Are you there?  Any traffic answers; a pong says how far the reader is."""


class Goaway(ServerMessage, tag="goaway", frozen=True):
    """This server is leaving.  Open the next connection after `retry_after_ms`, then close this one, before `deadline_ms`."""

    deadline_ms: int
    retry_after_ms: int


AnyServerMessage = (
    Welcome | Refused | Joined | Left | Renamed | Refreshed | Ack | Unknown | Page
    | Event | Hide | Count | Stale | Reset | Skipped | Ping | Goaway
)
