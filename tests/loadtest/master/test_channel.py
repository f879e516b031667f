"""Typed messages over a real socket pair."""

import msgspec
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from loadtest.figures.messages import Ended, Failed, Goal, Ready, Start
from loadtest.master.channel import WAITING_BYTES_MAX, to_master, to_worker
from runtime.link_frames import pack_length
from runtime.sockets import SocketNetwork
from runtime.streams import send_all
from runtime.transport import Transport
from wire.errors import PeerError
from wire.limits import LINK_FRAME_BYTES_MAX


def _pair() -> tuple[Transport, Transport]:
    return SocketNetwork().pair()


async def test_what_one_side_says_the_other_hears_in_order() -> None:
    near, far = _pair()
    master, worker = to_worker(near), to_master(far)
    said = [Start(5), Goal({"Citizen": 3}, 2.0, {}), Start(6)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.write)
        nursery.start_soon(worker.write)
        assert all(master.send_nowait(message) for message in said)  # type: ignore[arg-type]
        assert [await worker.receive() for _ in said] == said
        assert worker.send_nowait(Ready())
        assert await master.receive() == Ready()
        nursery.cancel_scope.cancel()


async def test_who_reads_nothing_is_refused_at_the_bound() -> None:
    near, _far = _pair()
    worker = to_master(near)
    large = Failed("x" * (LINK_FRAME_BYTES_MAX - 1000), 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.write)
        taken = 0
        while worker.send_nowait(large):
            taken += 1
            await trio.testing.wait_all_tasks_blocked()
        assert taken * LINK_FRAME_BYTES_MAX <= WAITING_BYTES_MAX + LINK_FRAME_BYTES_MAX
        assert not await worker.wait_sent(0)
        nursery.cancel_scope.cancel()


async def test_a_message_beyond_what_a_peer_would_take_is_not_sent() -> None:
    near, far = _pair()
    assert not to_master(near).send_nowait(Failed("x" * LINK_FRAME_BYTES_MAX, 2))
    near.close()
    far.close()


async def test_what_was_queued_is_waited_for() -> None:
    near, far = _pair()
    worker, master = to_master(near), to_worker(far)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.write)
        worker.send_nowait(Ended())
        assert await worker.wait_sent(5)
        assert await master.receive() == Ended()
        nursery.cancel_scope.cancel()


async def test_a_length_beyond_the_bound_is_refused_before_anything_is_gathered() -> None:
    near, far = _pair()
    await send_all(near, pack_length(5000))
    with pytest.raises(PeerError, match="5000 bytes exceeds 4096"):
        await to_worker(far).receive(4096)


async def test_the_end_of_the_stream_is_an_error_of_the_world() -> None:
    near, far = _pair()
    near.close()
    with pytest.raises(ConnectionResetError):
        await to_worker(far).receive()


async def test_a_closed_channel_takes_nothing() -> None:
    near, far = _pair()
    worker = to_master(near)
    worker.close()
    worker.close()
    assert not worker.send_nowait(Ready())
    with pytest.raises(ConnectionResetError):
        await to_worker(far).receive()


async def test_a_message_of_the_other_direction_is_none() -> None:
    near, far = _pair()
    payload = msgspec.msgpack.encode(Start(5))
    await send_all(near, pack_length(len(payload)) + payload)
    with pytest.raises(PeerError, match="no message"):
        await to_worker(far).receive()


@given(st.binary(max_size=200))
@example(b"\x92\xa5Ready" + b"\x91" * 100_000)
@example(b"\x93\xa6Failed\xa1\xff\x02")
def test_any_bytes_are_a_message_or_a_peer_error(payload: bytes) -> None:
    async def hear() -> None:
        near, far = _pair()
        await send_all(near, pack_length(len(payload)) + payload)
        try:
            await to_worker(far).receive()
        except PeerError:
            pass
        finally:
            near.close()
            far.close()

    trio.run(hear)
