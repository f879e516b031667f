"""The way in: proxies that name their clients, addresses that are too many, and who may say what when."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Address

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.crowd import Caller, Crowd
from gateway.entrance import Entrance
from gateway.handshake import UpgradeRefusal
from gateway.peer import PeerGone
from gateway.proxies import Proxies
from gateway.upgrade import Upgraded, UpgradeRefused, UpgradeRules
from runtime.addresses import prefix_of
from runtime.metrics import GatewayCounters
from runtime.schema import AdmissionSettings, GatewaySettings
from runtime.sockets import SocketNetwork
from runtime.streams import recv_some, send_all
from runtime.transport import Transport
from tests.support.edge_server import request
from tests.support.proxy_headers import INET, proxy_header

CLIENT = prefix_of(IPv4Address("192.0.2.7"))
"""Whom INET and the lines below name."""


class Gate:
    """An entrance with one caller before it: `near` is the gateway's end, `far` the other."""

    def __init__(self, **changes: object) -> None:
        changes = {"address_limits": "on", "trusted_proxies": ["10.0.0.0/8"], **changes}
        admission = AdmissionSettings(**changes)  # type: ignore[arg-type]
        self.crowd = Crowd(admission, GatewaySettings(), GatewayCounters())
        self.entrance = Entrance(UpgradeRules(deadline_s=10.0), Proxies.of(admission), self.crowd)
        self.ends: list[Transport] = []
        self.call("10.0.0.1")

    def call(self, peer: str) -> None:
        """The next caller, from the address `peer`."""
        self.near, self.far = SocketNetwork().pair()
        self.near.peer = f"{peer}:4711"
        self.ends += [self.near, self.far]
        self.caller = Caller()

    async def enter(self, *pieces: bytes) -> Upgraded:
        """The other end sends `pieces`, each when the one before was read."""
        async with trio.open_nursery() as nursery:

            async def send_in_pieces() -> None:
                for piece in pieces:
                    await send_all(self.far, piece)
                    await wait_all_tasks_blocked()

            nursery.start_soon(send_in_pieces)
            return await self._enter()

    async def _enter(self) -> Upgraded:
        return await self.entrance.enter(self.near, self.caller)

    async def refused(self, data: bytes) -> tuple[UpgradeRefusal, bytes]:
        """Send `data` and be refused: why, and what was answered."""
        await send_all(self.far, data)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hang_up_when_answered)
                with pytest.raises(UpgradeRefused) as raised:
                    await self._enter()
        return raised.value.refusal, self.answer

    async def _hang_up_when_answered(self) -> None:
        self.answer = await recv_some(self.far)
        self.far.close()


@pytest.fixture
async def gates() -> AsyncIterator[list[Gate]]:
    """Gates that a test opened; closed after it."""
    opened: list[Gate] = []
    yield opened
    for gate in opened:
        for end in gate.ends:
            end.close()


async def test_a_proxy_names_its_client_before_the_request(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True))
    upgraded = await way.enter(proxy_header(rest=INET) + request() + b"first frame")
    assert upgraded.leftover == b"first frame"
    assert way.caller.prefix == CLIENT


async def test_a_header_that_comes_in_pieces_is_a_header(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True))
    data = proxy_header(rest=INET + b"\x03\x00\x04abcd") + request()
    await way.enter(*[data[at : at + 3] for at in range(0, len(data), 3)])
    assert way.caller.prefix == CLIENT


async def test_a_proxy_that_speaks_for_itself_comes_in_uncounted(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True))
    await way.enter(proxy_header(0x20, 0x00) + request())
    assert way.caller.prefix is None


async def test_a_proxy_without_its_header_is_told_what_is_missing(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True))
    why, answer = await way.refused(request())
    assert why is UpgradeRefusal.PROXY_HEADER
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"PROXY header of version 2" in answer


async def test_a_stranger_with_a_proxys_header_is_no_proxy(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True))
    way.call("198.51.100.9")
    why, _ = await way.refused(proxy_header(rest=INET) + request())
    assert why is UpgradeRefusal.NOT_HTTP
    assert way.caller.prefix == prefix_of(IPv4Address("198.51.100.9"))


