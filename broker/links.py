"""The open links of one shard: carrying out what the shard wants sent, within each link's bounds.

What can be had again (batches, attach replies, pages of history, sums) may fill three
quarters of a down-link; the rest is kept for answers and for `Reattach`.  A gateway that
does not even take those is cut: its link ends, and the new one resumes by position.
"""

from collections.abc import Callable, Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from broker.effects import Effect, EpochEnded, Load, Read, Retain, Send
from broker.hosted import LinkId
from broker.shard import Shard
from runtime.link import Link
from wire.limits import LINK_DOWN_EVENTS_BYTES_MAX
from wire.node_messages import (
    MAP_NEWS_SINCE_VERSION,
    Attached,
    Batch,
    Doubt,
    HideFrames,
    MapNews,
    Range,
    Sum,
    encode_node_message,
)

# A link that was full has room again when it is down to a quarter: attaching again costs
# up to a tail (1 MiB), so it should not be asked for at the brim.
ROOM_AGAIN_BYTES: Final = LINK_DOWN_EVENTS_BYTES_MAX // 4

_CAN_BE_HAD_AGAIN: Final = (Batch, Attached, Range, Sum, HideFrames)


class Links:
    """Carries out effects: those that send or tell here, those that read or forget through the given callables."""

    def __init__(
        self,
        shard: Shard,
        *,
        load: Callable[[Load], None],
        read: Callable[[Read], bool],
        retain: Callable[[Retain], None],
        wake: Callable[[], None],
        log: FilteringBoundLogger,
    ) -> None:
        """`wake` is called when something may have to be committed."""
        self._shard = shard
        self._load = load
        self._read = read
        self._retain = retain
        self._wake = wake
        self._log = log
        self._links: dict[LinkId, Link] = {}
        self._next_id = 1

    def __len__(self) -> int:
        return len(self._links)

    def add(self, link: Link) -> LinkId:
        """Take in an opened link; ids are never used twice."""
        link_id = LinkId(self._next_id)
        self._next_id += 1
        self._links[link_id] = link
        self._shard.link_opened(link_id, link.peer_node)
        return link_id

    def remove(self, link_id: LinkId) -> None:
        """The link has ended."""
        del self._links[link_id]
        self._shard.link_closed(link_id)

    def all(self) -> list[Link]:
        return list(self._links.values())

    def tell_all(self, message: MapNews | Doubt) -> None:
        """Say something to every peer that knows the word."""
        for link in self.all():
            self.tell(link, message)

    def tell(self, link: Link, message: MapNews | Doubt) -> None:
        """Say it to one peer; a link of an older program has no such word, and goes on as that program does."""
        if link.version >= MAP_NEWS_SINCE_VERSION and not link.send_nowait(message):
            self._cut(link)

    def do(self, effects: Sequence[Effect]) -> None:
        """Carry out effects, in order.  Never waits."""
        for effect in effects:
            if isinstance(effect, Send):
                self._send(effect)
            elif isinstance(effect, Load):
                self._load(effect)
            elif isinstance(effect, Retain):
                self._retain(effect)
            elif isinstance(effect, EpochEnded):
                self._log.warning(
                    "epoch_ended", room=effect.room, epoch=effect.epoch, offset=effect.offset, reason=effect.reason
                )
            elif not self._read(effect):
                self.do(self._shard.on_read_refused(effect))
        # A drain waits until the shard is settled, and the committer is who looks.
        if self._shard.has_writes or self._shard.is_draining:
            self._wake()

    def _send(self, effect: Send) -> None:
        link = self._links.get(effect.link)
        if link is None:
            return  # it ended in this very call; its gateway asks again over the next one
        message = effect.message
        if not isinstance(message, _CAN_BE_HAD_AGAIN):
            if not link.send_nowait(message):
                self._cut(link)
            return
        payload = encode_node_message(message)
        if link.bytes_waiting + len(payload) > LINK_DOWN_EVENTS_BYTES_MAX or not link.send_encoded_nowait(payload):
            self.do(self._shard.on_undelivered(effect.link, message))

    def _cut(self, link: Link) -> None:
        if not link.is_closed:
            self._log.warning("link_cut", node=link.peer_node, bytes_waiting=link.bytes_waiting)
            link.close()

    def tick(self, now_s: float, now_ms: int) -> None:
        """What time brings: sums, loads that failed, links that have room again."""
        self.do(self._shard.tick(now_s, now_ms))
        for link_id, link in list(self._links.items()):
            if link.bytes_waiting <= ROOM_AGAIN_BYTES and self._shard.is_behind(link_id):
                self.do(self._shard.on_room_again(link_id))
