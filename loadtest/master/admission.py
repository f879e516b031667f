"""Who may belong to a run: the first words between a master and a worker.

    master  Challenge                 its nonce
    worker  Hello                     who it is, its own nonce, a proof
    master  Probe  ...  Probed        how far the worker's clock is from ours
    master  Welcome                   its index, its clock, a proof; or Rejected, with a sentence

Where there is a secret both sides prove that they know it, by an HMAC over both nonces and
what was claimed, so nothing can be replayed, and it is never sent.  Whoever is on the wire
between them can still read and change what follows: that is for the network to prevent.
Two versions of the program, or two texts of the scenario, measure two things: refused.
"""

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec
import trio

from loadtest.figures.messages import (
    MESSAGES_VERSION,
    Challenge,
    Hello,
    MasterMessage,
    Probe,
    Probed,
    Rejected,
    Welcome,
    WorkerMessage,
)
from loadtest.master.channel import Channel
from loadtest.master.clocks import PROBES, Offset, Sample, offset_between
from wire.codes import CloseCode
from wire.errors import PeerError

NONCE_BYTES: Final = 32
# The longest honest hello has names of a few dozen letters, a digest, a nonce and a proof: 400 bytes.
STRANGERS_MESSAGE_BYTES_MAX: Final = 4096
ADMISSION_DEADLINE_S: Final = 10.0

ToWorker = Channel[MasterMessage, WorkerMessage]
ToMaster = Channel[WorkerMessage, MasterMessage]


class NotAdmitted(Exception):
    """One side said no to the other; the message is one plain sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker must agree with its master in.  An empty `secret`: whoever reaches the port may work."""

    parvis: str
    scenario: str
    """Digest of the scenario's file."""
    boot_id: str
    secret: bytes = b""


async def admit(
    channel: ToWorker, terms: Terms, *, take_index: Callable[[Hello], int], clock_us: Callable[[], int], rng: Random
) -> tuple[Hello, Welcome]:
    """The master's half; the worker has been told.

    `take_index` gives an admitted worker its number, or raises `NotAdmitted` to turn it away.
    Raises `NotAdmitted`, `PeerError`, or an `OSError` (`TimeoutError` after ADMISSION_DEADLINE_S).
    `channel.write` must be running.
    """
    with trio.move_on_after(ADMISSION_DEADLINE_S):
        try:
            nonce = rng.randbytes(NONCE_BYTES)
            channel.send_nowait(Challenge(MESSAGES_VERSION, nonce))
            hello = await channel.receive(STRANGERS_MESSAGE_BYTES_MAX)
            if not isinstance(hello, Hello):
                raise PeerError(CloseCode.BAD_REQUEST, f"{type(hello).__name__} where a hello belongs")
            _check(hello, nonce, terms)
            clock = await _probe(channel, terms.boot_id, hello, clock_us)
            bare = Welcome(take_index(hello), clock.offset_us, clock.error_us)
        except NotAdmitted as no:
            channel.send_nowait(Rejected(str(no)))
            raise
        except PeerError as error:
            channel.send_nowait(Rejected(f"this is the port of a load test's master, and that was no worker: {error.message}"))
            raise
        welcome = msgspec.structs.replace(bare, proof=master_proof(terms.secret, hello, bare, nonce))
        channel.send_nowait(welcome)
        return hello, welcome
    raise TimeoutError(f"{channel.peer} did not introduce itself within {ADMISSION_DEADLINE_S:g} s")


def _check(hello: Hello, nonce: bytes, terms: Terms) -> None:
    """The proof before everything else: a stranger learns nothing of the run."""
    if len(hello.nonce) != NONCE_BYTES:
        raise PeerError(CloseCode.BAD_REQUEST, f"a nonce of {len(hello.nonce)} bytes")
    if not hmac.compare_digest(hello.proof, worker_proof(terms.secret, hello, nonce)):
        raise NotAdmitted("the worker's secret is not the master's: give both the same PARVIS_LOADTEST_SECRET")
    if hello.parvis != terms.parvis:
        raise NotAdmitted(f"the worker is parvis {hello.parvis} and the master {terms.parvis}: install the same on both")
    if hello.scenario != terms.scenario:
        raise NotAdmitted("the worker's scenario is not the master's: copy the same file to both")


