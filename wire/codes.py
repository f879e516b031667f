"""Every answer that is not "yes": refusals, outcomes of a resume, close codes.

A code says what the client does next.  Refusals leave the connection open and carry
`temporary`; close codes speak by range, so that a client which does not know a code
still does the right thing: 3000-3499 reconnect, 3500-3999 stop, 1002, 1003 and
1007-1010 stop, any other code below 3000 reconnect.  The tables of docs/protocol.md
are checked against this file.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum


@dataclass(frozen=True, slots=True)
class RefusalKind:
    """What a refusal code means; `retry_after_ms` is the usual advice, 0 when there is none."""

    code: str
    temporary: bool
    sentence: str
    retry_after_ms: int = 0


class Refusal(Enum):
    """An expected "no".  The value is what the client is told."""

    BAD_MESSAGE = RefusalKind("bad_message", False, "This message lacks a field, or has one of the wrong type.")
    UNKNOWN_KIND = RefusalKind("unknown_kind", False, "This server does not know this kind of message.")
    BAD_ROOM = RefusalKind("bad_room", False, "This is not a room name (namespace/name, lower case).")
    UNKNOWN_NAMESPACE = RefusalKind("unknown_namespace", False, "There are no rooms in this namespace.")
    BAD_ID = RefusalKind("bad_id", False, "A message id is 1 to 64 of A-Z a-z 0-9 . _ -.")
    BAD_TEXT = RefusalKind("bad_text", False, "This text cannot be published as it is.")
    BAD_NAME = RefusalKind("bad_name", False, "This name cannot be shown as it is.")
    TOO_LARGE = RefusalKind("too_large", False, "This text is too long.")
    NOT_JOINED = RefusalKind("not_joined", False, "Join the room first.")
    ALREADY_JOINED = RefusalKind("already_joined", False, "This connection has joined the room already.")
    ROOM_LIMIT = RefusalKind("room_limit", False, "This connection has joined as many rooms as it may.")
    NOT_ALLOWED = RefusalKind("not_allowed", False, "You have no permission for this here.")
    TOKEN_EXPIRED = RefusalKind("token_expired", False, "This token has expired; get a new one.")
    TOKEN_REVOKED = RefusalKind("token_revoked", False, "This token was revoked; get a new one.")
    TOKEN_INVALID = RefusalKind("token_invalid", False, "This token is not valid here.")
    FORBIDDEN = RefusalKind("forbidden", False, "Only the author of a message may do this.")
    NO_SUCH_MESSAGE = RefusalKind("no_such_message", False, "There is no such message in this room.")
    TOO_OLD = RefusalKind("too_old", False, "This message is too old to be changed.")
    EDIT_LIMIT = RefusalKind("edit_limit", False, "This message was edited as often as it may be.")
    ID_REUSED = RefusalKind("id_reused", False, "This id was used for another message.")
    EPOCH = RefusalKind("epoch", False, "The room's log is another one now; join again.")
    TOO_FAST = RefusalKind("too_fast", True, "Too many messages; slow down.", 1000)
    BUSY = RefusalKind("busy", True, "The service is busy; try again in a moment.", 1000)
    CONNECTION_LIMIT = RefusalKind(
        "connection_limit", True, "You have as many connections as you may; close one.", 30_000
    )
    UNAVAILABLE = RefusalKind("unavailable", True, "The room cannot be reached right now; try again in a moment.", 1000)
    CUT_OFF = RefusalKind(
        "cut_off", True, "This server cannot hear of bans right now, so nobody new may speak here; try again in a moment.", 2000
    )
    DRAINING = RefusalKind("draining", True, "This server is leaving; use the new connection.", 500)
    INTERNAL = RefusalKind("internal", True, "Something went wrong on our side; try again.", 2000)

    @property
    def kind(self) -> RefusalKind:
        return self.value


REFUSAL_BY_CODE: dict[str, Refusal] = {refusal.value.code: refusal for refusal in Refusal}


class ResumeReason(Enum):
    """Why a resume was not recovered; the reply gives a fresh position to start from."""

    EPOCH = "epoch"
    TRIMMED = "trimmed"
    LIMIT = "limit"
    POLICY = "policy"


class CloseCode(IntEnum):
    """What a connection is closed with.  1xxx are RFC 6455's own."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    TOO_BIG = 1009
    INTERNAL = 1011

    DRAIN = 3001
    SERVER_ERROR = 3004
    TOKEN_EXPIRED = 3005
    TOKEN_REVOKED = 3007
    SLOW = 3008
    INSUFFICIENT_STATE = 3010
    NO_PONG = 3012
    BUSY = 3013

    TOKEN_INVALID = 3500
    BAD_REQUEST = 3501
    NO_HELLO = 3502
    WRONG_VERSION = 3506
    FORBIDDEN = 3507
    TOO_MANY_ERRORS = 3509


CLOSE_SENTENCES: dict[CloseCode, str] = {
    CloseCode.NORMAL: "Closed on purpose.",
    CloseCode.GOING_AWAY: "The page or the program went away.",
    CloseCode.PROTOCOL: "The websocket protocol was broken.",
    CloseCode.UNSUPPORTED_DATA: "This subprotocol does not take this type of frame.",
    CloseCode.INVALID_DATA: "A text frame was not UTF-8.",
    CloseCode.TOO_BIG: "A frame or message was larger than allowed.",
    CloseCode.INTERNAL: "The server ended this connection on an error of its own.",
    CloseCode.DRAIN: "This server is leaving; reconnect anywhere.",
    CloseCode.SERVER_ERROR: "Something went wrong on our side; reconnect.",
    CloseCode.TOKEN_EXPIRED: "The token has expired; get a new one, then reconnect.",
    CloseCode.TOKEN_REVOKED: "The token was revoked; get a new one, then reconnect.",
    CloseCode.SLOW: "This reader fell too far behind; reconnect and resume.",
    CloseCode.INSUFFICIENT_STATE: "The position was lost; reconnect and resume.",
    CloseCode.NO_PONG: "No answer to a ping; reconnect and resume.",
    CloseCode.BUSY: "The server takes no more connections now; reconnect later.",
    CloseCode.TOKEN_INVALID: "This token is not valid here.",
    CloseCode.BAD_REQUEST: "A message could not be understood.",
    CloseCode.NO_HELLO: "The first message must be hello, within ten seconds.",
    CloseCode.WRONG_VERSION: "This server does not speak this protocol version.",
    CloseCode.FORBIDDEN: "This client is not allowed here.",
    CloseCode.TOO_MANY_ERRORS: "Too many bad messages on one connection.",
}

STOP_BELOW_3000 = frozenset({1002, 1003, 1007, 1008, 1009, 1010})


def may_reconnect(code: int) -> bool:
    """Whether a client that was closed with `code` should come back."""
    if code < 3000:
        return code not in STOP_BELOW_3000
    return 3000 <= code <= 3499 or 4000 <= code <= 4499
