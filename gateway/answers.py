"""What a client is told of a command's outcome, of a range read, and of a limit that many share.  Pure."""

from collections.abc import Iterable
from operator import itemgetter
from typing import Final

import msgspec

from gateway.crowd import Denied
from gateway.joins import JoinAnswer
from gateway.session import milliseconds, refused
from shard_router.ports import PublishAnswer, RangeAnswer
from wire.client_codec import Form, recode_event
from wire.client_messages import Ack, Page, Refused, Unknown
from wire.codes import REFUSAL_BY_CODE, Refusal
from wire.node_messages import CommandRefused, Committed, PublishCommand, Range

OUTCOMES: Final[dict[type, str]] = {Ack: "committed", Refused: "refused", Unknown: "unknown"}
"""What each answer to a command counts as."""


def outcome_of(outcome: PublishAnswer, n: int, command: PublishCommand) -> Ack | Refused | Unknown:
    """How a command ended, to its sender."""
    room, message_id = command.room, command.id
    match outcome:
        case Committed():
            return Ack(n, room, message_id, outcome.epoch, outcome.offset, outcome.at, outcome.duplicate)
        case CommandRefused():
            return refusal_of(outcome, n, room, message_id)
    return Unknown(n, room, message_id, Refusal.UNAVAILABLE.kind.retry_after_ms)


def refusal_of(answer: CommandRefused, n: int, room: str, message_id: str = "") -> Refused:
    """A shard's refusal as the client's; a code that only a newer shard knows is an internal one."""
    kind = REFUSAL_BY_CODE.get(answer.code, Refusal.INTERNAL).kind
    retry_after_ms = answer.retry_after_ms or kind.retry_after_ms
    return Refused(n, kind.code, answer.message or kind.sentence, kind.temporary, retry_after_ms, room, message_id)


def range_of(answer: RangeAnswer, n: int, room: str, form: Form) -> Page | Refused:
    """How a range read ended."""
    return refusal_of(answer, n, room) if isinstance(answer, CommandRefused) else page_of(answer, n, room, form)


def joins_in_order(answers: Iterable[tuple[int, JoinAnswer]]) -> list[JoinAnswer]:
    """The answers to a hello's joins, by their places.  Places are ours: to the client each has n 0."""
    return [msgspec.structs.replace(answer, n=0) for _, answer in sorted(answers, key=itemgetter(0))]


def page_of(answer: Range, n: int, room: str, form: Form) -> Page:
    """A range read as the client's page; events stay the bytes they are."""
    if form is Form.MSGPACK:
        events = [msgspec.Raw(node_frame.frame) for node_frame in answer.frames]
    else:
        events = [msgspec.Raw(recode_event(node_frame.frame)) for node_frame in answer.frames]
    return Page(n, room, answer.epoch, answer.offset, events, answer.more)


def refused_by(denied: Denied, n: int = 0, room: str = "") -> Refused:
    """The refusal of somebody whose user, address or room is beyond a limit; it says whose limit that is."""
    refusal = Refusal.CONNECTION_LIMIT if denied.is_cap else Refusal.TOO_FAST
    detail = "" if denied.is_cap else f"{denied.together} together"
    return refused(refusal, n, room=room, detail=detail, retry_after_ms=milliseconds(denied.retry_after_s))