async def test_a_stranger_with_a_plain_request_comes_in_as_himself(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True, forwarded_for=True))
    way.call("198.51.100.9")
    await way.enter(request(add=b"X-Forwarded-For: 192.0.2.7\r\n"))
    assert way.caller.prefix == prefix_of(IPv4Address("198.51.100.9"))


async def test_half_a_header_waits_no_longer_than_the_handshake_may(gates: list[Gate], autojump_clock: MockClock) -> None:
    gates.append(way := Gate(proxy_protocol=True))
    began = trio.current_time()
    why, answer = await way.refused(proxy_header(rest=INET)[:20])
    assert why is UpgradeRefusal.DEADLINE
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert trio.current_time() - began <= 11.5


async def test_a_header_and_a_request_have_one_deadline_together(gates: list[Gate], autojump_clock: MockClock) -> None:
    gates.append(way := Gate(proxy_protocol=True))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def dawdle() -> None:
            await trio.sleep(9)
            await send_all(way.far, proxy_header(rest=INET) + request()[:20])

        nursery.start_soon(dawdle)
        with pytest.raises(UpgradeRefused) as raised:
            await way.entrance.enter(way.near, way.caller)
    assert raised.value.refusal is UpgradeRefusal.DEADLINE
    assert trio.current_time() - began <= 11.5


async def test_a_proxy_that_hangs_up_in_its_header_is_gone(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True))
    await send_all(way.far, proxy_header(rest=INET)[:20])
    way.far.close()
    with pytest.raises(PeerGone):
        await way.entrance.enter(way.near, way.caller)


async def test_the_request_of_a_proxy_names_the_client(gates: list[Gate]) -> None:
    gates.append(way := Gate(forwarded_for=True))
    await way.enter(request(add=b"X-Forwarded-For: 203.0.113.1, 192.0.2.7\r\nx-forwarded-for: 10.0.0.2\r\n"))
    assert way.caller.prefix == CLIENT


async def test_a_proxy_behind_a_proxy_is_asked_further(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True, forwarded_for=True))
    inner = bytes([10, 0, 0, 9]) + INET[4:]
    await way.enter(proxy_header(rest=inner) + request(add=b"X-Forwarded-For: 192.0.2.7\r\n"))
    assert way.caller.prefix == CLIENT


async def test_a_client_that_a_header_names_is_not_asked_for_another_name(gates: list[Gate]) -> None:
    gates.append(way := Gate(proxy_protocol=True, forwarded_for=True))
    await way.enter(proxy_header(rest=INET) + request(add=b"X-Forwarded-For: 203.0.113.1\r\n"))
    assert way.caller.prefix == CLIENT


async def test_an_address_that_is_too_many_is_refused_before_it_has_said_anything(gates: list[Gate]) -> None:
    gates.append(way := Gate(address_connections_max=1, proxy_protocol=True))
    way.call("192.0.2.7")
    await way.enter(request())
    way.call("192.0.2.7")
    why, answer = await way.refused(b"")
    assert why is UpgradeRefusal.ADDRESS
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 5\r\n" in answer


async def test_an_address_that_is_too_many_is_refused_behind_proxies_too(gates: list[Gate]) -> None:
    gates.append(way := Gate(address_connections_max=1, proxy_protocol=True, forwarded_for=True))
    await way.enter(proxy_header(rest=INET) + request())
    for data in (proxy_header(rest=INET), proxy_header(0x20, 0) + request(add=b"X-Forwarded-For: 192.0.2.7\r\n")):
        way.call("10.0.0.1")
        why, _ = await way.refused(data)
        assert why is UpgradeRefusal.ADDRESS


async def test_a_bad_request_behind_a_proxy_is_told_so_and_not_counted(gates: list[Gate]) -> None:
    gates.append(way := Gate(forwarded_for=True))
    why, _ = await way.refused(request(drop=b"upgrade", add=b"X-Forwarded-For: 192.0.2.7\r\n"))
    assert why is UpgradeRefusal.NOT_UPGRADE
    assert way.caller.prefix is None
