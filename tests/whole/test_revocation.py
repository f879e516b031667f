"""A revocation said at one gateway ends connections at all of them, and holds for who comes later."""

import time
from pathlib import Path

import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from gateway.key_file import KeyFile
from runtime.schema import TokenSettings
from tests.support.cluster import cluster
from tests.support.people import person
from tests.support.tokens import ISSUER, key_set_text, token
from tests.support.websocket_end import closed_with
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Ack, Hello, Ping, Refused, Revoke, ServerMessage, Welcome
from wire.codes import CloseCode
from wire.names import CONTROL_ROOM


async def ask(websocket: WebSocketConnection, message: Hello | Revoke) -> ServerMessage:
    await websocket.send_message(encode(message, Form.MSGPACK))
    while True:
        data = await websocket.get_message()
        assert isinstance(data, bytes)
        answer = decode_server_message(data, Form.MSGPACK)
        if not isinstance(answer, Ping):
            return answer


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
                    assert await closed_with(websocket) == CloseCode.TOKEN_REVOKED
            async with open_websocket_url(first, subprotocols=[Form.MSGPACK.value]) as again:
                await again.send_message(encode(Hello(1, token=ada), Form.MSGPACK))
                assert await closed_with(again) == CloseCode.TOKEN_REVOKED
            # A gateway that starts later hears of it from the shard.
            late = await play.start_gateway("gateway-late")
            async with open_websocket_url(late.url, subprotocols=[Form.MSGPACK.value]) as again:
                await again.send_message(encode(Hello(1, token=ada), Form.MSGPACK))
                assert await closed_with(again) == CloseCode.TOKEN_REVOKED


async def test_a_gateway_cut_from_the_control_room_lets_nobody_begin_to_speak_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.control.CONTROL_DOUBT_S", 0.2)
    with trio.fail_after(30):
        async with cluster(shards=2) as play:
            control = play.owner_of(CONTROL_ROOM)
            room = next(name for name in (f"town/room-{number}" for number in range(99)) if play.owner_of(name) != control)
            urls = [play.gateways["gateway-1"].url]
            async with person("Ada", urls, room=room) as ada:
                assert isinstance(await ada.say("before", "before"), Ack)
                await play.shards[control].kill()
                async with person("Eve", urls, room=room) as eve:
                    await eve.wait_for_text("before")
                    # Each of them is somebody new until a line of theirs is committed.
                    newcomers = 0
                    while True:
                        newcomers += 1
                        async with person(f"new-{newcomers}", urls, room=room) as new:
                            answer = await new.client.publish(room, "a line", f"new-{newcomers}")
                            if isinstance(answer, Refused) and answer.code == "cut_off":
                                break
                    assert isinstance(await ada.say("meanwhile", "meanwhile"), Ack)
                    await eve.wait_for_text("meanwhile")
                    refusal = await eve.client.publish(room, "a line", "eve-1")
                    assert isinstance(refusal, Refused)
                    assert (refusal.code, refusal.temporary) == ("cut_off", True)
                    await play.start_shard(control)
                    assert isinstance(await eve.say("after", "after"), Ack)
