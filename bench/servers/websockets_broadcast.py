"""The good neighbour: the `websockets` library's `broadcast()`, made for one frame to many connections."""

import asyncio
from functools import partial

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from bench.servers.hall import Hall, binary
from wire.client_messages import SUBPROTOCOL_MSGPACK


async def _serve_one(hall: Hall[ServerConnection], ws: ServerConnection) -> None:
    try:
        await ws.send(hall.hello(ws, binary(await ws.recv())))
        while True:
            event, members, ack = hall.publish(ws, binary(await ws.recv()))
            broadcast(members, event)
            await ws.send(ack)
    except ConnectionClosed:
        return
    finally:
        hall.leave(ws)


async def main() -> None:
    hall: Hall[ServerConnection] = Hall()
    # No compression and no pings: the bench's clients offer none and need none.
    async with serve(
        partial(_serve_one, hall), "127.0.0.1", 0, subprotocols=[SUBPROTOCOL_MSGPACK],  # type: ignore[list-item]
        compression=None, ping_interval=None,
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
