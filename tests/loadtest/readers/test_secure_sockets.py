"""Readers behind TLS: the same readers, and an end in a sentence when there is no trust."""

import ssl
from random import Random

import pytest
import trio
import trustme

from loadtest.connections.dialing import Dialer, find_targets
from loadtest.figures.tally import Tally
from loadtest.readers.pool import ReaderPool
from tests.support.honest_gateway import HonestGateway
from tests.support.reader_stage import ROOM, RUN, Stage


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Whom this process trusts."""
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(ssl, "create_default_context", lambda *_: trusting)
    return authority


async def test_readers_read_through_tls_more_than_a_record_and_to_the_end(authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with trio.open_nursery() as nursery:
        gateway, tally = HonestGateway(nursery), Tally()
        url = await gateway.listen(tls=context)
        dialer = Dialer(await find_targets([url]))
        pool = ReaderPool(dialer, tally, run=RUN, offset_us=0, rng=Random(7))
        await nursery.start(pool.run)
        stage = Stage(gateway, dialer, pool, tally)
        readers = [pool.open([ROOM], "Lurker") for _ in range(5)]
        await stage.gathered(5)
        for _ in range(1000):
            stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 5000)
        assert stage.findings == []
        await gateway.cut()
        await stage.until(lambda stage: stage.counts.get("resumes_recovered", 0) == 5)
        for reader in readers:
            pool.close(reader)
        await stage.until(lambda stage: pool.sockets == 0 and not gateway.peers)
        nursery.cancel_scope.cancel()


async def test_a_certificate_that_nobody_trusts_is_counted_and_told(authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def serve() -> None:
            while True:
                stream = trio.SSLStream(await listener.accept(), context, server_side=True)
                with pytest.raises(trio.BrokenResourceError):
                    await stream.do_handshake()

        nursery.start_soon(serve)
        tally = Tally()
        url = f"wss://localhost:{listener.socket.getsockname()[1]}"
        pool = ReaderPool(Dialer(await find_targets([url])), tally, run=RUN, offset_us=0, rng=Random(7))
        await nursery.start(pool.run)
        pool.open([ROOM], "Lurker")
        refusals: dict[str, int] = {}
        with trio.fail_after(20):
            while not refusals:
                refusals = tally.take_refusals()
                await trio.sleep(0.002)
        assert refusals == {"no TLS": 1}
        [row], _, _ = tally.take()
        assert list(row.errors) == ["no TLS with localhost: CERTIFICATE_VERIFY_FAILED"]
        nursery.cancel_scope.cancel()


async def test_a_port_without_tls_is_counted_and_told(authority: trustme.CA) -> None:
    async with trio.open_nursery() as nursery:
        gateway, tally = HonestGateway(nursery), Tally()
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def answer(stream: trio.SocketStream) -> None:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        nursery.start_soon(trio.serve_listeners, answer, [listener])
        url = f"wss://localhost:{listener.socket.getsockname()[1]}"
        dialer = Dialer(await find_targets([url]))
        pool = ReaderPool(dialer, tally, run=RUN, offset_us=0, rng=Random(7))
        await nursery.start(pool.run)
        pool.open([ROOM], "Lurker")
        await Stage(gateway, dialer, pool, tally).until(lambda stage: stage.counts.get("connects_failed", 0) == 1)
        assert tally.take_refusals() == {"no TLS": 1}
        nursery.cancel_scope.cancel()
