"""From a fresh TCP connection to an open websocket, or to a plain HTTP refusal.

gateway/handshake.py decides; this file reads, answers and keeps the deadline.  The end of
the stream ends it at once: a server that waits out its timeout there lets 2,000 connects
hold 2,000 descriptors for a minute.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from gateway.handshake import Accepted, RequestHead, UpgradeRefusal, refusal_response
from gateway.peer import PeerGone
from gateway.streams import discard, read_some, write_all
from runtime.transport import Transport
from wire.client_codec import Form
from wire.limits import HANDSHAKE_DEADLINE_S

__all__ = ["PeerGone", "UpgradeRefused", "UpgradeRules", "Upgraded", "refuse", "upgrade"]

# How long a refused client may take to read its answer and go, while it is still sending: a
# socket closed over unread bytes answers with a reset, which can overtake the refusal.
REFUSAL_GRACE_S = 1.0


Admit = Callable[[Sequence[bytes]], UpgradeRefusal | None]
"""Asked last, with the ``X-Forwarded-For`` lines of a request that would come in; None lets it."""


def _is_never_busy() -> bool:
    return False


def _admit_anybody(_forwarded_for: Sequence[bytes]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class UpgradeRules:
    """What a gateway asks of a handshake.

    `origins` are exact Origin values, or ``*``; a request without Origin is no browser's and
    is allowed.  `subprotocols` is our order of preference, `deflates` whether compression may be
    agreed on.  `busy` tells the hard budget.
    """

    origins: tuple[str, ...] = ()
    subprotocols: tuple[Form, ...] = (Form.MSGPACK, Form.JSON)
    deadline_s: float = HANDSHAKE_DEADLINE_S
    busy: Callable[[], bool] = _is_never_busy
    deflates: bool = False


@dataclass(frozen=True, slots=True)
class Upgraded:
    """An open websocket, and nothing about the person behind it but the page's origin."""

    form: Form
    leftover: bytes
    """Frames that came right behind the request."""
    origin: str
    """"" when the client named none."""
    deflates: bool = False
    """Whether permessage-deflate was agreed on."""


class UpgradeRefused(Exception):
    """The handshake was answered with a plain HTTP refusal; close the transport."""

    def __init__(self, refusal: UpgradeRefusal) -> None:
        super().__init__(f"upgrade refused: {refusal.name.lower()}")
        self.refusal = refusal
        self.status = refusal.answer.status
        self.reason = refusal.answer.key
        """Its name in metrics."""


async def upgrade(
    transport: Transport, rules: UpgradeRules, admit: Admit = _admit_anybody, *, until: float | None = None
) -> Upgraded:
    """Read one request within `rules.deadline_s`, or `until` the time given, and open the websocket.

    Raises `UpgradeRefused` after the refusal was sent, `PeerGone` when nobody is left to
    answer.  Does not close the transport.
    """
    head = RequestHead()
    verdict: Accepted | UpgradeRefusal = UpgradeRefusal.DEADLINE
    with trio.move_on_at(trio.current_time() + rules.deadline_s if until is None else until):
        verdict = await _read_verdict(transport, head, rules, admit)
        if isinstance(verdict, Accepted):
            await write_all(transport, verdict.response)
            return Upgraded(verdict.form, head.leftover, verdict.origin, verdict.deflates)
    if isinstance(verdict, Accepted):
        raise PeerGone("the answer to the upgrade was not taken in time")
    await refuse(transport, verdict, rules.subprotocols)
    raise UpgradeRefused(verdict)


async def _read_verdict(
    transport: Transport, head: RequestHead, rules: UpgradeRules, admit: Admit
) -> Accepted | UpgradeRefusal:
    while True:
        data = await read_some(transport, head.bytes_wanted)
        progress = head.feed(data)
        if isinstance(progress, UpgradeRefusal):
            return progress
        if progress:
            verdict = head.judge(rules.origins, rules.subprotocols, deflates=rules.deflates)
            if not isinstance(verdict, Accepted):
                return verdict
            # Last, so that "busy" is told only to those who would have come in.
            return UpgradeRefusal.BUSY if rules.busy() else admit(head.forwarded_for) or verdict


async def refuse(transport: Transport, refusal: UpgradeRefusal, subprotocols: tuple[Form, ...]) -> None:
    """Say no; a peer that neither reads nor stops sending is left after REFUSAL_GRACE_S."""
    with trio.move_on_after(REFUSAL_GRACE_S):
        try:
            await write_all(transport, refusal_response(refusal, subprotocols))
            if refusal.leaves_bytes_unread:
                await discard(transport)
        except PeerGone:
            # It left before it heard the answer; the refusal is counted all the same.
            return
