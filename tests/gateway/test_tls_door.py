"""gateway/tls_door.py over real sockets: who comes in, who does not, and what a change of the certificate does to whom."""

import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import structlog
import trio
import trio.testing
import trio_websocket
import trustme
from structlog.testing import LogCapture

from client.client import connect
from gateway.server import GatewayParts, run_gateway
from gateway.tls_door import TlsDoor, TlsRefused
from runtime.certificates import CertificateError, PairFiles
from runtime.lifecycle import Lifecycle
from runtime.metrics import GatewayCounters
from runtime.schema import GatewaySettings, RoomSettings
from runtime.sockets import SocketNetwork
from runtime.tls_stream import HandshakeStep
from runtime.tls_transport import TlsTransport
from tests.gateway.test_server import enter, hear
from tests.support.gateway_fakes import ROOM, batch
from tests.support.gateway_rig import KEY, FakeRouter
from tests.support.talk import read_lines
from tests.support.tls import client_context, write_authority, write_pair
from tests.support.websocket_end import closed_with
from wire.client_codec import Form
from wire.client_messages import Refused
from wire.limits import TLS_HANDSHAKE_BYTES_MAX


class Secured:
    """A running gateway with a certificate for this machine, and its log."""

    def __init__(self, parts: GatewayParts, files: PairFiles, port: int, log: LogCapture) -> None:
        self.parts = parts
        self.files = files
        self.port = port
        self.url = f"wss://localhost:{port}"
        self._log = log

    @property
    def counters(self) -> GatewayCounters:
        return self.parts.counters

    @property
    def router(self) -> FakeRouter:
        assert isinstance(self.parts.router, FakeRouter)
        return self.parts.router

    def said(self, event: str) -> list[dict[str, object]]:
        return [dict(line) for line in self._log.entries if line["event"] == event]

    async def wait_said(self, event: str, times: int = 1) -> None:
        with trio.fail_after(20):
            while len(self.said(event)) < times:
                await trio.sleep(0.01)

    async def wait_failed(self, reason: str) -> None:
        with trio.fail_after(20):
            while not self.counters.tls_failures[reason]:
                await trio.sleep(0.01)


