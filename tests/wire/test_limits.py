"""Where one bound leans on another, the relation holds."""

import pytest

from wire import limits
from wire.client_codec import Form, encode
from wire.client_messages import Event, Hello, JoinRequest, Position, Publish


def all_limits() -> dict[str, float]:
    return {name: value for name, value in vars(limits).items() if name.isupper()}


@pytest.mark.parametrize("name", all_limits())
def test_every_bound_is_a_positive_finite_number_with_its_unit_in_the_name(name: str) -> None:
    value = all_limits()[name]
    assert isinstance(value, int | float)
    assert 0 < value < 2**53
    units = ("_MAX", "_MIN", "_S", "_BYTES", "_BURST", "_PER_S", "_DEFAULT", "_COUNT", "_EVENTS", "_FACTOR")
    assert name.endswith(units), f"{name} does not say what it counts"


def test_a_room_name_is_a_namespace_a_slash_and_a_name() -> None:
    assert limits.ROOM_NAME_CHARS_MAX == limits.ROOM_NAMESPACE_CHARS_MAX + 1 + limits.ROOM_LOCAL_CHARS_MAX


def test_the_largest_honest_requests_fit_a_client_frame() -> None:
    room = "a" * limits.ROOM_NAMESPACE_CHARS_MAX + "/" + "b" * limits.ROOM_LOCAL_CHARS_MAX
    position = Position("e" * limits.EPOCH_CHARS_MAX, 2**53 - 1, "0" * 16)
    joins = [JoinRequest(room, position, limits.HISTORY_EVENTS_MAX)] * limits.JOINS_PER_HELLO_MAX
    token, connection = "t" * limits.TOKEN_CHARS_MAX, "t" * limits.CONNECTION_TOKEN_CHARS_MAX
    hello = Hello(1, "c" * limits.CLIENT_NAME_CHARS_MAX, token, token, "n" * limits.NICKNAME_BYTES_MAX, joins, connection)
    publish = Publish(2**31 - 1, room, "i" * limits.MESSAGE_ID_CHARS_MAX, '"' * limits.TEXT_BYTES_MAX)
    for form in Form:
        assert len(encode(hello, form)) <= limits.CLIENT_FRAME_BYTES_MAX
        assert len(encode(publish, form)) <= limits.CLIENT_FRAME_BYTES_MAX


def test_the_largest_event_fits_wherever_events_travel() -> None:
    event = Event(
        "r" * limits.ROOM_NAME_CHARS_MAX, 2**53 - 1, 2**53 - 1, "message", "a" * limits.AUTHOR_ID_CHARS_MAX,
        "n" * limits.NICKNAME_BYTES_MAX, "i" * limits.MESSAGE_ID_CHARS_MAX, "x" * limits.TEXT_BYTES_MAX,
    )  # fmt: skip
    size = len(encode(event, Form.MSGPACK))
    for bound in (
        limits.PASS_BUFFER_BYTES_MAX, limits.OUTBOX_BEHIND_BYTES_MAX, limits.FEED_RING_BYTES_MAX, limits.ROOM_TAIL_BYTES_MAX,
        limits.HISTORY_BYTES_MAX, limits.COMMIT_ROOM_BYTES_MAX, limits.LINK_DOWN_EVENTS_BYTES_MAX,
        limits.SERVER_MESSAGE_BYTES_MAX,
    ):  # fmt: skip
        assert size * 2 <= bound, "more than one of the largest events fits"


def test_texts_of_emoji_families_fit_the_bytes() -> None:
    # Four bytes an emoji; three for each joiner.
    assert limits.TEXT_GRAPHEMES_MAX * 4 * 4 <= limits.TEXT_BYTES_MAX
    assert limits.NICKNAME_GRAPHEMES_MAX * 4 <= limits.NICKNAME_BYTES_MAX


def test_a_client_that_is_gone_is_found_within_a_minute() -> None:
    assert limits.PONG_TIMEOUT_S < limits.PING_INTERVAL_S
    assert limits.PING_INTERVAL_S + limits.PONG_TIMEOUT_S + limits.CLOSE_GRACE_S <= 60
    assert limits.PING_INTERVAL_S + limits.CLIENT_PING_SLACK_S <= 60


def test_answers_come_in_the_order_of_who_knows_best() -> None:
    """The shard's commit gives up first, then the gateway's wait for it, then the client's own."""
    assert limits.COMMIT_DEADLINE_S < limits.PUBLISH_WAIT_S < limits.CLIENT_REQUEST_WAIT_S


def test_ids_outlive_every_retry() -> None:
    assert limits.MESSAGE_ID_WINDOW_S >= 5 * (limits.CLIENT_REQUEST_WAIT_S + limits.RECONNECT_CAP_S)


