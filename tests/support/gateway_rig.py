"""A gateway's books with a fake router under it, and clients over fake transports."""

from collections.abc import Callable
from random import Random

from gateway.client import Client
from gateway.crowd import Crowd
from gateway.door import Door
from gateway.expiry import Expiry
from gateway.gateway import Gateway
from gateway.heartbeat import Heartbeat
from gateway.identity import Identities
from gateway.revocations import Revocations
from gateway.rules import session_rules
from gateway.session import Session
from gateway.tokens import TokenVerifier
from runtime.metrics import GatewayCounters
from runtime.schema import AdmissionSettings, GatewaySettings, RoomSettings
from shard_router.ports import FeedPort, PublishAnswer, RangeAnswer
from tests.support.gateway_fakes import FakeTransport, attached
from wire.capabilities import Capabilities, parse_capabilities
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import AnyServerMessage, ClientMessage
from wire.names import CONTROL_ROOM
from wire.node_messages import Attached, CommandRefused, PublishCommand, RangeRead

KEY = bytes(range(32))
GRACE_S = 25.0


class FakeRouter:
    """Keeps what it is asked; a test answers."""

    def __init__(self) -> None:
        self.feeds: list[FeedPort] = []
        self.control: FeedPort | None = None
        """The gateway's own ear; not among the feeds of rooms."""
        self.reattached: list[FeedPort] = []
        self.commands: list[tuple[PublishCommand, Callable[[PublishAnswer], None]]] = []
        self.questions: list[tuple[RangeRead, Callable[[RangeAnswer], None]]] = []
        self.refusal: CommandRefused | None = None
        self.attaches_at_once = True

    def open_feed(self, feed: FeedPort) -> None:
        if feed.room == CONTROL_ROOM:
            self.control = feed
            feed.on_attached(Attached(CONTROL_ROOM, 1, 1, "e1", 0, 0, b"", False, "", []))
            return
        self.feeds.append(feed)
        if self.attaches_at_once:
            feed.on_attached(attached(1, 3))

    def close_feed(self, feed: FeedPort) -> None:
        self.feeds.remove(feed)

    def reattach(self, feed: FeedPort) -> None:
        self.reattached.append(feed)

    def publish(self, command: PublishCommand, answer: Callable[[PublishAnswer], None]) -> CommandRefused | None:
        if self.refusal is None:
            self.commands.append((command, answer))
        return self.refusal

    def read_range(self, question: RangeRead, answer: Callable[[RangeAnswer], None]) -> CommandRefused | None:
        if self.refusal is None:
            self.questions.append((question, answer))
        return self.refusal


class Rig:
    """One gateway; `now` is its clock, and `wall_ahead_s` what the wall's is ahead of it.

    Guests may do what they may by default, unless told otherwise.
    """

    def __init__(
        self, *, tokens: TokenVerifier | None = None, guests_may: Capabilities | None = None,
        admission: dict[str, object] | None = None, **settings: object,
    ) -> None:  # fmt: skip
        self.now = 1000.0
        self.wall_ahead_s = 0.0
        self.settings = GatewaySettings(**settings)  # type: ignore[arg-type]
        self.router = FakeRouter()
        self.counters = GatewayCounters()
        self.flushers: list[Client] = []
        door = Door(
            Identities(KEY, Random(1)), Expiry(GRACE_S, self.now), Revocations(625.0), tokens=tokens,
            guests_may=parse_capabilities({"*": "read publish"}) if guests_may is None else guests_may,
        )  # fmt: skip
        self.gateway = Gateway(
            self.settings, router=self.router, door=door,
            crowd=Crowd(AdmissionSettings(**(admission or {})), self.settings, self.counters),  # type: ignore[arg-type]
            heartbeat=Heartbeat(self.settings.ping_interval_s, self.settings.pong_timeout_s, Random(2)),
            counters=self.counters, clock=lambda: self.now, wall_clock=lambda: self.now + self.wall_ahead_s,
            start_flusher=self.flushers.append,
        )  # fmt: skip

        self.gateway.follow_control()

    def client(self, form: Form = Form.MSGPACK, room: int = 10**9) -> "RigClient":
        transport = FakeTransport(room)
        session = Session(form, session_rules(self.settings, RoomSettings()))
        return RigClient(self, Client(transport, form, session, self.gateway), transport)


class RigClient:
    """A client of the rig: says messages, and reads what it was sent."""

    def __init__(self, rig: Rig, client: Client, transport: FakeTransport) -> None:
        self._rig = rig
        self.client = client
        self.transport = transport

    def say(self, message: ClientMessage) -> list[AnyServerMessage]:
        """Send one message; answers what came back at once."""
        self.told()
        self._rig.gateway.on_frame(self.client, encode(message, self.client.form))
        return self.told()

    def told(self) -> list[AnyServerMessage]:
        """All whole messages received since the last look."""
        data = bytes(self.transport.received)
        self.transport.received.clear()
        messages = []
        while data:
            length, start = data[1], 2
            if length == 126:
                length, start = int.from_bytes(data[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(data[2:10], "big"), 10
            if data[0] & 0x0F in (1, 2):
                messages.append(decode_server_message(data[start : start + length], self.client.form))
            data = data[start + length :]
        return messages