@asynccontextmanager
async def secured(directory: Path, **settings: object) -> AsyncIterator[Secured]:
    files = write_pair(directory)
    log = LogCapture()
    pair = {"tls_certificate": str(files.certificate), "tls_key": str(files.key)}
    parts = GatewayParts(
        settings=GatewaySettings(**{"port": 0, "drain_notice_s": 0.0, **pair, **settings}),  # type: ignore[arg-type]
        rooms=RoomSettings(), network=SocketNetwork(), router=FakeRouter(), guest_key=KEY, rng=Random(1),
        log=structlog.wrap_logger(None, processors=[log]), counters=GatewayCounters(), lifecycle=Lifecycle(),
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(run_gateway, parts)
        yield Secured(parts, files, listener.port, log)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def visitor(url: str, context: ssl.SSLContext | None = None) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    with trio.fail_after(20):
        async with trio_websocket.open_websocket_url(
            url, ssl_context=context or client_context(), subprotocols=[Form.MSGPACK.value]
        ) as websocket:
            yield websocket


async def greeted_with(port: int, context: ssl.SSLContext | None = None) -> bytes:
    """The certificate that a caller who comes now is shown."""
    stream = await trio.open_tcp_stream("localhost", port)
    secure = trio.SSLStream(stream, context or client_context(), server_hostname="localhost", https_compatible=True)
    with trio.fail_after(10):
        await secure.do_handshake()
        shown = secure.getpeercert(binary_form=True)
        await trio.aclose_forcefully(secure)
    assert isinstance(shown, bytes)
    return shown


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_visitor_is_welcomed_and_reads_what_the_shard_sends(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with secured(tmp_path) as gateway, visitor(gateway.url, client_context(maximum_version=version)) as websocket:
        await enter(websocket)
        (feed,) = gateway.router.feeds
        feed.on_batch(batch(4, 5))
        assert [getattr(await hear(websocket), "offset", 0) for _ in range(2)] == [4, 5]


async def test_the_python_client_reads_and_resumes_over_wss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(write_authority(tmp_path)))
    async with secured(tmp_path) as gateway:
        with trio.fail_after(20):
            async with connect([gateway.url], name="Ada", rng=Random(1), rooms=[ROOM]) as client:
                while not gateway.router.feeds:
                    await trio.sleep(0.01)
                gateway.router.feeds[0].on_batch(batch(4, 5, "over TLS"))
                gateway.router.feeds[0].on_batch(batch(6, 6, "the last"))
                assert [offset for offset, _ in await read_lines(client, "the last", ROOM)][-3:] == [4, 5, 6]
    assert not any(gateway.counters.tls_failures.values())


async def test_a_slow_reader_gets_every_event_once_and_in_order(tmp_path: Path) -> None:
    """The kernel's buffers are small and the reader pauses: what was cut is finished, the rest, with no fall, is the ring's."""
    async with secured(tmp_path, send_buffer_bytes=4096, outbox_behind_bytes_max=4 * 1024 * 1024) as gateway:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
        with trio.fail_after(30):
            await stream.socket.connect(("127.0.0.1", gateway.port))
            secure = trio.SSLStream(stream, client_context(), server_hostname="localhost", https_compatible=True)
            async with trio.open_nursery() as nursery:
                websocket = await trio_websocket.wrap_client_stream(
                    nursery, secure, "localhost", "/", subprotocols=[Form.MSGPACK.value]
                )
                await enter(websocket)
                (feed,) = gateway.router.feeds
                for first in range(4, 404, 10):
                    feed.on_batch(batch(first, first + 9, "x" * 300))
                    await trio.testing.wait_all_tasks_blocked()
                assert gateway.counters.sends_blocked > 0
                offsets = [getattr(await hear(websocket), "offset", 0) for _ in range(400)]
                assert offsets == list(range(4, 404))
                nursery.cancel_scope.cancel()


async def test_beyond_the_soft_budget_a_visitor_is_told_busy_inside_tls(tmp_path: Path) -> None:
    async with secured(tmp_path, connections_soft_max=1) as gateway, visitor(gateway.url) as first:
        await enter(first)
        async with visitor(gateway.url) as second:
            busy = await hear(second)
            assert isinstance(busy, Refused)
            assert busy.code == "busy"
            await closed_with(second)


async def test_who_stalls_in_the_handshake_holds_a_place_until_the_deadline_and_hinders_nobody(tmp_path: Path) -> None:
    async with secured(tmp_path, handshake_deadline_s=2.0, handshakes_pending_max=3) as gateway:
        stalled = [await trio.open_tcp_stream("127.0.0.1", gateway.port) for _ in range(2)]
        # One says nothing, one begins a hello that it never ends.
        await stalled[1].send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        async with visitor(gateway.url) as websocket:
            await enter(websocket)
        for stream in stalled:
            with trio.fail_after(10):
                assert await stream.receive_some(100) == b""
        assert gateway.counters.tls_failures["deadline"] == 2
        assert gateway.counters.handshakes_pending is not None
        assert gateway.counters.handshakes_pending() == 0


async def test_handshakes_are_bounded_as_without_tls_and_who_is_turned_away_is_told_no_plain_text(tmp_path: Path) -> None:
    async with secured(tmp_path, handshakes_pending_max=2) as gateway:
        pending = [await trio.open_tcp_stream("127.0.0.1", gateway.port) for _ in range(2)]
        with trio.fail_after(10):
            while gateway.counters.accepted < 2:
                await trio.sleep(0.01)
            third = await trio.open_tcp_stream("127.0.0.1", gateway.port)
            assert await third.receive_some(1000) == b""
        assert gateway.counters.shed == 1
        for stream in pending:
            await stream.aclose()
        await gateway.wait_failed("peer_gone")


class Rounds(trio.abc.Instrument):
    """Counts the rounds of the event loop."""

    def __init__(self) -> None:
        self.now = 0

    def before_io_wait(self, timeout: float) -> None:
        self.now += 1


async def test_in_a_flash_crowd_one_handshake_moves_in_a_round_of_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, moved_in, step = Rounds(), [], TlsTransport.step_handshake

    def counted(transport: TlsTransport) -> HandshakeStep:
        moved_in.append(rounds.now)
        return step(transport)

    monkeypatch.setattr(TlsTransport, "step_handshake", counted)
    # Counting ends after the gateway does: its side of a handshake outlasts the callers'.
    trio.lowlevel.add_instrument(rounds)
    async with secured(tmp_path) as gateway, trio.open_nursery() as crowd:
        for _ in range(20):
            crowd.start_soon(greeted_with, gateway.port)
    trio.lowlevel.remove_instrument(rounds)
    assert len(moved_in) >= 20, "a hello of each at least"
    assert len(set(moved_in)) == len(moved_in)


async def _say(gateway: Secured, words: bytes) -> bytes:
    """What a peer hears that says these bytes and then waits."""
    stream = await trio.open_tcp_stream("127.0.0.1", gateway.port)
    await stream.send_all(words)
    heard = b""
    with trio.fail_after(10):
        try:
            while data := await stream.receive_some(4096):
                heard += data
        except trio.BrokenResourceError:
            # Left over unread bytes: a reset is the kernel's word for it.
            pass
    await stream.aclose()
    return heard


async def test_a_browser_that_says_ws_in_place_of_wss_is_told_so(tmp_path: Path) -> None:
    async with secured(tmp_path) as gateway:
        heard = await _say(gateway, b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"connect with wss://" in heard
        assert gateway.counters.tls_failures["plain_http"] == 1


async def test_rubbish_and_floods_end_one_connection_and_are_told_apart(tmp_path: Path) -> None:
    async with secured(tmp_path) as gateway, visitor(gateway.url) as canary:
        await enter(canary)
        await _say(gateway, b"SSH-2.0-x\r\n" * 10)
        assert gateway.counters.tls_failures["not_tls"] == 1
        hello = b"\x01\x01\x86\xa0" + bytes(3 * TLS_HANDSHAKE_BYTES_MAX)
        parts = [hello[start : start + 8000] for start in range(0, len(hello), 8000)]
        await _say(gateway, b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts))
        assert gateway.counters.tls_failures["too_large"] == 1
        (feed,) = gateway.router.feeds
        feed.on_batch(batch(4, 4))
        assert getattr(await hear(canary), "offset", 0) == 4
        assert gateway.counters.connection_errors == 0


async def test_a_client_that_does_not_believe_us_is_counted_as_such(tmp_path: Path) -> None:
    async with secured(tmp_path) as gateway:
        # A socket of the standard library: trio's stream leaves without TLS's word for why.
        with pytest.raises(ssl.SSLCertVerificationError):
            await trio.to_thread.run_sync(_believe_nobody, gateway.port)
        await gateway.wait_failed("certificate")


def _believe_nobody(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost").close()


async def test_an_old_client_is_counted_as_such(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old = client_context(minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with secured(tmp_path) as gateway:
        with pytest.raises((trio.BrokenResourceError, ssl.SSLError)):
            await greeted_with(gateway.port, old)
        await gateway.wait_failed("version")


async def test_a_changed_certificate_is_for_who_comes_next_and_who_is_there_stays(tmp_path: Path) -> None:
    async with secured(tmp_path) as gateway, visitor(gateway.url) as websocket:
        await enter(websocket)
        before = await greeted_with(gateway.port)
        write_pair(tmp_path)
        gateway.parts.lifecycle.ask_reload()
        await gateway.wait_said("tls_certificate_changed")
        assert await greeted_with(gateway.port) != before
        (feed,) = gateway.router.feeds
        feed.on_batch(batch(4, 4))
        assert getattr(await hear(websocket), "offset", 0) == 4
        assert gateway.counters.tls_reloads["loaded"] == 1


async def test_a_changed_certificate_is_noticed_without_a_signal(tmp_path: Path) -> None:
    async with secured(tmp_path) as gateway:
        before = await greeted_with(gateway.port)
        write_pair(tmp_path)
        await gateway.wait_said("tls_certificate_changed")
        assert await greeted_with(gateway.port) != before


async def test_a_bad_new_pair_is_told_once_and_the_old_one_stays(tmp_path: Path) -> None:
    async with secured(tmp_path) as gateway:
        before = await greeted_with(gateway.port)
        gateway.files.key.write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())
        await gateway.wait_said("tls_certificate_refused")
        (line,) = gateway.said("tls_certificate_refused")
        assert "is not the key of the certificate" in str(line["reason"])
        assert await greeted_with(gateway.port) == before
        assert gateway.counters.tls_reloads["refused"] == 1


# --- the watch, look by look -----------------------------------------------------------------------


class Watched:
    """A door without a gateway, whose clock is the test's."""

    def __init__(self, directory: Path, **pair: object) -> None:
        self.files = write_pair(directory, **pair)  # type: ignore[arg-type]
        self.counters = GatewayCounters()
        self.log = LogCapture()
        self.now = datetime.now(UTC).timestamp()
        self.door = TlsDoor(
            self.files, counters=self.counters, log=structlog.wrap_logger(None, processors=[self.log]),
            wall_clock=lambda: self.now,
        )  # fmt: skip

    def look(self, *, is_asked: bool = False) -> list[str]:
        """What one look makes it say."""
        self.log.entries.clear()
        self.door.look(is_asked=is_asked)
        return [str(line["event"]) for line in self.log.entries]


def test_files_that_are_still_being_written_are_left_alone(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    assert watched.look() == []
    # An ACME client writes one file after the other.
    (tmp_path / "new").mkdir()
    new = write_pair(tmp_path / "new")
    shutil.copyfile(new.certificate, watched.files.certificate)
    assert watched.look() == []
    os.replace(new.key, watched.files.key)
    assert watched.look() == []
    assert watched.look() == ["tls_certificate_changed"]
    assert watched.look() == []


def test_a_refused_pair_is_looked_into_again_when_it_changes_or_somebody_asks(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    good = watched.files.key.read_bytes()
    watched.files.key.unlink()
    assert [watched.look() for _ in range(4)] == [[], ["tls_certificate_refused"], [], []]
    assert watched.look(is_asked=True) == ["tls_certificate_refused"]
    watched.files.key.touch(mode=0o600)
    watched.files.key.write_bytes(good)
    assert [watched.look() for _ in range(3)] == [[], ["tls_certificate_changed"], []]
    assert (watched.counters.tls_reloads["refused"], watched.counters.tls_reloads["loaded"]) == (2, 1)


def test_the_days_of_the_certificate_are_counted_and_its_end_is_told_once(tmp_path: Path) -> None:
    watched = Watched(tmp_path, not_after=datetime.now(UTC) + timedelta(days=10))
    expiry = watched.counters.tls_certificate_expiry
    assert expiry is not None
    assert expiry() == pytest.approx(10 * 86_400, abs=60)
    assert watched.look() == []
    watched.now += 11 * 86_400
    assert expiry() < 0
    assert [watched.look() for _ in range(3)] == [["tls_certificate_not_valid"], [], []]
    write_pair(tmp_path)
    assert watched.look(is_asked=True) == ["tls_certificate_changed"]
    assert expiry() > 0


def test_an_expired_certificate_is_served_with_a_warning(tmp_path: Path) -> None:
    watched = Watched(tmp_path, not_after=datetime.now(UTC) - timedelta(days=1))
    assert [line["event"] for line in watched.log.entries] == ["tls_certificate", "tls_certificate_not_valid"]


def test_a_door_without_a_good_pair_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="cannot be read"):
        TlsDoor(
            PairFiles(tmp_path / "none.pem", tmp_path / "none.key"), counters=GatewayCounters(),
            log=structlog.wrap_logger(None, processors=[LogCapture()]), wall_clock=lambda: 0.0,
        )  # fmt: skip


def test_a_refusal_names_its_reason() -> None:
    assert str(TlsRefused("deadline")) == "no TLS: deadline"
