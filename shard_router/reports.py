"""What a gateway tells one shard of the people in its rooms: how many there are, and sketches of who was seen.

A sum replaces the one before, and a sketch is merged: either may be told twice.  What does not
fit on the link is due at the next tick.  Pure.
"""

from collections.abc import Iterable
from typing import Protocol

from shard_router.attachment import Attachment, seen_due, sums_due
from wire.limits import MEMBERS_REPORT_INTERVAL_S, SEEN_REPORT_BYTES_MAX, SEEN_REPORT_INTERVAL_S, SIGNALS_PER_S_MAX
from wire.node_messages import Members, NodeMessage


class Outlet(Protocol):
    """A link, as far as a report needs one."""

    def send_nowait(self, message: NodeMessage) -> bool: ...


class Reports:
    """When one shard is told what."""

    __slots__ = ("_members_at", "_seen_at")

    def __init__(self) -> None:
        self._members_at = 0.0
        self._seen_at = 0.0

    def tick(self, link: Outlet | None, attachments: Iterable[Attachment], now: float) -> None:
        """One message with every sum that changed or has to be renewed; less often, one with what was seen."""
        if now >= self._members_at:
            self._members_at = now + 1 / SIGNALS_PER_S_MAX
            if link is not None:
                _tell_sums(link, attachments, now)
        if now >= self._seen_at:
            self._seen_at = now + SEEN_REPORT_INTERVAL_S
            if link is not None:
                _tell_seen(link, attachments)


def _tell_sums(link: Outlet, attachments: Iterable[Attachment], now: float) -> None:
    due = sums_due(attachments, now, MEMBERS_REPORT_INTERVAL_S)
    if due and link.send_nowait(Members([(attachment.room, members) for attachment, members in due])):
        for attachment, members in due:
            attachment.was_reported(members, now)


def _tell_seen(link: Outlet, attachments: Iterable[Attachment]) -> None:
    due = seen_due(attachments, SEEN_REPORT_BYTES_MAX)
    if due and not link.send_nowait(Members([], [(attachment.room, seen) for attachment, seen in due])):
        for attachment, _ in due:
            attachment.feed.tell_seen_again()
