"""Two opened ends of a link over a pair, for tests of whatever speaks through one."""

from collections.abc import Sequence
from random import Random

import trio

from runtime.link import Link, open_client_link, open_server_link
from runtime.sockets import SocketNetwork
from runtime.transport import Network, Transport

SECRET = b"a secret of this test"


async def open_over(
    near: Transport,
    far: Transport,
    *,
    secrets: Sequence[bytes] = (SECRET,),
    up_bytes_max: int = 4 * 1024 * 1024,
    down_bytes_max: int = 4 * 1024 * 1024,
    seed: int = 1,
) -> tuple[Link, Link]:
    """The gateway's end and the shard's end, opened over the two ends of a stream."""
    links: dict[str, Link] = {}

    async def serve() -> None:
        links["shard"] = await open_server_link(
            far, secrets=secrets, node="shard-1", map_version=7, rng=Random(seed), bytes_max=down_bytes_max
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        links["gateway"] = await open_client_link(
            near, secrets=secrets, role="gateway", node="gateway-1", rng=Random(seed + 1), bytes_max=up_bytes_max
        )
    return links["gateway"], links["shard"]


async def open_pair(network: Network | None = None, **bounds: int) -> tuple[Link, Link]:
    """The same over a fresh pair of `network`, the real one when None is given."""
    near, far = (network or SocketNetwork()).pair()
    return await open_over(near, far, **bounds)  # type: ignore[arg-type]  # bounds are the integer arguments only
