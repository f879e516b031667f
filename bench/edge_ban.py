"""How long a revocation takes until it is in force at every gateway: real processes, one shard and several gateways.

Each round a person is connected to every gateway with one token, and a moderator at the first
gateway revokes them.  What counts is the time from the moderator's frame to the last gateway's
close frame, and that the token is refused everywhere afterwards, while bystanders stay.

    python -m bench.edge_ban [--gateways 3] [--bans 20]
"""

import argparse
import statistics
import tempfile
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final

import trio
from msgspec import Struct
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from tests.support.fleet import HOST, Fleet, free_ports
from tests.support.tokens import ISSUER, key_set_text, token
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Hello, Revoke, ServerMessage, Welcome
from wire.codes import CloseCode

ROUND_DEADLINE_S: Final = 10.0
SECOND: Final = 1.0


class BanFailed(Exception):
    """Somebody was not greeted, not closed in time, or closed with another code."""


class Bans(Struct, frozen=True):
    """What was measured, in milliseconds from the moderator's frame to the last gateway's close."""

    gateways: int
    bans: int
    p50_ms: float
    max_ms: float
    let_in_again: int
    """Hellos with a revoked token that a gateway accepted; there are `gateways` tries after each ban."""
    bystanders_lost: int

    @property
    def held(self) -> bool:
        return self.max_ms < SECOND * 1000 and not (self.let_in_again or self.bystanders_lost)


def measure_bans(directory: Path, *, gateways: int = 3, bans: int = 20) -> Bans:
    """Start a cluster in `directory`, revoke `bans` people one after the other, end it.  Raises `BanFailed` or `NodeFailed`."""
    keys = directory / "keys.json"
    keys.write_bytes(key_set_text("HS256"))
    ports = iter(free_ports(2 * (1 + gateways)))
    with Fleet(directory, {
        "log.level": "warning", "tokens.keys_file": str(keys), "tokens.issuer": ISSUER,
        "gateway.publish_rate_per_s": "1000", "gateway.publish_burst": "1000",
    }) as fleet:  # fmt: skip
        shard = fleet.add("shard-1", "broker", port=next(ports), admin_port=next(ports), settings={})
        fleet.settings["cluster.shards"] = f"shard-1={HOST}:{shard.port}"
        names = [f"gateway-{number}" for number in range(1, gateways + 1)]
        for name in names:
            fleet.add(name, "gateway", port=next(ports), admin_port=next(ports), settings={})
        # The first node makes the keys that all share.
        fleet.start("shard-1")
        fleet.start(*names)
        return trio.run(_ban_all, [f"ws://{HOST}:{fleet.nodes[name].port}" for name in names], bans)


async def _ban_all(urls: list[str], bans: int) -> Bans:
    now_s = time.time()
    moderator = token(now_s=now_s, sub="moderator", caps={"parvis/control": "moderate"})
    took_s, let_in_again = [], 0
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(_open(urls[0]))
        await _come_in(desk, moderator)
        bystanders = [await stack.enter_async_context(_open(url)) for url in urls]
        for place, bystander in enumerate(bystanders):
            await _come_in(bystander, token(now_s=now_s, sub=f"bystander-{place}"))
        for number in range(bans):
            text = token(now_s=now_s, sub=f"victim-{number}")
            with trio.move_on_after(ROUND_DEADLINE_S) as round_scope:
                took_s.append(await _ban(desk, urls, number, text))
                let_in_again += sum([await _is_let_in(url, text) for url in urls])
            if round_scope.cancelled_caught:
                raise BanFailed(f"ban {number + 1} was not over after {ROUND_DEADLINE_S:g} s")
        lost = sum(bystander.closed is not None for bystander in bystanders)
    milliseconds = [1000 * seconds for seconds in took_s]
    return Bans(len(urls), bans, statistics.median(milliseconds), max(milliseconds), let_in_again, lost)


async def _ban(desk: WebSocketConnection, urls: list[str], number: int, text: str) -> float:
    """One person at every gateway is revoked; the seconds until the last connection of theirs was told."""
    async with AsyncExitStack() as stack:
        theirs = [await stack.enter_async_context(_open(url)) for url in urls]
        for websocket in theirs:
            await _come_in(websocket, text)
        began = time.perf_counter()
        told_at: list[float] = []
        async with trio.open_nursery() as nursery:
            for websocket in theirs:
                nursery.start_soon(_wait_revoked, websocket, told_at)
            await desk.send_message(encode(Revoke(number, f"ban-{number}", author=f"u-victim-{number}"), Form.MSGPACK))
        return max(told_at) - began


async def _wait_revoked(websocket: WebSocketConnection, told_at: list[float]) -> None:
    code = await _code_at_the_end(websocket)
    told_at.append(time.perf_counter())
    if code != CloseCode.TOKEN_REVOKED:
        raise BanFailed(f"closed with {code} instead of {CloseCode.TOKEN_REVOKED}")


async def _is_let_in(url: str, text: str) -> bool:
    async with _open(url) as websocket:
        try:
            return isinstance(await _answer(websocket, Hello(1, token=text)), Welcome)
        except ConnectionClosed:
            return False


async def _come_in(websocket: WebSocketConnection, text: str) -> None:
    answer = await _answer(websocket, Hello(1, token=text))
    if not isinstance(answer, Welcome):
        raise BanFailed(f"a hello was answered with {type(answer).__name__}")


async def _answer(websocket: WebSocketConnection, hello: Hello) -> ServerMessage:
    await websocket.send_message(encode(hello, Form.MSGPACK))
    data = await websocket.get_message()
    assert isinstance(data, bytes), "the msgpack form is binary"
    return decode_server_message(data, Form.MSGPACK)


async def _code_at_the_end(websocket: WebSocketConnection) -> int:
    try:
        while True:
            await websocket.get_message()
    except ConnectionClosed as closed:
        return 0 if closed.reason is None else int(closed.reason.code)


def _open(url: str) -> AbstractAsyncContextManager[WebSocketConnection]:
    return open_websocket_url(url, subprotocols=[Form.MSGPACK.value])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.edge_ban", description=__doc__)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--bans", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bans = measure_bans(Path(directory), gateways=given.gateways, bans=given.bans)
    print(
        f"{bans.bans} bans over {bans.gateways} gateways: median {bans.p50_ms:.1f} ms, at most {bans.max_ms:.1f} ms; "
        f"{bans.let_in_again} let in again, {bans.bystanders_lost} bystanders lost"
    )


if __name__ == "__main__":
    main()
