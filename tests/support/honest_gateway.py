"""A gateway of one screenful per duty: rooms in memory, over memory streams, for tests of clients.

It speaks the protocol honestly by default; a test makes it misbehave: `refuse_dials`,
`cut`, `goaway`, `lose` (an event that never leaves), or a handler of its own in `on`.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import trio
from trio.testing import memory_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from wire.client_codec import BadMessage, Form, decode_client_message, encode
from wire.client_messages import (
    Ack,
    AnyClientMessage,
    Delete,
    Edit,
    Event,
    Goaway,
    Hello,
    History,
    Join,
    Joined,
    JoinRequest,
    Leave,
    Left,
    Page,
    Ping,
    Pong,
    Publish,
    Refused,
    Rename,
    Renamed,
    ServerMessage,
    Welcome,
)
from wire.codes import Refusal
from wire.errors import PeerError


@dataclass
class HonestRoom:
    """One room's log, whole; `ids` answers retries."""

    name: str
    epoch: str = "e1"
    events: list[Event] = field(default_factory=list)
    first: int = 1
    members: list["Peer"] = field(default_factory=list)
    ids: dict[tuple[str, str], Ack] = field(default_factory=dict)

    def append(self, kind: str, by: str, text: str = "", message_id: str = "", target: int = 0) -> Event:
        event = Event(self.name, len(self.events) + 1, 1000, kind, by, by, message_id, text, target)
        self.events.append(event)
        return event


class Peer:
    """One client's connection, as the gateway has it."""

    def __init__(self, websocket: WebSocketConnection, form: Form, url: str) -> None:
        self.websocket = websocket
        self.form = form
        self.url = url
        self.author = ""
        self.name = ""
        self.heard: list[AnyClientMessage] = []
        self.hello: Hello | None = None
        self._outgoing, self.waiting = trio.open_memory_channel[bytes](10_000)

    def send(self, message: ServerMessage) -> None:
        self.send_raw(encode(message, self.form))

    def send_raw(self, payload: bytes) -> None:
        self._outgoing.send_nowait(payload)

    def end(self) -> None:
        self._outgoing.close()

    async def write(self) -> None:
        async for payload in self.waiting:
            try:
                await self.websocket.send_message(payload.decode() if self.form is Form.JSON else payload)
            except ConnectionClosed:
                return


Handler = Callable[[Peer, AnyClientMessage], bool]
"""Answers True when it has dealt with the message."""


