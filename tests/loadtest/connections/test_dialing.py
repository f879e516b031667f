"""Addresses and ranges of them, the pace of beginning, and shortages that are told before a run."""

import resource
import socket
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from loadtest.connections import dialing
from loadtest.connections.dialing import (
    CATCH_UP_S,
    Dialer,
    Pace,
    Target,
    find_targets,
    missing_source_ip,
    parse_source_ips,
    ports_range,
    raise_descriptor_limit,
    shortage,
)


@pytest.fixture
def descriptors() -> Iterator[None]:
    """The limit of this process as it was before."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def target(port: int, host: str = "127.0.0.1") -> Target:
    return Target(f"ws://{host}:{port}", f"{host}:{port}", "/", host, False, socket.AF_INET, (host, port))


async def test_targets_are_found_with_their_ports_and_paths() -> None:
    plain, secure, deep = await find_targets(["ws://127.0.0.1:8001", "wss://127.0.0.1", "ws://[::1]/live?x=1"])
    assert (plain.address, plain.authority, plain.path, plain.is_tls) == (("127.0.0.1", 8001), "127.0.0.1:8001", "/", False)
    assert (secure.address, secure.is_tls) == (("127.0.0.1", 443), True)
    assert (deep.family, deep.address[:2], deep.path) == (socket.AF_INET6, ("::1", 80), "/live?x=1")


@pytest.mark.parametrize("url", ["", "127.0.0.1:8001", "http://127.0.0.1", "ws://", "ws://127.0.0.1:none", "ws://127.0.0.1:99999"])
async def test_what_is_no_address_is_one_sentence(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a gateway: write it as ws://HOST:8001"):
        await find_targets([url])


async def test_a_name_that_leads_nowhere_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"there is no host named nobody\.invalid: check --host"):
        await find_targets(["ws://nobody.invalid:8001"])


@pytest.mark.parametrize(("text", "found"), [
    ("127.0.0.2", ["127.0.0.2"]),
    ("127.0.0.2-127.0.0.4", ["127.0.0.2", "127.0.0.3", "127.0.0.4"]),
    (" 127.0.0.254 - 127.0.1.1 , 127.0.0.9,", ["127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1", "127.0.0.9"]),
    ("::1", ["::1"]),
])  # fmt: skip
def test_source_addresses_are_ranges_and_lists(text: str, found: list[str]) -> None:
    assert parse_source_ips(text) == found


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "no source address is named"),
    ("127.0.0", '"127.0.0" is neither an address nor a range'),
    ("127.0.0.2-", '"127.0.0.2-" is neither an address nor a range'),
    ("127.0.0.2-9", '"127.0.0.2-9" is neither an address nor a range'),
    ("127.0.0.9-127.0.0.2", "ends before it begins"),
    ("127.0.0.9-::1", "ends before it begins"),
    ("127.0.0.0-127.255.255.255", "more than 4096 source addresses"),
    ("127.0.0.2,127.0.0.1-127.0.0.3", "named twice"),
])  # fmt: skip
def test_bad_source_addresses_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_source_ips(text)


def test_an_address_of_another_machine_is_told_before_the_run() -> None:
    assert missing_source_ip(["127.0.0.2", "127.0.0.3"]) is None
    assert missing_source_ip(["127.0.0.2", "192.0.2.1"]) == (
        "this machine has no address 192.0.2.1: take --source-ips from those of its interfaces (ip address)"
    )


@given(st.floats(0.1, 10_000), st.lists(st.floats(0, 100), min_size=2, max_size=50).map(sorted))
def test_moments_of_a_pace_are_never_closer_than_asked(per_s: float, arrivals: list[float]) -> None:
    pace = Pace(per_s)
    moments = [pace.reserve(now) for now in arrivals]
    assert all(at >= now - CATCH_UP_S for at, now in zip(moments, arrivals, strict=True))
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= 1 / per_s - 1e-9


def test_a_pace_is_kept_while_somebody_waits() -> None:
    pace = Pace(100)
    assert [pace.reserve(5.0) for _ in range(5)] == pytest.approx([4.98, 4.99, 5.0, 5.01, 5.02])
    # Late by less than may be caught up with: the next ones are due at once.
    assert pace.reserve(5.04) == pytest.approx(5.03)
    assert pace.reserve(9.0) == pytest.approx(8.98)


def test_hosts_are_taken_in_turn() -> None:
    dialer = Dialer([target(1), target(2), target(3)])
    assert Counter(dialer.urls[dialer.next_first()] for _ in range(30)) == dict.fromkeys(dialer.urls, 10)


def test_sockets_come_from_each_source_address_in_turn() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = target(server.getsockname()[1])
        dialer = Dialer([there], ["127.0.0.2", "127.0.0.3"])
        peers = []
        for _ in range(4):
            sock = dialer.open_socket(there)
            assert isinstance(sock, socket.socket)
            with sock:
                assert not sock.getblocking()
                sock.setblocking(True)
                sock.connect(there.address)
                accepted, peer = server.accept()
                accepted.close()
                peers.append(peer[0])
        assert peers == ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"]


def test_a_source_address_that_is_none_of_ours_leaves_no_socket_behind() -> None:
    with pytest.raises(OSError, match="assign"):
        Dialer([target(1)], ["192.0.2.1"]).open_socket(target(1))


async def test_a_users_first_connection_waits_for_its_turn_and_the_next_do_not(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[tuple[float, str, str | None]] = []

    async def dial(url: str, *, local_address: str | None = None) -> trio.abc.Stream:
        dialled.append((round(trio.current_time() - began, 3), url, local_address))
        return trio.testing.memory_stream_pair()[0]

    monkeypatch.setattr(dialing, "dial", dial)
    dialer = Dialer([target(1)], ["127.0.0.2", "127.0.0.3"], connects_per_s_max=10)
    began = trio.current_time()
    dials = [dialer.dial() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for each in dials:
            nursery.start_soon(each, "ws://a")
    assert sorted(at for at, _, _ in dialled) == [0.0, 0.1, 0.2]
    assert Counter(source for _, _, source in dialled) == {"127.0.0.2": 2, "127.0.0.3": 1}
    dialled.clear()
    await dials[1]("ws://b")
    assert dialled == [(0.2, "ws://b", "127.0.0.3")]


def test_too_few_descriptors_are_told_with_what_to_change(descriptors: None) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    room = raise_descriptor_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == room + 200
    assert shortage(room, room, targets=99, source_ips=1) is None
    sentence = shortage(room + 1, 3 * room + 3, targets=99, source_ips=1)
    assert sentence == (
        f"{room + 1:,} clients in one process need {room + 201:,} descriptors and it may open {room + 200:,}: "
        f"take more processes (--processes 4) or raise the limit (ulimit -n {room + 201})"
    )


def test_too_few_ports_are_told_with_what_to_change(descriptors: None) -> None:
    first, last = ports_range()
    ports = last - first + 1
    assert shortage(100, 2 * ports, targets=2, source_ips=0) is None
    assert shortage(100, 2 * ports, targets=1, source_ips=2) is None
    sentence = shortage(100, 2 * ports + 1, targets=1, source_ips=2)
    assert sentence == (
        f"{2 * ports + 1:,} clients of 1 address need more than the {2 * ports:,} ports of 2 source addresses: "
        "name 3 or more, as in --source-ips 127.0.0.2-127.0.0.9"
    )


def test_the_kernels_range_of_ports_is_read(tmp_path: Path) -> None:
    file = tmp_path / "range"
    file.write_text("32768\t60999\n")
    assert ports_range(file) == (32768, 60999)
