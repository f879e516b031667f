"""A revocation said at one gateway ends connections at all of them, and holds for who comes later."""

import time
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from gateway.key_file import KeyFile
from runtime.schema import TokenSettings
from tests.support.cluster import cluster
from tests.support.tokens import ISSUER, key_set_text, token
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Ack, Hello, Ping, Revoke, ServerMessage, Welcome
from wire.codes import CloseCode


async def ask(websocket: WebSocketConnection, message: Hello | Revoke) -> ServerMessage:
    await websocket.send_message(encode(message, Form.MSGPACK))
    while True:
        data = await websocket.get_message()
        assert isinstance(data, bytes)
        answer = decode_server_message(data, Form.MSGPACK)
        if not isinstance(answer, Ping):
            return answer


async def code_at_the_end(websocket: WebSocketConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012
        while True:
            await websocket.get_message()
    assert closed.value.reason is not None
    return int(closed.value.reason.code)


async def test_who_is_revoked_at_one_gateway_is_out_at_every_gateway(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set_text("EdDSA"))
    tokens = TokenSettings(keys_file=str(path), issuer=ISSUER)
    now_s = time.time()
    ada, moderator = token("EdDSA", now_s=now_s), token("EdDSA", now_s=now_s, sub="mod", caps={"parvis/control": "moderate"})
    with trio.fail_after(30):
        async with cluster(gateways=2, tokens=tokens, key_file=KeyFile(path)) as play:
            first, second = (gateway.url for gateway in play.gateways.values())
            async with (
                open_websocket_url(first, subprotocols=[Form.MSGPACK.value]) as here,
                open_websocket_url(second, subprotocols=[Form.MSGPACK.value]) as there,
                open_websocket_url(second, subprotocols=[Form.MSGPACK.value]) as desk,
            ):
                for websocket in (here, there):
                    assert isinstance(await ask(websocket, Hello(1, token=ada)), Welcome)
                assert isinstance(await ask(desk, Hello(1, token=moderator)), Welcome)
                assert isinstance(await ask(desk, Revoke(1, "r1", author="u-ada")), Ack)
                for websocket in (here, there):
                    assert await code_at_the_end(websocket) == CloseCode.TOKEN_REVOKED
            async with open_websocket_url(first, subprotocols=[Form.MSGPACK.value]) as again:
                await again.send_message(encode(Hello(1, token=ada), Form.MSGPACK))
                assert await code_at_the_end(again) == CloseCode.TOKEN_REVOKED
            # A gateway that starts later hears of it from the shard.
            late = await play.start_gateway("gateway-late")
            async with open_websocket_url(late.url, subprotocols=[Form.MSGPACK.value]) as again:
                await again.send_message(encode(Hello(1, token=ada), Form.MSGPACK))
                assert await code_at_the_end(again) == CloseCode.TOKEN_REVOKED
