import errno
from collections.abc import AsyncIterator

import h11
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.handshake import UpgradeRefusal
from gateway.upgrade import REFUSAL_GRACE_S, PeerGone, UpgradeRefused, UpgradeRules, upgrade
from runtime.sockets import SocketNetwork
from runtime.transport import Transport
from tests.support.edge_server import request
from tests.support.transport_contract import fill, recv_some, send_all
from wire.client_codec import Form

RULES = UpgradeRules(origins=("https://parvis.example",))
Pair = tuple[Transport, Transport]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """The server's end and the client's."""
    near, far = SocketNetwork().pair()
    yield near, far
    near.close()
    far.close()


async def test_a_request_that_comes_in_pieces_opens_the_websocket(pair: Pair) -> None:
    near, far = pair
    async with trio.open_nursery() as nursery:

        async def send_slowly() -> None:
            for byte in request(protocol="parvis.v1.msgpack"):
                await send_all(far, bytes([byte]))
                await trio.lowlevel.checkpoint()

        nursery.start_soon(send_slowly)
        upgraded = await upgrade(near, RULES)
    assert (upgraded.form, upgraded.leftover, upgraded.origin) == (Form.MSGPACK, b"", "")
    assert (await recv_some(far)).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("deflates", [True, False])
async def test_compression_is_agreed_on_by_the_rules(pair: Pair, deflates: bool) -> None:
    near, far = pair
    await send_all(far, request(add=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"))
    upgraded = await upgrade(near, UpgradeRules(deflates=deflates))
    assert upgraded.deflates == deflates
    assert (b"permessage-deflate" in await recv_some(far)) == deflates


async def test_frames_right_behind_the_request_are_left_over(pair: Pair) -> None:
    near, far = pair
    await send_all(far, request() + b"first frame")
    assert (await upgrade(near, RULES)).leftover == b"first frame"


async def test_a_refusal_is_an_http_answer_that_a_strict_client_reads(pair: Pair) -> None:
    near, far = pair
    await send_all(far, request(add=b"Origin: https://evil.example\r\n"))
    with pytest.raises(UpgradeRefused) as raised:
        await upgrade(near, RULES)
    assert (raised.value.status, raised.value.reason, raised.value.refusal) == (403, "origin", UpgradeRefusal.ORIGIN)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(await recv_some(far))
    response, body, end = client.next_event(), client.next_event(), client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == 403
    assert isinstance(body, h11.Data)
    assert bytes(body.data) == b"Pages of this origin may not connect here.\n"
    assert isinstance(end, h11.EndOfMessage)


async def test_a_full_server_says_so_and_when_to_come_back_only_to_good_requests(pair: Pair) -> None:
    near, far = pair
    full = UpgradeRules(busy=lambda: True)
    await send_all(far, request())
    with pytest.raises(UpgradeRefused, match="busy"):
        await upgrade(near, full)
    answer = await recv_some(far)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in answer
    await send_all(far, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(UpgradeRefused, match="not_upgrade"):
        await upgrade(near, full)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request()[:-2]])
async def test_an_end_of_stream_before_the_end_of_the_head_is_over_at_once(
    pair: Pair, sent: bytes, autojump_clock: MockClock
) -> None:
    """There a connection closed before its handshake stayed open for 60 s: 2,000 connects, 2,000 descriptors."""
    near, far = pair
    await send_all(far, sent)
    far.close()
    began = trio.current_time()
    with pytest.raises(PeerGone):
        await upgrade(near, RULES)
    assert trio.current_time() == began


async def test_a_reset_before_the_answer_is_over_at_once(pair: Pair) -> None:
    near, far = pair
    await send_all(far, request())
    # A local pair gives a reset when its other end closes over unread bytes; here the answer meets it.
    far.close()
    with pytest.raises(PeerGone):
        await upgrade(near, RULES)


async def test_a_silent_client_is_told_408_at_the_deadline(pair: Pair, autojump_clock: MockClock) -> None:
    near, far = pair
    with pytest.raises(UpgradeRefused, match="deadline"):
        await upgrade(near, RULES)
    assert trio.current_time() == pytest.approx(RULES.deadline_s)
    assert (await recv_some(far)).startswith(b"HTTP/1.1 408 ")


async def test_dripping_bytes_does_not_move_the_deadline(pair: Pair, autojump_clock: MockClock) -> None:
    near, far = pair
    async with trio.open_nursery() as nursery:

        async def drip() -> None:
            for byte in request():
                await send_all(far, bytes([byte]))
                await trio.sleep(1.0)

        nursery.start_soon(drip)
        with pytest.raises(UpgradeRefused, match="deadline"):
            await upgrade(near, RULES)
        assert trio.current_time() == pytest.approx(RULES.deadline_s)
        nursery.cancel_scope.cancel()


async def test_a_client_that_never_reads_its_refusal_is_left_after_the_grace(pair: Pair, autojump_clock: MockClock) -> None:
    near, far = pair
    await fill(near)
    await send_all(far, b"GARBAGE\r\n\r\n")
    with pytest.raises(UpgradeRefused, match="not_http"):
        await upgrade(near, RULES)
    assert trio.current_time() == pytest.approx(REFUSAL_GRACE_S)


async def test_a_client_that_never_reads_its_acceptance_is_gone_at_the_deadline(pair: Pair, autojump_clock: MockClock) -> None:
    near, far = pair
    await fill(near)
    await send_all(far, request())
    with pytest.raises(PeerGone):
        await upgrade(near, RULES)
    assert trio.current_time() == pytest.approx(RULES.deadline_s)


async def test_a_client_in_the_middle_of_too_large_a_head_still_reads_its_refusal() -> None:
    """Closed over unread bytes, the socket would answer with a reset that overtakes the refusal."""
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    stream = await trio.open_tcp_stream("127.0.0.1", listener.port)
    await listener.wait_acceptable()
    near = listener.try_accept()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            with pytest.raises(UpgradeRefused, match="too_large"):
                await upgrade(near, RULES)
            near.close()

        nursery.start_soon(serve)
        await stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000)
        await wait_all_tasks_blocked()
        assert (await stream.receive_some(65536)).startswith(b"HTTP/1.1 431 ")
        await stream.aclose()
    listener.close()


async def test_a_transport_closed_underneath_is_a_peer_gone(pair: Pair) -> None:
    near, _ = pair
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            with pytest.raises(PeerGone):
                await upgrade(near, RULES)

        nursery.start_soon(serve)
        await wait_all_tasks_blocked()
        near.close()


async def test_a_read_error_of_the_kernel_is_a_peer_gone(pair: Pair) -> None:
    near, far = pair

    def broken(_bytes_max: int) -> bytes:
        raise OSError(errno.ECONNRESET, "reset")

    near.try_recv = broken
    with pytest.raises(PeerGone, match="reset"):
        await upgrade(near, RULES)
    far.close()
