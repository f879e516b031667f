"""A gateway at work: the tasks around its books, and the life of one connection.

`run_gateway` owns every task: the accept loop, one task per connection, one flusher per
client that is behind, the pass scheduler, the clock.  It returns when the gateway has
drained.  The boundary of one connection is in gateway/accept.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import trio
from structlog.typing import FilteringBoundLogger

from gateway.accept import accept_forever, accept_waiting
from gateway.admission import Admission
from gateway.client import Client
from gateway.crowd import Caller, Crowd
from gateway.door import Door
from gateway.drain import pace_of, reconnect_slots
from gateway.entrance import Entrance
from gateway.expiry import Expiry
from gateway.gateway import Gateway
from gateway.heartbeat import Heartbeat
from gateway.identity import Identities
from gateway.key_file import KeyFile
from gateway.peer import PeerClosed, PeerGone
from gateway.proxies import Proxies
from gateway.revocations import Revocations
from gateway.ring import framed
from gateway.rules import session_rules
from gateway.session import Session, refused
from gateway.tls_door import TlsDoor, TlsRefused
from gateway.tokens import TokenRules, TokenVerifier
from gateway.upgrade import Upgraded, UpgradeRefused, UpgradeRules
from gateway.websocket import WebSocketReader
from runtime.certificates import pair_of
from runtime.lifecycle import Lifecycle
from runtime.metrics import GatewayCounters
from runtime.schema import AdmissionSettings, GatewaySettings, RoomSettings, TokenSettings
from runtime.transport import Listener, Network, Transport
from shard_router.ports import Router
from wire.capabilities import parse_capabilities
from wire.client_codec import Form
from wire.client_messages import Goaway
from wire.codes import CloseCode, Refusal
from wire.errors import PeerError
from wire.limits import CLOSE_GRACE_S

TICK_S = 0.25
_PINGS_PER_CHECKPOINT = 64
_NO_GOODBYE = "1006"
"""How RFC 6455 names a connection that ended without a close frame."""


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What a gateway is given; nothing in it is global."""

    settings: GatewaySettings
    rooms: RoomSettings
    network: Network
    router: Router
    guest_key: bytes
    rng: Random
    log: FilteringBoundLogger
    counters: GatewayCounters
    lifecycle: Lifecycle
    accepts_elsewhere_per_s: Callable[[], float | None] = lambda: None
    """What this one may send to the gateways that stay, as the directory knows it; None when nobody knows."""
    tokens: TokenSettings = field(default_factory=TokenSettings)
    key_file: KeyFile | None = None
    """The keys of connection tokens; None where no token is taken."""
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    listener: Listener | None = None
    """A listener that is there already, in place of one on the settings' address."""