async def _probe(channel: ToWorker, boot_id: str, hello: Hello, clock_us: Callable[[], int]) -> Offset:
    samples = []
    for n in range(PROBES):
        sent_us = clock_us()
        channel.send_nowait(Probe(n))
        answer = await channel.receive(STRANGERS_MESSAGE_BYTES_MAX)
        received_us = clock_us()
        if not isinstance(answer, Probed) or answer.n != n:
            raise PeerError(CloseCode.BAD_REQUEST, f"{type(answer).__name__} where the answer to probe {n} belongs")
        samples.append(Sample(sent_us, answer.at_us, received_us))
    return offset_between(boot_id, hello.boot_id, samples)


async def introduce(channel: ToMaster, own: Hello, secret: bytes, *, clock_us: Callable[[], int], rng: Random) -> Welcome:
    """The worker's half; `own` is its hello, nonce and proof left empty.

    Raises `NotAdmitted`, `PeerError`, or an `OSError` (`TimeoutError` after ADMISSION_DEADLINE_S).
    `channel.write` must be running.
    """
    with trio.move_on_after(ADMISSION_DEADLINE_S):
        challenge = await channel.receive(STRANGERS_MESSAGE_BYTES_MAX)
        if not isinstance(challenge, Challenge):
            raise PeerError(CloseCode.BAD_REQUEST, f"{type(challenge).__name__} where a challenge belongs")
        if challenge.version != MESSAGES_VERSION:
            raise NotAdmitted(
                f"the master speaks version {challenge.version} of the load test's messages, this worker {MESSAGES_VERSION}: "
                "install the same parvis on both"
            )
        bare = msgspec.structs.replace(own, nonce=rng.randbytes(NONCE_BYTES), proof=b"")
        hello = msgspec.structs.replace(bare, proof=worker_proof(secret, bare, challenge.nonce))
        channel.send_nowait(hello)
        while True:
            answer = await channel.receive(STRANGERS_MESSAGE_BYTES_MAX)
            match answer:
                case Probe(n=n):
                    channel.send_nowait(Probed(n, clock_us()))
                case Rejected(sentence=sentence):
                    raise NotAdmitted(sentence)
                case Welcome():
                    if not hmac.compare_digest(answer.proof, master_proof(secret, hello, answer, challenge.nonce)):
                        raise NotAdmitted("the master's secret is not the worker's: give both the same PARVIS_LOADTEST_SECRET")
                    return answer
                case _:
                    raise PeerError(CloseCode.BAD_REQUEST, f"{type(answer).__name__} where a welcome belongs")
    raise TimeoutError(f"{channel.peer} did not take this worker within {ADMISSION_DEADLINE_S:g} s: is that the master's port?")


def worker_proof(secret: bytes, hello: Hello, nonce: bytes) -> bytes:
    """What a worker that knows `secret` puts into its hello; b"" without one."""
    claims = (hello.parvis.encode(), hello.name.encode(), hello.boot_id.encode(), hello.scenario.encode())
    return _proof(secret, b"worker", (nonce, hello.nonce, *claims))


def master_proof(secret: bytes, hello: Hello, welcome: Welcome, nonce: bytes) -> bytes:
    """What a master that knows `secret` puts into its welcome; b"" without one."""
    claims = (str(welcome.index).encode(), str(welcome.offset_us).encode(), str(welcome.error_us).encode())
    return _proof(secret, b"master", (nonce, hello.nonce, *claims))


def _proof(secret: bytes, direction: bytes, parts: tuple[bytes, ...]) -> bytes:
    """Each part behind its length, so that none can lend a letter to its neighbour."""
    if not secret:
        return b""
    signed = b"".join(struct.pack("!I", len(part)) + part for part in (b"parvis loadtest", direction, *parts))
    return hmac.digest(secret, signed, "sha256")
