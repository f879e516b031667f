"""Waiting transfers: whole, exact, and no more than asked for."""

import pytest
import trio

from runtime.sockets import SocketNetwork
from runtime.streams import recv_exactly, recv_some, send_all


async def test_a_send_larger_than_any_buffer_arrives_whole() -> None:
    near, far = SocketNetwork().pair()
    data = bytes(range(256)) * 16_384
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all, near, data)
        assert await recv_exactly(far, len(data)) == data
    near.close()
    far.close()


async def test_an_exact_read_leaves_what_follows() -> None:
    near, far = SocketNetwork().pair()
    await send_all(near, b"headbody")
    assert await recv_exactly(far, 4) == b"head"
    assert await recv_some(far, 100) == b"body"
    near.close()
    far.close()


async def test_the_end_of_the_stream_is_empty_for_some_and_an_error_for_exactly() -> None:
    near, far = SocketNetwork().pair()
    await send_all(near, b"ab")
    near.close()
    with pytest.raises(ConnectionResetError, match="pair ended the stream after 2 of 4 bytes"):
        await recv_exactly(far, 4)
    assert await recv_some(far, 4) == b""
    far.close()


async def test_closing_here_ends_a_wait() -> None:
    near, far = SocketNetwork().pair()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await recv_some(near, 1)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        near.close()
    far.close()
