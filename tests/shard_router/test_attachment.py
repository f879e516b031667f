"""One feed's way through waiting, asked, live and refused, as the router keeps it."""

from shard_router.attachment import Attachment, Phase
from shard_router.ports import FeedPosition
from tests.support.feed_probe import FeedProbe
from wire.node_messages import Attach


def live(members: int = 0) -> tuple[FeedProbe, Attachment]:
    feed = FeedProbe("town/square", members)
    attachment = Attachment(feed)
    attachment.asked(attachment.question(7), now=100.0)
    attachment.phase = Phase.LIVE
    return feed, attachment


def test_the_first_question_has_no_position_and_later_ones_continue_where_the_feed_is() -> None:
    feed = FeedProbe("town/square", members=3)
    attachment = Attachment(feed)
    assert attachment.question(1) == Attach("town/square", 1, "", 0, b"", 3)
    feed.at = FeedPosition("epoch-1", 12, b"chain-12")
    assert attachment.question(2) == Attach("town/square", 2, "epoch-1", 12, b"chain-12", 3)


def test_a_feed_listens_to_the_generation_it_asked_for_until_it_waits() -> None:
    _, attachment = live()
    assert (attachment.generation, attachment.listening) == (7, 7)
    attachment.wait()
    assert (attachment.generation, attachment.listening, attachment.phase) == (7, 0, Phase.WAITING)
    attachment.forgotten()
    assert (attachment.generation, attachment.listening) == (0, 0)


def test_a_refusal_for_good_outlives_the_link() -> None:
    _, attachment = live()
    attachment.phase = Phase.REFUSED
    attachment.forgotten()
    assert attachment.phase is Phase.REFUSED


def test_members_are_due_when_they_changed_or_their_report_grew_old() -> None:
    feed, attachment = live(members=2)
    assert attachment.members_due(101.9, 2.0) is None
    assert attachment.members_due(102.0, 2.0) == 2
    feed.member_count = 3
    assert attachment.members_due(100.1, 2.0) == 3


def test_a_sum_of_nobody_is_reported_once_and_never_renewed() -> None:
    feed, attachment = live(members=2)
    feed.member_count = 0
    assert attachment.members_due(100.1, 2.0) == 0
    attachment.reported = 0
    assert attachment.members_due(200.0, 2.0) is None


def test_members_are_not_reported_before_the_room_is_attached() -> None:
    feed, attachment = live()
    attachment.wait()
    feed.member_count = 9
    assert attachment.members_due(200.0, 2.0) is None
