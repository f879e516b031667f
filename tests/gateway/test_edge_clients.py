"""The edge as two independent websocket clients see it: trio-websocket and `websockets`."""

import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, open_websocket
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway.upgrade import UpgradeRules
from tests.support.edge_server import EdgeUnderTest, running_edge
from wire.limits import CLIENT_FRAME_BYTES_MAX

JSON, MSGPACK = "parvis.v1.json", "parvis.v1.msgpack"


def connecting(edge: EdgeUnderTest, protocol: str = JSON, origin: str = ""):  # type: ignore[no-untyped-def]  # the library's context manager
    headers = [("Origin", origin)] if origin else None
    return open_websocket("127.0.0.1", edge.port, "/", use_ssl=False, subprotocols=[protocol], extra_headers=headers)


async def test_trio_websocket_talks_in_both_forms() -> None:
    async with running_edge() as edge:
        async with connecting(edge) as client:
            assert client.subprotocol == JSON
            await client.send_message("grüß Gott")
            assert await client.get_message() == "grüß Gott"
        async with connecting(edge, MSGPACK) as client:
            assert client.subprotocol == MSGPACK
            await client.send_message(b"\x00\xff")
            assert await client.get_message() == b"\x00\xff"
        await edge.wait_ends(2)
        assert [getattr(end, "code", None) for end in edge.ends] == [1000, 1000]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, CLIENT_FRAME_BYTES_MAX])
async def test_every_size_of_message_passes_both_ways(size: int) -> None:
    async with running_edge() as edge, connecting(edge, MSGPACK) as client:
        await client.send_message(b"x" * size)
        assert await client.get_message() == b"x" * size


async def test_a_ping_of_trio_websocket_is_answered() -> None:
    async with running_edge() as edge, connecting(edge) as client:
        with trio.fail_after(5):
            await client.ping(b"payload")


async def test_trio_websocket_is_told_why_it_is_closed() -> None:
    async with running_edge() as edge, connecting(edge, MSGPACK) as client:
        await client.send_message(b"x" * (CLIENT_FRAME_BYTES_MAX + 1))
        with pytest.raises(ConnectionClosed) as raised:
            await client.get_message()
        assert raised.value.reason is not None
        assert raised.value.reason.code == 1009
        assert raised.value.reason.reason == "message of 65537 bytes exceeds 65536"


async def test_trio_websocket_of_a_foreign_page_is_rejected_with_403() -> None:
    async with running_edge(rules=UpgradeRules(origins=("https://parvis.example",))) as edge:
        async with connecting(edge, origin="https://parvis.example") as client:
            await client.send_message("in")
            assert await client.get_message() == "in"
        with pytest.raises(BaseException) as raised:  # noqa: PT011 -- trio-websocket may wrap it in a group
            async with connecting(edge, origin="https://evil.example"):
                raise AssertionError("it was let in")
        rejected = raised.value
        while isinstance(rejected, BaseExceptionGroup):
            (rejected,) = rejected.exceptions
        assert isinstance(rejected, ConnectionRejected)
        assert rejected.status_code == 403


async def test_websockets_opens_talks_in_fragments_and_closes_cleanly() -> None:
    async with running_edge() as edge:
        stream = await trio.open_tcp_stream("127.0.0.1", edge.port)
        # With compression and a subprotocol of somebody else's on offer: neither may be agreed to.
        client = ClientProtocol(parse_uri(f"ws://127.0.0.1:{edge.port}/"), subprotocols=["other", MSGPACK])  # type: ignore[list-item]
        client.send_request(client.connect())
        await _exchange(client, stream)
        assert client.state is State.OPEN
        assert client.subprotocol == MSGPACK
        assert client.handshake_exc is None
        client.send_binary(b"one ", fin=False)
        client.send_ping(b"between")
        client.send_continuation(b"message", fin=True)
        frames = [*await _exchange(client, stream), *await _receive(client, stream)]
        assert sorted((frame.opcode, bytes(frame.data)) for frame in frames) == [
            (Opcode.BINARY, b"one message"),
            (Opcode.PONG, b"between"),
        ]
        client.send_close(1001, "leaving")
        await _exchange(client, stream)
        await _receive(client, stream)
        assert client.close_rcvd is not None
        assert client.close_rcvd.code == 1001
        assert client.state is State.CLOSED
        await stream.aclose()


_OFFERS: dict[str, tuple[ClientPerMessageDeflateFactory, bool]] = {
    "as a browser offers": (ClientPerMessageDeflateFactory(client_max_window_bits=True), True),
    "no context taken over": (ClientPerMessageDeflateFactory(True, True), True),
    "our window": (ClientPerMessageDeflateFactory(server_max_window_bits=15, client_max_window_bits=12), True),
    "a smaller window": (ClientPerMessageDeflateFactory(server_max_window_bits=12), False),
}


@pytest.mark.parametrize(("factory", "agrees"), _OFFERS.values(), ids=_OFFERS.keys())
async def test_websockets_agrees_on_compression_and_talks(factory: ClientPerMessageDeflateFactory, agrees: bool) -> None:
    async with running_edge(rules=UpgradeRules(deflates=True)) as edge:
        stream = await trio.open_tcp_stream("127.0.0.1", edge.port)
        client = ClientProtocol(parse_uri(f"ws://127.0.0.1:{edge.port}/"), subprotocols=[MSGPACK], extensions=[factory])  # type: ignore[list-item]
        client.send_request(client.connect())
        await _exchange(client, stream)
        assert client.state is State.OPEN
        assert [each.name for each in client.extensions] == ["permessage-deflate"] * agrees
        for payload in (b"x", b"the same again " * 50, b"the same again " * 50):
            client.send_binary(payload)
            assert [bytes(frame.data) for frame in await _exchange(client, stream)] == [payload]
        client.send_binary(b"in two ", fin=False)
        client.send_continuation(b"fragments", fin=True)
        assert [bytes(frame.data) for frame in await _exchange(client, stream)] == [b"in two fragments"]
        client.send_close(1000)
        await _exchange(client, stream)
        await _receive(client, stream)
        assert client.state is State.CLOSED
        await stream.aclose()
        await edge.wait_ends(1)


async def _exchange(client: ClientProtocol, stream: trio.SocketStream) -> list[Frame]:
    """Send what the protocol wants sent, then read once."""
    await stream.send_all(b"".join(client.data_to_send()))
    return await _receive(client, stream)


async def _receive(client: ClientProtocol, stream: trio.SocketStream) -> list[Frame]:
    with trio.move_on_after(0.05):
        data = await stream.receive_some(65536)
        if data:
            client.receive_data(data)
        else:
            client.receive_eof()
    return [event for event in client.events_received() if isinstance(event, Frame)]
