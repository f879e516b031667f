import pytest
import trio

from gateway import streams
from gateway.peer import PeerGone
from gateway.streams import DISCARD_BYTES_MAX, discard, read_exactly, read_some, write_all
from runtime.sockets import SocketNetwork
from tests.support.transport_contract import fill, recv_exactly


async def test_reading_waits_for_bytes() -> None:
    near, far = SocketNetwork().pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_all, far, b"hello")
        assert await read_some(near, 3) == b"hel"
        assert await read_some(near, 3) == b"lo"
    near.close()
    far.close()


async def test_the_end_of_the_stream_is_a_peer_gone() -> None:
    near, far = SocketNetwork().pair()
    far.close()
    with pytest.raises(PeerGone):
        await read_some(near, 10)
    with pytest.raises(PeerGone):
        await write_all(near, b"x")
    near.close()


async def test_a_transport_that_we_closed_is_a_peer_gone() -> None:
    near, far = SocketNetwork().pair()
    near.close()
    with pytest.raises(PeerGone):
        await read_some(near, 10)
    with pytest.raises(PeerGone):
        await write_all(near, b"x")
    far.close()


async def test_closing_under_a_waiting_reader_is_a_peer_gone() -> None:
    near, far = SocketNetwork().pair()
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(PeerGone):
                await read_some(near, 10)

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        near.close()
    far.close()


async def test_closing_under_a_waiting_writer_is_a_peer_gone() -> None:
    near, far = SocketNetwork().pair()
    await fill(near)
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(PeerGone):
                await write_all(near, b"more")

        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        near.close()
    far.close()


async def test_writing_waits_until_all_is_taken() -> None:
    near, far = SocketNetwork().pair()
    data = bytes(range(256)) * 8192
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_all, near, data)
        assert await recv_exactly(far, len(data)) == data
    near.close()
    far.close()


async def test_discarding_ends_with_the_stream() -> None:
    near, far = SocketNetwork().pair()
    await write_all(far, b"x" * 1000)
    far.close()
    await discard(near)
    near.close()


async def test_discarding_ends_when_too_much_has_come() -> None:
    near, far = SocketNetwork().pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_all, far, b"x" * (DISCARD_BYTES_MAX + streams._DISCARD_READ_BYTES))
        await discard(near)
        nursery.cancel_scope.cancel()
    near.close()
    far.close()


async def test_a_count_of_bytes_is_read_and_none_beyond_it() -> None:
    near, far = SocketNetwork().pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_all, far, b"hello")
        assert await read_exactly(near, 3) == b"hel"
        assert await read_exactly(near, 0) == b""
    far.close()
    with pytest.raises(PeerGone):
        await read_exactly(near, 3)
    near.close()
    with pytest.raises(PeerGone):
        await read_exactly(near, 1)
