"""Whether anybody is there."""

from random import Random

import trio

from loadtest.connections.reach import why_unreachable
from runtime.sockets import SocketNetwork
from tests.support.honest_gateway import HonestGateway, Peer
from wire.client_messages import Hello
from wire.codes import CloseCode


async def test_a_gateway_that_welcomes_us_is_there(nursery: trio.Nursery) -> None:
    gateway = HonestGateway(nursery)
    hosts = [await gateway.listen(), await gateway.listen()]
    assert await why_unreachable(hosts, Random(1)) is None


async def test_nobody_at_the_address_is_told_with_the_address(nursery: trio.Nursery) -> None:
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    url = f"ws://127.0.0.1:{listener.port}"
    listener.close()
    good = await HonestGateway(nursery).listen()
    sentence = await why_unreachable([good, url], Random(1))
    assert sentence is not None
    assert sentence.startswith(f"{url} does not welcome us (")
    assert sentence.endswith("check --host, and that a gateway runs there")


async def test_somebody_who_never_answers_is_waited_for_so_long() -> None:
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    sentence = await why_unreachable([f"ws://127.0.0.1:{listener.port}"], Random(1), deadline_s=0.1)
    assert "it says nothing for 0.1 s" in str(sentence)
    listener.close()


async def test_a_server_that_refuses_everybody_is_told_with_its_code(nursery: trio.Nursery) -> None:
    gateway = HonestGateway(nursery)

    def refuse(peer: Peer, _message: object) -> bool:
        nursery.start_soon(peer.websocket.aclose, CloseCode.FORBIDDEN, "not you")
        return True

    gateway.on[Hello] = refuse
    sentence = await why_unreachable([await gateway.listen()], Random(1))
    assert "(not you, code 3507)" in str(sentence)


async def test_nobody_there_is_said_in_two_words() -> None:
    sentence = await why_unreachable(["ws://127.0.0.1:1"], Random(1))
    assert sentence == "ws://127.0.0.1:1 does not welcome us (connection refused): check --host, and that a gateway runs there"
