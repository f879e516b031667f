"""Reports: sums at most four times a second, sketches in their turn, and nothing lost on a full link."""

from shard_router.attachment import Attachment, Phase
from shard_router.reports import Reports
from tests.support.feed_probe import FeedProbe
from wire.limits import SEEN_REPORT_BYTES_MAX, SEEN_REPORT_INTERVAL_S, SIGNALS_PER_S_MAX
from wire.node_messages import Members, NodeMessage

ROOM = "town/square"


class Outlet:
    def __init__(self) -> None:
        self.sent: list[NodeMessage] = []
        self.is_full = False

    def send_nowait(self, message: NodeMessage) -> bool:
        if not self.is_full:
            self.sent.append(message)
        return not self.is_full


def live(members: int = 0, seen: bytes = b"", room: str = ROOM) -> tuple[Attachment, FeedProbe]:
    probe = FeedProbe(room, members)
    probe.seen = seen
    attachment = Attachment(probe)
    attachment.settled(Phase.LIVE)
    return attachment, probe


def test_sums_are_told_as_they_change_at_most_as_often_as_a_signal() -> None:
    attachment, probe = live(3)
    reports, outlet = Reports(), Outlet()
    reports.tick(outlet, [attachment], 10.0)
    probe.member_count = 4
    reports.tick(outlet, [attachment], 10.1)
    assert outlet.sent == [Members([(ROOM, 3)])]
    reports.tick(outlet, [attachment], 10.0 + 1 / SIGNALS_PER_S_MAX)
    assert outlet.sent[1:] == [Members([(ROOM, 4)])]


def test_a_sum_that_found_no_link_or_no_room_is_due_at_the_next_tick() -> None:
    attachment, _ = live(3)
    reports, outlet = Reports(), Outlet()
    reports.tick(None, [attachment], 10.0)
    outlet.is_full = True
    reports.tick(outlet, [attachment], 11.0)
    outlet.is_full = False
    reports.tick(outlet, [attachment], 12.0)
    assert outlet.sent == [Members([(ROOM, 3)])]


def test_who_was_seen_is_told_in_its_own_time() -> None:
    attachment, probe = live(seen=b"abcd")
    reports, outlet = Reports(), Outlet()
    reports.tick(outlet, [attachment], 10.0)
    probe.seen = b"efgh"
    reports.tick(outlet, [attachment], 10.5)
    assert outlet.sent == [Members([], [(ROOM, b"abcd")])]
    reports.tick(outlet, [attachment], 10.0 + SEEN_REPORT_INTERVAL_S)
    assert outlet.sent[1:] == [Members([], [(ROOM, b"efgh")])]


def test_what_was_seen_and_did_not_fit_is_told_again() -> None:
    attachment, probe = live(seen=b"abcd")
    outlet = Outlet()
    outlet.is_full = True
    Reports().tick(outlet, [attachment], 10.0)
    assert probe.told == ["tell seen again"]


def test_a_report_of_what_was_seen_has_its_bound_and_the_rest_follows() -> None:
    big = bytes(SEEN_REPORT_BYTES_MAX)
    attachments = [live(seen=big, room=f"town/{number}")[0] for number in range(2)]
    reports, outlet = Reports(), Outlet()
    reports.tick(outlet, attachments, 10.0)
    reports.tick(outlet, attachments, 20.0)
    assert outlet.sent == [Members([], [("town/0", big)]), Members([], [("town/1", big)])]


def test_a_feed_that_is_not_attached_keeps_what_it_has() -> None:
    probe = FeedProbe(ROOM, 5)
    probe.seen = b"abcd"
    outlet = Outlet()
    Reports().tick(outlet, [Attachment(probe)], 10.0)
    assert outlet.sent == []
    assert probe.seen == b"abcd"
