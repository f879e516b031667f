"""The socket to a locust master, against a ROUTER socket such as a master has."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest
import trio
import trio.testing
import zmq

from loadtest.locust.link import WAITING_MAX, LocustLink
from loadtest.locust.words import NotLocust, Said, decode, encode

# Not .1: who dials a port of its own address on which nobody listens yet may be given that port, and meets itself.
ADDRESS = "127.0.0.2"
HELLO = Said("client_ready", -1, "here_1")
AGAIN = Said("client_ready", -1, "here_1-2")


class Router:
    """A master's end on a free port; what blocks in it is called from threads."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        with closing(socket.create_server((ADDRESS, 0))) as free:
            self.port = free.getsockname()[1]

    def open(self) -> None:
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 20_000)
        self.socket.bind(f"tcp://{ADDRESS}:{self.port}")

    async def hear(self) -> Said:
        node, data = await trio.to_thread.run_sync(self.socket.recv_multipart)
        said = decode(data)
        assert said.node.encode() == node
        return said

    def say(self, data: bytes, node: str = "here_1") -> None:
        self.socket.send_multipart([node.encode(), data])


@pytest.fixture
def absent() -> Iterator[Router]:
    """One that is not there yet."""
    router = Router()
    yield router
    router.context.destroy(0)


@pytest.fixture
def router(absent: Router) -> Router:
    absent.open()
    return absent


@asynccontextmanager
async def linked(router: Router) -> AsyncIterator[LocustLink]:
    link = LocustLink(ADDRESS, router.port, "here_1")
    try:
        with trio.fail_after(30):
            yield link
    finally:
        await link.aclose()


async def test_what_is_said_arrives_in_both_directions(router: Router) -> None:
    async with linked(router) as link:
        assert link.send_nowait(HELLO)
        assert await router.hear() == HELLO
        for n in range(100):
            router.say(encode(Said("heartbeat", n, "here_1")))
        assert [(await link.receive()).data for _ in range(100)] == list(range(100))


async def test_what_comes_while_something_is_sent_is_not_slept_over(router: Router) -> None:
    heard: list[object] = []

    async def receive(link: LocustLink) -> None:
        while len(heard) < 300:
            heard.append((await link.receive()).data)

    async with linked(router) as link, trio.open_nursery() as nursery:
        nursery.start_soon(receive, link)
        link.send_nowait(HELLO)
        await router.hear()
        for n in range(300):
            router.say(encode(Said("spawn", n, "here_1")))
            link.send_nowait(HELLO)
            if n % 10 == 0:
                await trio.lowlevel.checkpoint()
    assert heard == list(range(300))


async def test_bytes_that_are_no_message_are_an_error_of_theirs_and_the_next_one_is_read(router: Router) -> None:
    async with linked(router) as link:
        link.send_nowait(HELLO)
        await router.hear()
        router.say(b"\xc1 nonsense")
        router.say(encode(Said("ack", None, "here_1")))
        with pytest.raises(NotLocust):
            await link.receive()
        assert (await link.receive()).type == "ack"


async def test_who_receives_goes_on_over_a_new_connection(router: Router) -> None:
    async with linked(router) as link, trio.open_nursery() as nursery:
        heard: list[Said] = []

        async def receive() -> None:
            heard.append(await link.receive())

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        link.redial("here_1-2")
        link.send_nowait(AGAIN)
        assert await router.hear() == AGAIN
        router.say(encode(Said("ack", {"index": 0}, "here_1-2")), "here_1-2")
    assert heard[0].data == {"index": 0}


async def test_a_master_that_is_started_later_is_found_and_what_was_meant_for_an_old_one_is_dropped(absent: Router) -> None:
    async with linked(absent) as link:
        link.send_nowait(Said("stats", "for the old master", "here_1"))
        link.redial("here_1-2")
        link.send_nowait(AGAIN)
        absent.open()
        assert await absent.hear() == AGAIN


async def test_what_waits_for_a_master_that_is_away_is_bounded(absent: Router) -> None:
    async with linked(absent) as link:
        sent = [link.send_nowait(HELLO) for _ in range(3 * WAITING_MAX)]
        assert WAITING_MAX <= sum(sent) <= 2 * WAITING_MAX
        assert not sent[-1]


async def test_the_last_words_leave_before_the_socket_closes(router: Router) -> None:
    async with linked(router) as link:
        link.send_nowait(Said("quit", None, "here_1"))
    assert (await router.hear()).type == "quit"


def test_a_name_that_is_not_known_is_an_error_of_the_world() -> None:
    with pytest.raises(OSError):  # noqa: PT011  # the system's own words
        LocustLink("no.such.host.invalid", 5557, "here_1")
