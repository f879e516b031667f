"""A wire that can be cut, held and heard: what passes is whole, what is cut is reset, what was said is written down."""

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from runtime.link_frames import pack_length
from tests.chaos.chronicle import Attached, Chronicle, Sent, read_lines
from tests.chaos.taps import LinkEars, Tap
from tests.support.fleet import free_ports
from wire import node_messages as said


async def _echo(stream: trio.SocketStream) -> None:
    # A reset ends it like any other end.
    with suppress(trio.BrokenResourceError):
        async for data in stream:
            await stream.send_all(data)


async def _tapped(nursery: trio.Nursery) -> Tap:
    port, target = free_ports(2)
    await nursery.start(trio.serve_tcp, _echo, target)
    tap = Tap(port, target)
    await nursery.start(tap.run)
    return tap


async def _say(stream: trio.SocketStream, text: bytes) -> bytes:
    await stream.send_all(text)
    heard = b""
    while len(heard) < len(text):
        heard += await stream.receive_some()
    return heard


async def test_what_is_held_passes_later_and_what_is_cut_is_reset() -> None:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            tap = await _tapped(nursery)
            stream = await trio.open_tcp_stream("127.0.0.1", tap.port)
            assert await _say(stream, b"good evening") == b"good evening"
            tap.hold()
            await stream.send_all(b"late")
            with trio.move_on_after(0.05) as patience:
                await stream.receive_some()
            assert patience.cancelled_caught
            tap.release()
            assert await stream.receive_some() == b"late"
            assert tap.cut(Random(1), 1.0) == 1
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            again = await trio.open_tcp_stream("127.0.0.1", tap.port)
            assert await _say(again, b"again") == b"again"
            tap.shut()
            await trio.testing.wait_all_tasks_blocked(0.01)
            with pytest.raises(OSError):  # noqa: PT011 -- trio gives one of its own, with what each address said
                await trio.open_tcp_stream("127.0.0.1", tap.port)
            assert await _say(again, b"still") == b"still"
            tap.open()
            await trio.testing.wait_all_tasks_blocked(0.01)
            after = await trio.open_tcp_stream("127.0.0.1", tap.port)
            assert await _say(after, b"open") == b"open"
            nursery.cancel_scope.cancel()


def _packed(*messages: said.NodeMessage) -> bytes:
    encoded = [said.encode_node_message(message) for message in messages]
    return b"".join(pack_length(len(one)) + one for one in encoded)


def test_what_a_shard_says_of_its_rooms_is_written_down_wherever_the_bytes_are_cut(tmp_path: Path) -> None:
    up = _packed(said.LinkHello(2, "gateway", "gateway-1", b"n", b"p"), said.Attach("a/b", 7))
    frame = said.NodeFrame(3, 0, 0, b"frame")
    down = _packed(
        said.Attached("a/b", 7, 5, "e", 2, 0, b"12345678", False, "", []), said.Committed(1, "e", 3, 1000),
        said.Batch("a/b", 7, b"abcdefgh", [frame]),
    )  # fmt: skip
    with Chronicle(tmp_path / "lines") as file:
        ears = LinkEars("shard-1", file)
        for place in range(len(up)):
            ears.hear_up(up[place : place + 1])
        for place in range(len(down)):
            ears.hear_down(down[place : place + 1])
    attached, sent = read_lines(tmp_path / "lines")
    assert isinstance(attached, Attached)
    assert (attached.shard, attached.gateway, attached.term, attached.chain) == ("shard-1", "gateway-1", 5, b"12345678".hex())
    assert isinstance(sent, Sent)
    assert (sent.term, sent.epoch, sent.offset, sent.chain) == (5, "e", 3, b"abcdefgh".hex())