def test_a_client_can_enter_all_its_rooms_at_once() -> None:
    assert limits.JOINS_PER_HELLO_MAX == limits.ROOMS_PER_CLIENT_MAX <= limits.JOIN_BURST


def test_a_resume_is_answered_from_what_the_shard_gave() -> None:
    assert limits.FEED_RING_EVENTS_MAX >= limits.ROOM_TAIL_EVENTS_MAX
    assert limits.FEED_RING_BYTES_MAX >= limits.ROOM_TAIL_BYTES_MAX
    assert limits.JOIN_HISTORY_EVENTS_DEFAULT <= limits.HISTORY_EVENTS_MAX <= limits.FEED_RING_EVENTS_MAX


def test_a_page_of_history_fits_a_link_frame_and_a_clients_message() -> None:
    assert limits.HISTORY_BYTES_MAX < limits.LINK_FRAME_BYTES_MAX
    # JSON writes at most two bytes for one of ours: line breaks, quotes and backslashes.
    assert 2 * limits.HISTORY_BYTES_MAX + limits.HISTORY_EVENTS_MAX * 200 <= limits.SERVER_MESSAGE_BYTES_MAX


def test_an_attach_reply_fits_a_link_frame_and_its_share_of_the_down_link() -> None:
    assert limits.ROOM_TAIL_BYTES_MAX < limits.LINK_DOWN_EVENTS_BYTES_MAX < limits.LINK_DOWN_BYTES_MAX
    assert limits.LINK_DOWN_BYTES_MAX <= limits.LINK_FRAME_BYTES_MAX


def test_one_room_cannot_fill_a_group_commit() -> None:
    assert limits.COMMIT_ROOM_BYTES_MAX * 2 <= limits.COMMIT_BYTES_MAX


def test_a_link_is_given_up_only_after_several_missed_beats() -> None:
    assert limits.LINK_PING_INTERVAL_S * 3 <= limits.LINK_DEAD_AFTER_S
    assert limits.LINK_RETRY_BASE_S < limits.LINK_RETRY_CAP_S < limits.PUBLISH_WAIT_S


def test_reconnecting_has_room_for_jitter() -> None:
    assert limits.RECONNECT_BASE_S * 2 <= limits.RECONNECT_CAP_S
    assert limits.RECONNECT_UNOPENED_MIN_S < limits.RECONNECT_UNOPENED_MAX_S <= limits.RECONNECT_CAP_S


def test_the_client_has_room_for_what_it_may_ask() -> None:
    needed = limits.PUBLISHES_IN_FLIGHT_PER_CLIENT_MAX + limits.ROOMS_PER_CLIENT_MAX
    assert needed <= limits.CLIENT_REQUESTS_MAX <= limits.CLIENT_OUTGOING_MESSAGES_MAX
    assert limits.CLIENT_UPDATES_WAITING_MAX >= limits.FEED_RING_EVENTS_MAX


def test_a_close_reason_fits_a_control_frame_with_its_code() -> None:
    assert limits.CLOSE_REASON_BYTES_MAX + 2 == 125


def test_a_walk_over_all_rooms_by_age_ends_before_the_next() -> None:
    rooms_per_s = limits.SIGNALS_PER_S_MAX * limits.AGE_RETENTIONS_PER_TICK_MAX
    assert limits.ROOMS_LOADED_MAX / rooms_per_s < limits.AGE_RETENTION_INTERVAL_S


def test_a_lease_outlives_lost_renewals_and_a_stall_that_goes_unnoticed() -> None:
    assert limits.LEASE_S >= 3 * limits.LEASE_RENEWAL_S
    assert limits.MAP_POLL_S < limits.LEASE_RENEWAL_S
    assert limits.DIRECTORY_RETRY_BASE_S <= limits.MAP_POLL_S
    # A hint that is looked into must come out before the lease would.
    assert limits.PROBE_DEADLINE_S < limits.LEASE_S - limits.MAP_POLL_S
    assert limits.MEMBER_FORGOTTEN_S > 100 * limits.LEASE_S


def test_in_a_small_room_one_person_more_is_worth_the_shorter_wait() -> None:
    assert limits.COUNT_SHARE_MIN * limits.COUNT_SMALL_ROOM_MEMBERS_MAX <= 1
    assert 1 / limits.SIGNALS_PER_S_MAX <= limits.COUNT_WAIT_MIN_S <= limits.COUNT_WAIT_MAX_S


def test_a_report_of_who_was_seen_fits_a_link_frame_and_an_age_a_byte() -> None:
    assert limits.SKETCH_MINUTES_MAX < 256
    # The bound is looked at between rooms: one whole sketch may follow, four bytes an entry, at its worst one for each minute.
    assert limits.SEEN_REPORT_BYTES_MAX + 4 * 2048 * (limits.SKETCH_MINUTES_MAX + 1) <= limits.LINK_UP_BYTES_MAX // 2
