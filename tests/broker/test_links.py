"""Down-links: a gateway that does not read costs its own link's bound, and nobody else anything."""

from random import Random

import trio
import trio.testing

from broker.journal.memory import MemoryJournal
from runtime.link import open_client_link
from runtime.sockets import SocketNetwork
from tests.support.shard_driver import ROOM, message
from tests.support.shard_links import SECRET, GatewayEnd, connect, parts_of, running_shard
from wire.limits import LINK_DOWN_BYTES_MAX, LINK_DOWN_EVENTS_BYTES_MAX, ROOM_TAIL_EVENTS_MAX, TEXT_BYTES_MAX
from wire.node_messages import Attach, Attached, Batch, CommandRefused, Committed, RangeRead, Reattach

EVENTS = 1500


async def test_a_gateway_that_does_not_read_is_told_to_attach_again_and_holds_up_nobody() -> None:
    async with trio.open_nursery() as nursery, running_shard(parts_of(MemoryJournal("store"))) as server:
        fast = await connect(nursery, server, "gateway-1")
        transport = await SocketNetwork().connect(server.listener.host, server.listener.port)
        link = await open_client_link(transport, secrets=[SECRET], role="gateway", node="gateway-2", rng=Random(2))
        slow = GatewayEnd(link)
        async with trio.open_nursery() as reading:
            # It says hello and asks for the room, and reads nothing after that.
            reading.start_soon(slow.run)
            slow.say(Attach(ROOM, 1))
            position = await slow.expect(Attached)
            slow_end = next(each for each in server.links.all() if each.peer_node == "gateway-2")
            server_send, slow_end._transport.try_send = slow_end._transport.try_send, _refuse
            fast.say(Attach(ROOM, 1))
            await fast.expect(Attached)
            held = 0
            for start in range(0, EVENTS, 100):
                fast.say(*(message(number, "x" * TEXT_BYTES_MAX) for number in range(start, start + 100)))
                await fast.expect(Committed, lambda answer, last=start + 99: answer.request == last)  # type: ignore[misc]
                held = max(held, slow_end.bytes_waiting)
            assert LINK_DOWN_EVENTS_BYTES_MAX // 2 < held <= LINK_DOWN_BYTES_MAX
            got = [frame.offset for each in fast.heard if isinstance(each, Batch) for frame in each.frames]
            assert got == list(range(1, len(got) + 1))
            slow_end._transport.try_send = server_send
            await slow.expect(Reattach)
            last = [each for each in slow.heard if isinstance(each, Batch)][-1].frames[-1].offset
            assert last < EVENTS
            slow.say(Attach(ROOM, 2, epoch=position.epoch, offset=last))
            again = await slow.expect(Attached)
            assert (again.generation, again.offset) == (2, EVENTS)
            assert again.frames[-1].offset == EVENTS
            reading.cancel_scope.cancel()


def _refuse(data: bytes | memoryview) -> int:
    raise BlockingIOError


async def test_a_gateway_that_takes_not_even_answers_is_cut() -> None:
    async with trio.open_nursery() as nursery, running_shard(parts_of(MemoryJournal("store"))) as server:
        gateway = await connect(nursery, server)
        gateway.say(message(1))
        await gateway.expect(Committed)
        (end,) = server.links.all()
        end._bytes_max = 0
        gateway.say(message(2))
        await gateway.wait_ended()
        with trio.fail_after(10):
            while server.links.all():
                await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_read_that_is_not_taken_is_refused_as_busy() -> None:
    async with trio.open_nursery() as nursery, running_shard(parts_of(MemoryJournal("store"))) as server:
        gateway = await connect(nursery, server)
        gateway.say(message(0))
        await gateway.expect(Committed)
        gateway.say(*(message(number) for number in range(1, ROOM_TAIL_EVENTS_MAX + 10)))
        await gateway.expect(Committed, lambda answer: answer.request == ROOM_TAIL_EVENTS_MAX + 9)
        server.links._read = lambda effect: False
        gateway.say(RangeRead(7, ROOM, after=0))
        refused = await gateway.expect(CommandRefused)
        assert (refused.request, refused.code) == (7, "busy")
