"""A gateway that says what a test tells it to, for the page's script: JSON messages over trio-websocket."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from api.server import run_api
from runtime.http_server import listen

Message = dict[str, Any]


class FakeConnection:
    """One websocket of the page."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self._websocket = websocket
        self._send, self._heard = trio.open_memory_channel[Message](1000)
        self.closed = trio.Event()

    async def run(self) -> None:
        try:
            while True:
                await self._send.send(json.loads(await self._websocket.get_message()))
        except ConnectionClosed:
            self.closed.set()

    async def hear(self, kind: str) -> Message:
        """The next message of one kind; others are passed over."""
        with trio.fail_after(30):
            while (message := await self._heard.receive())["t"] != kind:
                continue
        return message

    async def tell(self, tag: str, /, **fields: object) -> None:
        await self._websocket.send_message(json.dumps({"t": tag, **fields}))

    async def close(self, code: int, reason: str = "") -> None:
        await self._websocket.aclose(code, reason)

    async def welcome(self, *, epoch: str = "e1", offset: int = 0, since: int | None = None, **joined: object) -> Message:
        """Hear the hello and let the page in; the hello."""
        hello = await self.hear("hello")
        reply: Message = {"t": "joined", "n": 0, "room": hello["joins"][0]["room"], "epoch": epoch, "offset": offset}
        reply |= {"since": offset if since is None else since} | joined
        who = {"session": "s", "guest": "g", "author": "me", "name": hello["name"]}
        await self.tell("welcome", v=1, server="fake", ping_ms=25_000, joins=[reply], **who)
        return hello

    async def event(self, offset: int, text: str, *, by: str = "other", message_id: str = "x", kind: str = "message") -> None:
        fields: Message = {"offset": offset, "at": 1_700_000_000_000 + offset, "kind": kind, "by": by, "name": by}
        await self.tell("event", room="square/main", id=message_id, text=text, **fields)


class FakeGateway:
    """Where the page is, and the websockets that it opened, in order."""

    def __init__(self, page_url: str, opened: trio.MemoryReceiveChannel[FakeConnection]) -> None:
        self.page_url = page_url
        self._opened = opened

    async def connection(self) -> FakeConnection:
        """The next websocket that the page opens."""
        with trio.fail_after(40):
            return await self._opened.receive()


@asynccontextmanager
async def fake_gateway() -> AsyncIterator[FakeGateway]:
    """The real page, with a gateway that is none."""
    opening, opened = trio.open_memory_channel[FakeConnection](100)

    async def serve(request: WebSocketRequest) -> None:
        connection = FakeConnection(await request.accept(subprotocol="parvis.v1.json"))
        await opening.send(connection)
        await connection.run()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, serve, "127.0.0.1", 0, ssl_context=None))
        sock = listen("127.0.0.1", 0)
        page_url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        nursery.start_soon(partial(run_api, sock, [server.port], wait_drain=trio.sleep_forever))
        yield FakeGateway(page_url, opened)
        nursery.cancel_scope.cancel()
