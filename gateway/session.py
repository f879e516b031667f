"""What one client may say, and what follows: the pure core of a connection.

Bytes of one frame go in, effects come out; the gateway's server carries them out.  Every
check that needs no shard is made here: order of messages, names, texts, sizes, rates,
rooms.  `now` is seconds on a clock that never goes back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from gateway.revocations import Revocation, revocation_text
from gateway.rules import SessionRules
from runtime.buckets import TokenBucket
from wire.capabilities import NOTHING, Action
from wire.client_codec import BadMessage, Form, decode_client_message
from wire.client_messages import (
    PROTOCOL_VERSION,
    AnyClientMessage,
    Delete,
    Edit,
    Hello,
    History,
    Join,
    JoinRequest,
    Leave,
    Left,
    Pong,
    Publish,
    Refresh,
    Refused,
    Rename,
    Renamed,
    Revoke,
    ServerMessage,
)
from wire.codes import CloseCode, Refusal
from wire.errors import PeerError
from wire.limits import (
    BAD_MESSAGES_PER_CONNECTION_MAX,
    PUBLISHES_IN_FLIGHT_PER_CLIENT_MAX,
    TOKEN_REFRESH_BURST,
    TOKEN_REFRESH_RATE_PER_S,
)
from wire.names import CONTROL_ROOM, RESERVED_NAMESPACE, AuthorId, RoomName, namespace_of, parse_message_id, parse_room
from wire.node_messages import PublishCommand, RangeRead
from wire.text import clean_nickname, clean_text


@dataclass(frozen=True, slots=True)
class Reply:
    """Tell the client."""

    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Greet:
    """A hello was accepted: identify the client, enter `joins`, answer with one welcome.

    `refused` are joins that were refused at once, by their place in the hello.
    """

    hello: Hello
    joins: tuple[tuple[int, JoinRequest], ...]
    refused: tuple[tuple[int, Refused], ...]


@dataclass(frozen=True, slots=True)
class Enter:
    """Let the client into a room, and answer request `n`."""

    n: int
    request: JoinRequest


@dataclass(frozen=True, slots=True)
class Exit:
    """Take the client out of a room; then nothing of it follows but `left`."""

    room: RoomName
    reply: Left


@dataclass(frozen=True, slots=True)
class Submit:
    """Give a command to the room's shard."""

    n: int
    command: PublishCommand


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Read a page from the room's shard."""

    n: int
    question: RangeRead


@dataclass(frozen=True, slots=True)
class Renew:
    """Check a newer token, and go on under it."""

    n: int
    token: str


@dataclass(frozen=True, slots=True)
class Report:
    """Count what a reader has processed: the last offset of each room."""

    seen: Mapping[str, int]


Effect = Reply | Greet | Enter | Exit | Submit | ReadHistory | Renew | Report


def refused(
    refusal: Refusal, n: int = 0, *, room: str = "", message_id: str = "", detail: str = "", retry_after_ms: int = 0
) -> Refused:
    """The wire form of a refusal; `detail` names the field and the bound, never what a person wrote."""
    kind = refusal.kind
    sentence = f"{kind.sentence} ({detail})" if detail else kind.sentence
    return Refused(
        n, kind.code, sentence, kind.temporary, retry_after_ms or kind.retry_after_ms, room=room, id=message_id
    )


