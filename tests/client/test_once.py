"""client/once.py: one question, one answer, or one sentence why there is none."""

import pytest
import trio

from client.once import NUMBER, NoAnswer, ask_once
from runtime.sockets import SocketNetwork
from tests.support.cluster import cluster, free_ports
from wire.client_messages import Publish, Refused, Rename, Renamed


async def test_the_answer_is_the_questions_own() -> None:
    async with cluster() as play:
        url = play.gateways["gateway-1"].url
        assert await ask_once(url, "", Rename(NUMBER, "Ada"), client="test") == Renamed(NUMBER, "Ada")
        no = await ask_once(url, "", Publish(NUMBER, "town/square", "m1", "not joined"), client="test")
        assert isinstance(no, Refused)
        assert no.code == "not_joined"


async def test_a_closed_door_says_why() -> None:
    async with cluster() as play:
        with pytest.raises(NoAnswer, match="takes no tokens") as caught:
            await ask_once(play.gateways["gateway-1"].url, "a.b.c", Rename(NUMBER, "Ada"), client="test")
    assert caught.value.code == 3500


async def test_nobody_there_is_no_answer() -> None:
    (port,) = await free_ports(SocketNetwork(), 1)
    with pytest.raises(NoAnswer) as caught:
        await ask_once(f"ws://127.0.0.1:{port}", "", Rename(NUMBER, "Ada"), client="test")
    assert caught.value.code is None
    assert str(caught.value)


async def test_patience_ends(autojump_clock: trio.testing.MockClock) -> None:
    async def never(url: str) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError("it is cancelled first")

    with pytest.raises(NoAnswer, match="within 7 s"):
        await ask_once("ws://127.0.0.1:1", "", Rename(NUMBER, "Ada"), client="test", dial_url=never, wait_s=7)