class HonestGateway:
    """Any number of addresses, one memory.  Its tasks live in the test's nursery."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.rooms: dict[str, HonestRoom] = {}
        self.peers: list[Peer] = []
        self.dialled: list[str] = []
        self.refuse_dials = False
        self.on: dict[type, Handler] = {}
        self.lose: set[int] = set()
        """Offsets whose event is sent to nobody live."""
        self.ping_ms = 25_000
        self.server_streams: list[trio.abc.Stream] = []

    def room(self, name: str) -> HonestRoom:
        return self.rooms.setdefault(name, HonestRoom(name))

    async def dial(self, url: str) -> trio.abc.Stream:
        self.dialled.append(url)
        if self.refuse_dials:
            raise OSError("nobody listens")
        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(self.serve, ours, url)
        return theirs

    async def listen(self, url: str = "", tls: ssl.SSLContext | None = None) -> str:
        """A port of the loopback interface for clients that have sockets of their own; answers its address."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        address = f"ws://127.0.0.1:{port}" if tls is None else f"wss://localhost:{port}"

        async def take(stream: trio.SocketStream) -> None:
            secured = stream if tls is None else trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
            await self.serve(secured, url or address)

        self._nursery.start_soon(trio.serve_listeners, take, [listener])
        return address

    def say(self, room: str, text: str, by: str = "other") -> Event:
        """Somebody else speaks."""
        event = self.room(room).append("message", by, text)
        self.fan_out(event)
        return event

    def fan_out(self, event: Event) -> None:
        if event.offset not in self.lose:
            for member in self.room(event.room).members:
                member.send(event)

    async def cut(self) -> None:
        """Every connection breaks without a goodbye."""
        # Who comes back meanwhile is not cut again.
        streams, self.server_streams = self.server_streams, []
        for stream in streams:
            await trio.aclose_forcefully(stream)

    async def close_all(self, code: int, reason: str = "") -> None:
        for peer in list(self.peers):
            await peer.websocket.aclose(code, reason)

    def goaway(self, deadline_ms: int = 5000, retry_after_ms: int = 100) -> None:
        for peer in self.peers:
            peer.send(Goaway(deadline_ms, retry_after_ms))

    def ping(self) -> None:
        for peer in self.peers:
            peer.send(Ping())

    async def serve(self, stream: trio.abc.Stream, url: str) -> None:
        """One connection, until it ends."""
        self.server_streams.append(stream)
        peer: Peer | None = None
        try:
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(nursery, stream)  # type: ignore[arg-type]
                form = Form(request.proposed_subprotocols[0])
                websocket = await request.accept(subprotocol=form.value)
                peer = Peer(websocket, form, url)
                self.peers.append(peer)
                nursery.start_soon(peer.write)
                try:
                    while True:
                        data = await websocket.get_message()
                        self._take(peer, decode_client_message(data.encode() if isinstance(data, str) else data, form))
                except ConnectionClosed:
                    self._forget(peer)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed, PeerError):
            await trio.aclose_forcefully(stream)
        finally:
            if peer is not None:
                self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        if peer in self.peers:
            self.peers.remove(peer)
            for room in self.rooms.values():
                if peer in room.members:
                    room.members.remove(peer)
            peer.end()

    def _take(self, peer: Peer, message: AnyClientMessage | BadMessage) -> None:
        assert not isinstance(message, BadMessage), message
        peer.heard.append(message)
        handler = self.on.get(type(message))
        if handler is not None and handler(peer, message):
            return
        self.take_honestly(peer, message)

    def take_honestly(self, peer: Peer, message: AnyClientMessage) -> None:
        match message:
            case Hello():
                self._welcome(peer, message)
            case Join():
                reply, missed = self.enter(peer, message.n, JoinRequest(message.room, message.since, message.limit))
                peer.send(reply)
                for event in missed:
                    peer.send(event)
            case Leave():
                self.room(message.room).members.remove(peer)
                peer.send(Left(message.n, message.room))
            case Publish() | Edit() | Delete():
                self._publish(peer, message)
            case Rename():
                peer.name = message.name
                peer.send(Renamed(message.n, message.name))
            case History():
                self._history(peer, message)
            case Pong():
                pass

    def _welcome(self, peer: Peer, hello: Hello) -> None:
        peer.hello = hello
        peer.author = hello.guest.removeprefix("guest-of-") or f"author{len(self.dialled)}"
        peer.name = hello.name
        replies = [self.enter(peer, 0, request) for request in hello.joins]
        session = hello.session or f"session{len(self.dialled)}"
        joins: list[Joined | Refused] = [reply for reply, _ in replies]
        peer.send(Welcome(1, peer.url, session, f"guest-of-{peer.author}", peer.author, peer.name, self.ping_ms, joins))
        for _, missed in replies:
            for event in missed:
                peer.send(event)

    def enter(self, peer: Peer, n: int, request: JoinRequest) -> tuple[Joined, list[Event]]:
        room = self.room(request.room)
        room.members.append(peer)
        head, since = len(room.events), request.since
        recovered = since is not None and since.epoch == room.epoch and room.first - 1 <= since.offset <= head
        start = since.offset if since is not None and recovered else max(room.first - 1, head - request.limit)
        reason = "" if since is None or recovered else "epoch" if since.epoch != room.epoch else "trimmed"
        joined = Joined(n, room.name, room.epoch, head, start, "", since is not None, recovered, reason, len(room.members))
        return joined, room.events[start:]

    def _publish(self, peer: Peer, message: Publish | Edit | Delete) -> None:
        room = self.room(message.room)
        known = room.ids.get((peer.author, message.id))
        if known is not None:
            peer.send(Ack(message.n, room.name, message.id, known.epoch, known.offset, known.at, True))
            return
        if peer not in room.members:
            kind = Refusal.NOT_JOINED.kind
            peer.send(Refused(message.n, kind.code, kind.sentence, room=room.name, id=message.id))
            return
        kind_name = str(message.__struct_config__.tag).replace("publish", "message")
        text = "" if isinstance(message, Delete) else message.text
        target = 0 if isinstance(message, Publish) else message.target
        event = room.append(kind_name, peer.author, text, message.id, target)
        ack = room.ids[peer.author, message.id] = Ack(message.n, room.name, message.id, room.epoch, event.offset, event.at)
        peer.send(ack)
        self.fan_out(event)

    def _history(self, peer: Peer, message: History) -> None:
        room = self.room(message.room)
        after = message.after if message.after is not None else max(0, len(room.events) - message.limit)
        events = room.events[after : after + message.limit]
        raw = [msgspec.Raw(encode(event, peer.form)) for event in events]
        peer.send(Page(message.n, room.name, room.epoch, len(room.events), raw, after + len(events) < len(room.events)))