class Session:
    """One client's conversation.  `rooms` are those it entered or is entering.

    Who it is, what it may do and until when is said by the door (gateway/door.py), after its hello.
    """

    __slots__ = (
        "_bad_messages",
        "_history_bucket",
        "_join_bucket",
        "_publish_bucket",
        "_refresh_bucket",
        "_rules",
        "author",
        "expires_at",
        "form",
        "greeted",
        "has_spoken",
        "id",
        "in_flight",
        "is_name_given",
        "issued_s",
        "may",
        "name",
        "rooms",
    )

    def __init__(self, form: Form, rules: SessionRules) -> None:
        self._rules = rules
        self._bad_messages = 0
        # Made at first use: most readers never write, and a bucket weighs more than the rest of a session.
        self._publish_bucket: TokenBucket | None = None
        self._join_bucket: TokenBucket | None = None
        self._history_bucket: TokenBucket | None = None
        self._refresh_bucket: TokenBucket | None = None
        self.form = form
        self.greeted = False
        self.id = ""
        self.author = AuthorId("")
        self.may = NOTHING
        self.expires_at = inf
        """When its token ends, on the clock of `now`; never for a guest."""
        self.issued_s = 0.0
        """When what it came with was given to it, in seconds since 1970: what revocations go by."""
        self.name = ""
        self.is_name_given = False
        """The name is the account's: its owner cannot take another."""
        self.rooms: set[RoomName] = set()
        self.in_flight = 0
        self.has_spoken = False
        """Something of it was committed; written by the gateway, when it was."""

    def handle(self, payload: bytes, now: float) -> Effect | None:
        """What one frame leads to; raises `PeerError` when the connection has to end."""
        message = decode_client_message(payload, self.form)
        if not self.greeted:
            return self._greet(message)
        if isinstance(message, Publish | Edit | Delete):
            return self._submit(message, now)
        if isinstance(message, Pong):
            return Report(message.seen) if message.seen else None
        if isinstance(message, BadMessage):
            return self._bad(message)
        return self._handle_rare(message, now)

    def _handle_rare(self, message: AnyClientMessage, now: float) -> Effect:
        match message:
            case Join():
                return self._join(message, now)
            case Leave():
                return self._leave(message)
            case History():
                return self._history(message, now)
            case Rename():
                return self._rename(message)
            case Refresh():
                return self._refresh(message, now)
            case Revoke():
                return self._revoke(message, now)
            case _:
                raise PeerError(CloseCode.BAD_REQUEST, "hello is said once")

    def _bad(self, message: BadMessage) -> Reply:
        self._bad_messages += 1
        if self._bad_messages > BAD_MESSAGES_PER_CONNECTION_MAX:
            raise PeerError(CloseCode.TOO_MANY_ERRORS, f"more than {BAD_MESSAGES_PER_CONNECTION_MAX} bad messages")
        return Reply(refused(message.refusal, message.n, detail=message.detail))

    # --- hello and rooms ---------------------------------------------------------------

    def _greet(self, message: AnyClientMessage | BadMessage) -> Effect:
        if isinstance(message, BadMessage) and message.refusal is Refusal.BAD_MESSAGE:
            raise PeerError(CloseCode.BAD_REQUEST, f"hello: {message.detail}")
        if not isinstance(message, Hello):
            raise PeerError(CloseCode.NO_HELLO, "the first message must be hello")
        if message.v != PROTOCOL_VERSION:
            raise PeerError(CloseCode.WRONG_VERSION, f"version {message.v}; this server speaks {PROTOCOL_VERSION}")
        self.greeted = True
        accepted: list[tuple[int, JoinRequest]] = []
        turned_away: list[tuple[int, Refused]] = []
        for place, request in enumerate(message.joins):
            refusal = self._admit(request.room)
            if refusal is None:
                self.rooms.add(RoomName(request.room))
                accepted.append((place, request))
            else:
                turned_away.append((place, refused(refusal, room=request.room)))
        return Greet(message, tuple(accepted), tuple(turned_away))

    def _admit(self, name: str) -> Refusal | None:
        """Whether the room may be entered now, as far as a gateway can tell."""
        room = parse_room(name)
        if room is None:
            return Refusal.BAD_ROOM
        namespace = namespace_of(room)
        if namespace == RESERVED_NAMESPACE or (self._rules.namespaces and namespace not in self._rules.namespaces):
            return Refusal.UNKNOWN_NAMESPACE
        if room in self.rooms:
            return Refusal.ALREADY_JOINED
        if len(self.rooms) >= self._rules.rooms_per_client_max:
            return Refusal.ROOM_LIMIT
        return None

    def without_forbidden(self, greet: Greet) -> Greet:
        """The greeting with each room that may not be read among the refused."""
        forbidden = self.unreadable_rooms()
        if not forbidden:
            return greet
        self.rooms.difference_update(forbidden)
        joins = tuple((place, request) for place, request in greet.joins if request.room in self.rooms)
        no = tuple((place, refused(Refusal.NOT_ALLOWED, room=each.room)) for place, each in greet.joins if each.room in forbidden)
        return replace(greet, joins=joins, refused=(*greet.refused, *no))

    def unreadable_rooms(self) -> list[RoomName]:
        """Rooms of this client that it has no right to be in, or no longer."""
        return [room for room in self.rooms if not self.may.allow(Action.READ, room)]

    def _join(self, message: Join, now: float) -> Effect:
        if self._join_bucket is None:
            self._join_bucket = TokenBucket(self._rules.join_rate_per_s, self._rules.join_burst, now)
        wait_s = self._join_bucket.take(now)
        if wait_s > 0:
            return Reply(refused(Refusal.TOO_FAST, message.n, room=message.room, retry_after_ms=milliseconds(wait_s)))
        refusal = self._admit(message.room)
        if refusal is None and not self.may.allow(Action.READ, message.room):
            refusal = Refusal.NOT_ALLOWED
        if refusal is not None:
            return Reply(refused(refusal, message.n, room=message.room))
        self.rooms.add(RoomName(message.room))
        return Enter(message.n, JoinRequest(message.room, message.since, message.limit))

    def _leave(self, message: Leave) -> Effect:
        room = RoomName(message.room)
        if room not in self.rooms:
            return Reply(refused(Refusal.NOT_JOINED, message.n, room=message.room))
        self.rooms.discard(room)
        return Exit(room, Left(message.n, message.room))

    # --- speaking -----------------------------------------------------------------------------

    def _submit(self, message: Publish | Edit | Delete, now: float) -> Effect:
        refusal, retry_after_ms = self._may_submit(message, now)
        text = ""
        if refusal is None and not isinstance(message, Delete):
            cleaned = clean_text(message.text)
            if isinstance(cleaned, Refusal):
                refusal = cleaned
            else:
                text = cleaned
        if refusal is not None:
            return Reply(refused(refusal, message.n, room=message.room, message_id=message.id, retry_after_ms=retry_after_ms))
        self.in_flight += 1
        if isinstance(message, Publish):
            kind, target = "message", 0
        else:
            kind, target = ("edit" if isinstance(message, Edit) else "delete"), message.target
        return Submit(message.n, PublishCommand(0, message.room, kind, self.author, self.name, message.id, text, target))

    def _revoke(self, message: Revoke, now: float) -> Effect:
        """A message in the service's own room, for which nobody joins it."""
        refusal: Refusal | None = Refusal.NOT_ALLOWED
        retry_after_ms = 0
        if self.may.allow(Action.MODERATE, CONTROL_ROOM):
            refusal, retry_after_ms = self._may_send(message.id, now)
        if refusal is not None:
            return Reply(refused(refusal, message.n, message_id=message.id, retry_after_ms=retry_after_ms))
        self.in_flight += 1
        text = revocation_text(Revocation(message.author, message.session, message.before))
        return Submit(message.n, PublishCommand(0, CONTROL_ROOM, "message", self.author, self.name, message.id, text))

    def _may_submit(self, message: Publish | Edit | Delete, now: float) -> tuple[Refusal | None, int]:
        if message.room not in self.rooms:
            return Refusal.NOT_JOINED if parse_room(message.room) else Refusal.BAD_ROOM, 0
        if not self.may.allow(Action.PUBLISH, message.room):
            return Refusal.NOT_ALLOWED, 0
        return self._may_send(message.id, now)

    def _may_send(self, message_id: str, now: float) -> tuple[Refusal | None, int]:
        if parse_message_id(message_id) is None:
            return Refusal.BAD_ID, 0
        if self.in_flight >= PUBLISHES_IN_FLIGHT_PER_CLIENT_MAX:
            return Refusal.BUSY, 0
        if self._publish_bucket is None:
            self._publish_bucket = TokenBucket(self._rules.publish_rate_per_s, self._rules.publish_burst, now)
        wait_s = self._publish_bucket.take(now)
        return (Refusal.TOO_FAST, milliseconds(wait_s)) if wait_s > 0 else (None, 0)

    def _rename(self, message: Rename) -> Reply:
        cleaned = clean_nickname(message.name)
        if self.is_name_given:
            return Reply(refused(Refusal.NOT_ALLOWED, message.n, detail="the name is the account's"))
        if isinstance(cleaned, Refusal):
            return Reply(refused(cleaned, message.n))
        self.name = cleaned
        return Reply(Renamed(message.n, cleaned))

    def _refresh(self, message: Refresh, now: float) -> Effect:
        if self._refresh_bucket is None:
            self._refresh_bucket = TokenBucket(TOKEN_REFRESH_RATE_PER_S, TOKEN_REFRESH_BURST, now)
        wait_s = self._refresh_bucket.take(now)
        if wait_s > 0:
            return Reply(refused(Refusal.TOO_FAST, message.n, retry_after_ms=milliseconds(wait_s)))
        return Renew(message.n, message.token)

    # --- reading -------------------------------------------------------------------------------

    def _history(self, message: History, now: float) -> Effect:
        if message.room not in self.rooms:
            return Reply(refused(Refusal.NOT_JOINED, message.n, room=message.room))
        if message.after is not None and message.before is not None:
            return Reply(refused(Refusal.BAD_MESSAGE, message.n, room=message.room, detail="after or before, not both"))
        if self._history_bucket is None:
            self._history_bucket = TokenBucket(self._rules.history_rate_per_s, self._rules.history_burst, now)
        wait_s = self._history_bucket.take(now)
        if wait_s > 0:
            return Reply(refused(Refusal.TOO_FAST, message.n, room=message.room, retry_after_ms=milliseconds(wait_s)))
        after = -1 if message.after is None else message.after
        return ReadHistory(message.n, RangeRead(0, message.room, message.epoch, after, message.before or 0, message.limit))


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, rounded up, so that who waits that long is not refused again."""
    return int(seconds * 1000) + 1
