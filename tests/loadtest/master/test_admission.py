"""Who may belong to a run, and what everybody else is told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
import trio

from loadtest.figures.messages import MESSAGES_VERSION, Challenge, Hello, Probe, Ready, Start, Welcome
from loadtest.master import admission
from loadtest.master.admission import NotAdmitted, Terms, ToMaster, ToWorker, admit, introduce, master_proof, worker_proof
from loadtest.master.channel import to_master, to_worker
from runtime.sockets import SocketNetwork
from runtime.streams import recv_some, send_all
from wire.errors import PeerError

TERMS = Terms("0.9", "digest", "boot", b"the secret")
OWN = Hello(MESSAGES_VERSION, "0.9", "w-1", "host", "boot", 7, 2, "digest", 1000, b"", b"")


@asynccontextmanager
async def _channels() -> AsyncIterator[tuple[ToWorker, ToMaster]]:
    near, far = SocketNetwork().pair()
    master, worker = to_worker(near), to_master(far)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.write)
        nursery.start_soon(worker.write)
        yield master, worker
        nursery.cancel_scope.cancel()
    master.close()
    worker.close()


async def _both(
    terms: Terms, own: Hello, secret: bytes, *, take_index: Callable[[Hello], int] = lambda _hello: 3, worker_clock_us: int = 50
) -> list[object]:
    """What the master's half and the worker's end with."""
    ends: list[object] = [None, None]
    async with _channels() as (master, worker), trio.open_nursery() as nursery:

        async def admitting() -> None:
            try:
                ends[0] = await admit(master, terms, take_index=take_index, clock_us=lambda: 1000, rng=Random(1))
            except (NotAdmitted, PeerError) as error:
                ends[0] = error

        async def introducing() -> None:
            try:
                ends[1] = await introduce(worker, own, secret, clock_us=lambda: worker_clock_us, rng=Random(2))
            except NotAdmitted as error:
                ends[1] = error

        nursery.start_soon(admitting)
        nursery.start_soon(introducing)
    return ends


async def test_a_worker_of_this_machine_has_our_clock() -> None:
    admitted, welcome = await _both(TERMS, OWN, b"the secret", worker_clock_us=1000)
    assert isinstance(admitted, tuple)
    assert (admitted[0].name, admitted[1]) == ("w-1", welcome)
    assert (welcome.index, welcome.offset_us, welcome.error_us) == (3, 0, 0)  # type: ignore[attr-defined]


async def test_a_worker_of_another_machine_is_told_its_offset() -> None:
    _, welcome = await _both(TERMS, msgspec.structs.replace(OWN, boot_id="other"), b"the secret")
    assert (welcome.offset_us, welcome.error_us) == (950, 0)  # type: ignore[attr-defined]


async def test_without_a_secret_nobody_needs_one() -> None:
    admitted, welcome = await _both(Terms("0.9", "digest", "boot"), OWN, b"")
    assert isinstance(admitted, tuple)
    assert isinstance(welcome, Welcome)


@pytest.mark.parametrize(
    ("own", "secret", "why"),
    [
        (OWN, b"another", "secret"),
        (OWN, b"", "secret"),
        (msgspec.structs.replace(OWN, parvis="0.8"), b"the secret", "parvis 0.8 and the master 0.9"),
        (msgspec.structs.replace(OWN, scenario="other"), b"the secret", "scenario"),
    ],
)
async def test_a_worker_that_does_not_agree_is_told_why(own: Hello, secret: bytes, why: str) -> None:
    for end in await _both(TERMS, own, secret):
        assert isinstance(end, NotAdmitted)
        assert why in str(end)


async def test_a_secret_is_asked_for_before_anything_is_told() -> None:
    ends = await _both(TERMS, msgspec.structs.replace(OWN, parvis="0.8", scenario="other"), b"another")
    assert "secret" in str(ends[1])


async def test_who_has_a_secret_works_for_no_master_without_it() -> None:
    _, end = await _both(Terms("0.9", "digest", "boot"), OWN, b"")
    assert isinstance(end, Welcome)
    async with _channels() as (master, worker), trio.open_nursery() as nursery:
        nursery.start_soon(_welcome_anybody, master)
        with pytest.raises(NotAdmitted, match="master's secret"):
            await introduce(worker, OWN, b"the secret", clock_us=lambda: 1, rng=Random(2))


async def _welcome_anybody(master: ToWorker) -> None:
    master.send_nowait(Challenge(MESSAGES_VERSION, bytes(32)))
    await master.receive()
    master.send_nowait(Welcome(0, 0, 0))


async def test_a_full_run_says_so() -> None:
    def full(_hello: Hello) -> int:
        raise NotAdmitted("no more workers are expected")

    for end in await _both(TERMS, OWN, b"the secret", take_index=full):
        assert str(end) == "no more workers are expected"


async def test_an_older_master_is_left() -> None:
    async with _channels() as (master, worker):
        master.send_nowait(Challenge(MESSAGES_VERSION + 1, bytes(32)))
        with pytest.raises(NotAdmitted, match="install the same parvis"):
            await introduce(worker, OWN, b"", clock_us=lambda: 1, rng=Random(2))


async def test_a_stranger_is_told_whose_port_it_is_and_hurts_nobody() -> None:
    near, far = SocketNetwork().pair()
    master = to_worker(near)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.write)
        await send_all(far, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(PeerError, match="exceeds 4096"):
            await admit(master, TERMS, take_index=lambda _: 0, clock_us=lambda: 1, rng=Random(1))
        assert await master.wait_sent(5)
        assert b"the port of a load test's master" in await recv_some(far)
        nursery.cancel_scope.cancel()


async def test_a_worker_begins_with_a_hello_and_answers_probes() -> None:
    async with _channels() as (master, worker):
        worker.send_nowait(Ready())
        with pytest.raises(PeerError, match="Ready where a hello belongs"):
            await admit(master, TERMS, take_index=lambda _: 0, clock_us=lambda: 1, rng=Random(1))
    async with _channels() as (master, worker):
        own = msgspec.structs.replace(OWN, nonce=bytes(32))
        worker.send_nowait(own)
        worker.send_nowait(Ready())
        with pytest.raises(PeerError, match="answer to probe 0"):
            await admit(master, Terms("0.9", "digest", "boot"), take_index=lambda _: 0, clock_us=lambda: 1, rng=Random(1))


async def test_a_nonce_that_was_shortened_is_refused() -> None:
    async with _channels() as (master, worker):
        worker.send_nowait(OWN)
        with pytest.raises(PeerError, match="nonce of 0 bytes"):
            await admit(master, TERMS, take_index=lambda _: 0, clock_us=lambda: 1, rng=Random(1))


@pytest.mark.parametrize("first", [Start(1), Probe(1)])
async def test_a_master_begins_with_a_challenge(first: Start | Probe) -> None:
    async with _channels() as (master, worker):
        master.send_nowait(first)
        with pytest.raises(PeerError, match="where a challenge belongs"):
            await introduce(worker, OWN, b"", clock_us=lambda: 1, rng=Random(2))


async def test_a_master_that_says_something_else_is_left() -> None:
    async with _channels() as (master, worker):
        master.send_nowait(Challenge(MESSAGES_VERSION, bytes(32)))
        master.send_nowait(Start(1))
        with pytest.raises(PeerError, match="where a welcome belongs"):
            await introduce(worker, OWN, b"", clock_us=lambda: 1, rng=Random(2))


async def test_silence_has_an_end_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ADMISSION_DEADLINE_S", 0.01)
    async with _channels() as (master, _worker):
        with pytest.raises(TimeoutError, match="did not introduce itself"):
            await admit(master, TERMS, take_index=lambda _: 0, clock_us=lambda: 1, rng=Random(1))
    near, far = SocketNetwork().pair()
    with pytest.raises(TimeoutError, match="is that the master's port"):
        await introduce(to_master(far), OWN, b"", clock_us=lambda: 1, rng=Random(2))
    near.close()


def test_a_proof_says_what_it_is_for() -> None:
    hello, welcome = msgspec.structs.replace(OWN, nonce=bytes(32)), Welcome(0, 0, 0)
    proofs = {
        worker_proof(b"s", hello, b"n" * 32),
        worker_proof(b"s", hello, b"m" * 32),
        worker_proof(b"s", msgspec.structs.replace(hello, name="w-2"), b"n" * 32),
        worker_proof(b"s", msgspec.structs.replace(hello, parvis="0.", name="9w-1"), b"n" * 32),
        worker_proof(b"t", hello, b"n" * 32),
        master_proof(b"s", hello, welcome, b"n" * 32),
        master_proof(b"s", hello, Welcome(1, 0, 0), b"n" * 32),
    }
    assert len(proofs) == 7
    assert worker_proof(b"", hello, b"n" * 32) == b""
