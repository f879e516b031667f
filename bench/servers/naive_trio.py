"""The naive neighbour: trio-websocket, a task and a bounded queue a client, `send_message` for each delivery.

How one writes a chat server from the library's example.  What a client's queue cannot
take is dropped, so that the server's memory stays bounded.
"""

from functools import partial

import trio
import trio_websocket

from bench.servers.hall import Hall, binary
from wire.client_messages import SUBPROTOCOL_MSGPACK

# A second and a half of a room at 20 messages a second.
QUEUE_FRAMES = 32
Outlet = trio.MemorySendChannel[bytes]


async def _write(ws: trio_websocket.WebSocketConnection, queue: trio.MemoryReceiveChannel[bytes]) -> None:
    try:
        async for payload in queue:
            await ws.send_message(payload)
    except trio_websocket.ConnectionClosed:
        return


async def _serve_one(hall: Hall[Outlet], request: trio_websocket.WebSocketRequest) -> None:
    """One client; its nursery holds the reader (this) and the writer."""
    ws = await request.accept(subprotocol=SUBPROTOCOL_MSGPACK)
    send, receive = trio.open_memory_channel[bytes](QUEUE_FRAMES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_write, ws, receive)
        try:
            send.send_nowait(hall.hello(send, binary(await ws.get_message())))
            while True:
                event, members, ack = hall.publish(send, binary(await ws.get_message()))
                for member in members:
                    try:
                        member.send_nowait(event)
                    except (trio.WouldBlock, trio.BrokenResourceError):
                        continue
                await send.send(ack)
        except trio_websocket.ConnectionClosed:
            hall.leave(send)
            send.close()


async def main() -> None:
    hall: Hall[Outlet] = Hall()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(trio_websocket.serve_websocket, partial(_serve_one, hall), "127.0.0.1", 0, ssl_context=None)
        )
        print(server.port, flush=True)


if __name__ == "__main__":
    trio.run(main)
