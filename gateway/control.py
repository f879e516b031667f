"""The gateway's ear in the room `parvis/control`: revocations reach it as events, in order, from every shard that owns it.

A feed of its own kind: it has no readers and no ring, and remembers a position only.  The first
attach brings the shard's memory of the room, and a later one what was missed.  Pure: time comes
from the injected `clock`.
"""

from collections.abc import Callable, Sequence
from math import inf

from gateway.revocations import Revocation, parse_revocation
from shard_router.ports import FeedPosition
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Event
from wire.limits import CONTROL_DOUBT_S
from wire.names import CONTROL_ROOM
from wire.node_messages import Attached, AttachRefused, Batch, HideFrames, NodeFrame, PublishCommand, Sum


class ControlFeed:
    """`on_revoked` is told of each batch once: the revocations in it, with the second at which each was published."""

    def __init__(
        self,
        on_revoked: Callable[[Sequence[tuple[Revocation, float]]], None],
        reattach: Callable[["ControlFeed"], None],
        clock: Callable[[], float],
    ) -> None:
        self.room = CONTROL_ROOM
        self._on_revoked = on_revoked
        self._reattach = reattach
        self._clock = clock
        self._position: FeedPosition | None = None
        self._in_doubt = False
        self._is_attached = False
        self.unsure_since = clock()
        """Since when revocations may be missed; infinity while they are not."""

    def position(self) -> FeedPosition | None:
        return self._position

    def members(self) -> int:
        return 0

    def take_seen(self) -> bytes:
        """Nobody is seen here."""
        return b""

    def tell_seen_again(self) -> None:
        """Nothing was told."""

    def on_attached(self, message: Attached) -> None:
        if self._position is None or message.epoch != self._position.epoch:
            self._position = FeedPosition(message.epoch, message.since, b"")
        # What the shard's memory does not reach back to is older than any token that lives: 1,000 revocations ago.
        self._position = FeedPosition(message.epoch, max(self._position.offset, message.since), b"")
        self._take(message.frames, message.chain)
        self._is_attached = True
        self._judge()

    def on_attach_refused(self, message: AttachRefused) -> None:
        self.on_detached()

    def on_batch(self, message: Batch) -> None:
        if not self._take(message.frames, message.chain):
            self._reattach(self)

    def on_hide(self, message: HideFrames) -> None:
        """A revocation is not undone by removing its text."""

    def on_sum(self, message: Sum) -> None:
        """Nobody counts gateways by who listens here."""

    def on_doubt(self, in_doubt: bool) -> None:
        self._in_doubt = in_doubt
        self._judge()

    def on_detached(self) -> None:
        self._is_attached = False
        self._judge()

    def lets_begin(self, command: PublishCommand) -> bool:
        """Whether somebody may begin to speak: not while this gateway may have missed that they were revoked.

        Whoever speaks already goes on until their token ends, or the loss of one shard would silence
        everybody.  A deletion adds nothing to a room, and a revocation is what others wait for.
        """
        if command.kind == "delete" or command.room == CONTROL_ROOM:
            return True
        return self._clock() - self.unsure_since < CONTROL_DOUBT_S

    def _judge(self) -> None:
        if self._is_attached and not self._in_doubt:
            self.unsure_since = inf
        else:
            self.unsure_since = min(self.unsure_since, self._clock())

    def _take(self, frames: Sequence[NodeFrame], chain: bytes) -> bool:
        """Take what continues the log; False, and nothing from there on, at a jump."""
        assert self._position is not None, "batches follow an attach reply"
        offset, revoked = self._position.offset, []
        is_whole = True
        for node_frame in frames:
            if node_frame.offset <= offset:
                continue
            if node_frame.offset != offset + 1:
                is_whole = False
                break
            offset = node_frame.offset
            event = decode_server_message(node_frame.frame, Form.MSGPACK)
            if not isinstance(event, Event) or event.kind != "message":
                continue
            revocation = parse_revocation(event.text)
            if revocation is not None:
                revoked.append((revocation, event.at / 1000))
        self._position = FeedPosition(self._position.epoch, offset, chain if is_whole else b"")
        if revoked:
            self._on_revoked(revoked)
        return is_whole
