"""One client: what it is owed leaves in order, and the first refusal of the kernel changes who writes."""

from gateway.client import OUT_OF_STEP
from gateway.feed import Feed
from tests.support.gateway_fakes import ROOM, FakeGateway, attached, batch, make_client
from wire.client_codec import Form
from wire.limits import OUTBOX_CONTROL_BYTES_MAX


def feed_with(last: int, owner: FakeGateway, room: str = ROOM) -> Feed:
    feed = Feed(room, owner, lambda: 0.0)  # type: ignore[arg-type]
    feed.on_attached(attached(1, last))
    return feed


def test_a_frame_goes_out_at_once_while_nothing_waits() -> None:
    owner = FakeGateway()
    client, transport = make_client(owner)
    client.push(b"frame")
    assert transport.received == b"frame"
    assert not client.is_blocked


def test_a_cut_frame_is_finished_before_anything_else() -> None:
    owner = FakeGateway()
    client, transport = make_client(owner, room=3)
    client.push(b"first")
    client.push(b"second")
    assert client.is_blocked
    assert owner.flushers == [client]
    assert not client.flush()
    transport.room = 100
    assert client.flush()
    assert transport.received == b"firstsecond"
    assert not client.is_blocked


def test_a_blocked_client_falls_out_of_step_in_every_room_and_comes_back_in_step() -> None:
    owner = FakeGateway()
    first, second = feed_with(3, owner), feed_with(4, owner, "town/hall")
    client, transport = make_client(owner)
    memberships = [feed.add(client, feed.boundary, 10_000) for feed in (first, second)]
    client.flush()
    assert [membership.step for membership in memberships] == [3, 4]
    transport.room = 0
    client.push(b"ping")
    assert [membership.step for membership in memberships] == [OUT_OF_STEP, OUT_OF_STEP]
    assert [membership.cursor for membership in memberships] == [3, 4]
    second.on_batch(batch(5, 6))
    second.boundary = 6
    transport.room = 10_000
    assert client.flush()
    assert [membership.step for membership in memberships] == [3, 6]
    assert bytes(transport.received) == b"ping" + second.ring.joined(Form.MSGPACK, 4, 6)


def test_more_control_frames_than_the_bound_mean_too_slow() -> None:
    owner = FakeGateway()
    client, _ = make_client(owner, room=0)
    for _ in range(OUTBOX_CONTROL_BYTES_MAX // 1000 + 2):
        client.push(bytes(1000))
    assert owner.slow == [client]


def test_a_dead_transport_is_reported_once_by_push_and_by_flush() -> None:
    owner = FakeGateway()
    client, transport = make_client(owner)
    transport.dead = True
    client.push(b"x")
    assert owner.lost == [client]
    other, other_transport = make_client(owner, room=0)
    other.push(b"y")
    other_transport.dead = True
    assert other.flush()
    assert owner.lost == [client, other]


def test_nothing_follows_a_close_frame() -> None:
    client, transport = make_client(FakeGateway())
    client.push(b"close frame")
    client.has_said_goodbye = True
    client.push(b"pong")
    assert transport.received == b"close frame"


def test_a_closing_client_is_sent_what_was_queued_and_no_events() -> None:
    owner = FakeGateway()
    feed = feed_with(3, owner)
    client, transport = make_client(owner, room=0)
    feed.add(client, 0, 10_000)
    client.push(b"close frame")
    client.closing = True
    transport.room = 10_000
    assert client.flush()
    assert transport.received == b"close frame"


def test_a_reader_whose_place_the_ring_has_forgotten_is_too_slow() -> None:
    owner = FakeGateway()
    feed = feed_with(3, owner)
    client, transport = make_client(owner, room=0)
    membership = feed.add(client, 3, 10**9)
    client.flush()
    client.push(b"x")
    feed.on_batch(batch(4, 400, "z" * 4000))
    feed.boundary = feed.ring.head
    assert not feed.ring.holds_after(3)
    assert membership.is_too_slow()
    transport.room = 10**9
    client.flush()
    assert owner.slow == [client]