async def run_gateway(parts: GatewayParts, *, task_status: trio.TaskStatus[Listener] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve until the lifecycle drains; then send everyone elsewhere, and return.

    Reports its listener when clients can connect.  Raises `OSError` when the address cannot
    be bound, `CertificateError` when its certificate cannot be used.  Who comes between the drain's
    beginning (`/readyz` says no from there on) and the end of `drain_notice_s` is taken in like
    anyone: a balancer may not have looked yet.
    """
    settings = parts.settings
    tls = _tls_door(parts)
    listener = parts.listener
    if listener is None:
        listener = await parts.network.listen(settings.host, settings.port, send_buffer_bytes=settings.send_buffer_bytes)
    async with trio.open_nursery() as nursery:
        if tls is not None:
            listener = tls.guard(listener)
            nursery.start_soon(tls.keep_current, parts.lifecycle)
        server = GatewayServer(parts, nursery, tls)
        server.gateway.follow_control()
        nursery.start_soon(server.gateway.passes.run)
        nursery.start_soon(server.keep_time)
        if parts.key_file is not None:
            nursery.start_soon(parts.key_file.watch, parts.log)
        async with trio.open_nursery() as accepting:
            accepting.start_soon(server.accept, listener)
            task_status.started(listener)
            await parts.lifecycle.wait_drain()
            await trio.sleep(settings.drain_notice_s)
            accepting.cancel_scope.cancel()
        server.accept_last(listener)
        await server.drain()
        nursery.cancel_scope.cancel()


def _tls_door(parts: GatewayParts) -> TlsDoor | None:
    """The gateway's own TLS, where the settings name a certificate."""
    files = pair_of(parts.settings)
    if files is None:
        return None
    return TlsDoor(files, counters=parts.counters, log=parts.log, wall_clock=parts.lifecycle.wall_clock)


class GatewayServer:
    """The I/O side of one gateway."""

    def __init__(self, parts: GatewayParts, connection_nursery: trio.Nursery, tls: TlsDoor | None = None) -> None:
        settings = parts.settings
        self._parts = parts
        self._nursery = connection_nursery
        self._rules = session_rules(settings, parts.rooms)
        self._admission = Admission(
            connections_max=settings.connections_max,
            connections_soft_max=settings.connections_soft_max,
            handshakes_pending_max=settings.handshakes_pending_max,
        )
        parts.counters.connections = lambda: self._admission.websockets_open
        parts.counters.handshakes_pending = lambda: self._admission.handshakes_pending
        self._crowd = Crowd(parts.admission, settings, parts.counters)
        upgrade_rules = UpgradeRules(
            origins=tuple(settings.origins), deadline_s=settings.handshake_deadline_s,
            busy=lambda: self._admission.is_full, deflates=settings.deflate,
        )  # fmt: skip
        self._entrance = Entrance(upgrade_rules, Proxies.of(parts.admission), self._crowd, tls)
        self.gateway = Gateway(
            settings,
            router=parts.router,
            door=_door(parts),
            crowd=self._crowd,
            heartbeat=Heartbeat(settings.ping_interval_s, settings.pong_timeout_s, parts.rng),
            counters=parts.counters,
            clock=trio.current_time,
            wall_clock=parts.lifecycle.wall_clock,
            start_flusher=lambda client: connection_nursery.start_soon(self._flush, client),
        )

    async def accept(self, listener: Listener) -> None:
        await accept_forever(
            listener, self._serve, self._nursery,
            admission=self._admission, log=self._parts.log, counters=self._parts.counters, rng=self._parts.rng,
        )  # fmt: skip

    def accept_last(self, listener: Listener) -> None:
        """Take in who is waiting already, and close the door."""
        accept_waiting(
            listener, self._serve, self._nursery,
            admission=self._admission, log=self._parts.log, counters=self._parts.counters,
        )  # fmt: skip
        listener.close()

    # --- one connection --------------------------------------------------------------------

    async def _serve(self, transport: Transport) -> None:
        """From the first byte to the last.  Ends with the transport closed, whatever happened."""
        accepted_at = trio.current_time()
        caller = Caller()
        try:
            upgraded = await self._let_in(transport, caller)
            if upgraded is None:
                return
            session = Session(upgraded.form, self._rules)
            client = Client(
                transport, upgraded.form, session, self.gateway, accepted_at, deflates=upgraded.deflates, prefix=caller.prefix
            )
            reader = WebSocketReader(
                transport, upgraded.form, upgraded.leftover,
                frame_bytes_max=self._parts.settings.frame_bytes_max, push=client.push, deflates=upgraded.deflates,
            )  # fmt: skip
            try:
                await self._converse(client, reader)
            finally:
                self.gateway.ended(client)
        finally:
            self._crowd.left(caller)

    async def _let_in(self, transport: Transport, caller: Caller) -> Upgraded | None:
        """The handshake, counted however it ends; None for one that did not open."""
        counters = self._parts.counters
        try:
            upgraded = await self._entrance.enter(transport, caller)
        except TlsRefused:
            return None
        except UpgradeRefused as refusal:
            counters.handshake_refusals[refusal.reason] += 1
            return None
        except PeerGone:
            counters.handshake_refusals["peer_gone"] += 1
            return None
        finally:
            self._admission.handshake_over()
        counters.opened += 1
        counters.deflating_opened += upgraded.deflates
        return upgraded

    async def _converse(self, client: Client, reader: WebSocketReader) -> None:
        """Read until one side ends it; a broken protocol is told once."""
        try:
            if self._admission.is_busy:
                self._turn_away(client)
            else:
                await self._read(client, reader)
        except PeerError as error:
            self._parts.counters.protocol_errors[str(int(error.code))] += 1
            self.gateway.close(client, error.code, error.message)
        except PeerClosed as closed:
            self._parts.counters.closed[str(closed.code)] += 1
            self.gateway.forget(client)
            return
        except PeerGone:
            self._parts.counters.closed[_NO_GOODBYE] += 1
            self.gateway.forget(client)
            return
        # Unread bytes would turn the close into a reset, and the close frame would be lost with it.
        await reader.wait_closed()

    async def _read(self, client: Client, reader: WebSocketReader) -> None:
        with trio.move_on_after(self._parts.settings.handshake_deadline_s):
            self.gateway.on_frame(client, await reader.receive())
        if not client.session.greeted:
            raise PeerError(CloseCode.NO_HELLO, f"no hello within {self._parts.settings.handshake_deadline_s:g} s")
        on_frame, receive = self.gateway.on_frame, reader.receive
        while not client.closing:
            on_frame(client, await receive())

    def _turn_away(self, client: Client) -> None:
        """Beyond the soft budget: a browser's script cannot read a 503, but it can read a frame."""
        retry_after_ms = self._parts.rng.randrange(1000, 10_000)
        client.push(framed(refused(Refusal.BUSY, retry_after_ms=retry_after_ms), client.form))
        self.gateway.close(client, CloseCode.BUSY, "the server takes no more connections now")

    async def _flush(self, client: Client) -> None:
        """The one writer of a client that is behind, until nothing waits any more."""
        try:
            while client.is_blocked:
                await client.transport.wait_writable()
                if client.flush():
                    return
        except trio.ClosedResourceError:
            return

    # --- time and leaving ----------------------------------------------------------------------

    async def keep_time(self) -> None:
        """The gateway's clock: four ticks a second, feeds and heartbeats once a second."""
        ticks = 0
        while True:
            await trio.sleep(TICK_S)
            ticks += 1
            self.gateway.tick()
            while self.gateway.evict_some():
                await trio.lowlevel.checkpoint()
            if ticks % 4 == 0:
                self.gateway.tick_feeds()
                for place, (client, ping) in enumerate(self.gateway.tick_heartbeat()):
                    if not client.is_blocked and not client.closing:
                        client.push(ping)
                    if place % _PINGS_PER_CHECKPOINT == 0:
                        await trio.lowlevel.checkpoint()

    async def drain(self) -> None:
        """Tell everyone where and when to go, wait until they have gone, close who stayed."""
        gateway, settings = self.gateway, self._parts.settings
        deadline_s = settings.drain_deadline_s
        gateway.start_drain(deadline_s)
        clients = list(gateway.clients)
        pace = pace_of(len(clients), deadline_s, self._parts.accepts_elsewhere_per_s(), settings.accepts_per_s)
        self._parts.log.info(
            "clients_sent_away", clients=len(clients), accepts_per_s=round(pace.accepts_per_s, 1), pace=pace.reason
        )
        deadline_ms = int(deadline_s * 1000)
        for retry_after_ms, group in reconnect_slots(clients, pace.accepts_per_s):
            frames = {form: framed(Goaway(deadline_ms, retry_after_ms), form) for form in Form}
            for client in group:
                if not client.closing:
                    client.push(frames[client.form])
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(deadline_s):
            await self._wait_until(lambda: self._admission.connections_open == 0)
        for client in list(gateway.clients):
            gateway.close(client, CloseCode.DRAIN, "this server is leaving; reconnect anywhere")
        with trio.move_on_after(CLOSE_GRACE_S):
            await self._wait_until(lambda: self._admission.connections_open == 0)

    async def _wait_until(self, is_over: Callable[[], bool]) -> None:
        """Look twenty times a second; an event for each of the many ways down would be worse."""
        while not is_over():  # noqa: ASYNC110
            await trio.sleep(TICK_S / 5)


def _door(parts: GatewayParts) -> Door:
    """Who comes in, as the settings say."""
    settings, key_file = parts.tokens, parts.key_file
    tokens = None
    if key_file is not None:
        users_may = parse_capabilities(settings.users_may)
        rules = TokenRules(settings.issuer, settings.audience, settings.lifetime_max_s, users_may)
        tokens = TokenVerifier(lambda: key_file.keys, rules)
    return Door(
        Identities(parts.guest_key, parts.rng),
        Expiry(settings.grace_s, trio.current_time()),
        Revocations(settings.lifetime_max_s + settings.grace_s),
        tokens=tokens,
        guests_may=parse_capabilities(settings.guests_may),
    )
