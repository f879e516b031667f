"""A worker of a run: it belongs to a master, does as it is told, and says once a second what it has measured.

The users and their measuring are a `Work` (`loadtest/workers/runner.py`); this file has the
connection, the beats, and the order in which a run begins and ends.  Whatever ends the
connection ends the users with it: nobody loads a server without a master.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import Final, Protocol

import trio

from loadtest.figures.messages import (
    Beat,
    Ended,
    Failed,
    Finish,
    Goal,
    Hello,
    Hit,
    Hush,
    Hushed,
    MasterMessage,
    Prepare,
    Probe,
    Probed,
    Quit,
    Ready,
    Start,
    Welcome,
    WorkerMessage,
)
from loadtest.master.admission import NotAdmitted, ToMaster, introduce
from loadtest.master.channel import to_master
from runtime.backoff import Backoff
from runtime.transport import Network, Transport
from wire.errors import PeerError

BEAT_S: Final = 1.0
# A master that has not come up yet is tried again and again.
MASTER_WAIT_S: Final = 60.0
CONNECT_DEADLINE_S: Final = 5.0
RETRY_BASE_S: Final = 0.2
RETRY_CAP_S: Final = 2.0
# A master asks every second whether its workers live: one that asks nothing is gone, whatever TCP believes.
MASTER_SILENT_S: Final = 15.0
LAST_WORDS_S: Final = 5.0


class Work(Protocol):
    """What a worker does (`loadtest.workers.runner.Runner`)."""

    async def run(self) -> None:
        """Be there for users until all have left; owns their tasks."""

    def begin(self, start_us: int) -> None:
        """The run's zero, on the master's clock; it may lie in the future."""

    def goal(self, goal: Goal) -> None: ...
    def hit(self, hit: Hit) -> None: ...
    async def hush(self, hush: Hush) -> None:
        """Returns when no task runs and no message is on its way."""

    async def finish(self, finish: Finish) -> None:
        """Returns when audits are closed and all have left."""

    def beat(self) -> Beat:
        """All that was measured since the last one."""


class WorkRefused(Exception):
    """Orders that this worker cannot carry out; one plain sentence, and the exit code that follows."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


class MasterLost(Exception):
    """There is no master (any more); one plain sentence."""


MakeWork = Callable[[Prepare, Welcome], Awaitable[Work]]
"""From the run's orders; raises `WorkRefused`."""


async def run_worker(
    network: Network,
    host: str,
    port: int,
    own: Hello,
    secret: bytes,
    make_work: MakeWork,
    *,
    clock_us: Callable[[], int],
    rng: Random,
) -> None:
    """From the first words to the master's last; `clock_us` is this machine's monotonic clock.

    Raises `NotAdmitted`, `WorkRefused` (the master has been told), or `MasterLost`.
    """
    transport = await _reach(network, host, port, rng)
    channel = to_master(transport)
    failure: Exception | None = None
    run: _Run | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write, channel)
            with _lost(host, port):
                welcome = await introduce(channel, own, secret, clock_us=clock_us, rng=rng)
            run = _Run(channel, welcome, make_work, clock_us)
            await run.obey(nursery, lambda: _lost(host, port))
            await channel.wait_sent(LAST_WORDS_S)
            nursery.cancel_scope.cancel()
    except* (NotAdmitted, MasterLost) as failures:
        failure = next(_leaves(failures))
    finally:
        channel.close()
    if run is not None and run.refusal is not None:
        # Whatever the master answered to it.
        raise run.refusal
    if failure is not None:
        raise failure


@contextmanager
def _lost(host: str, port: int) -> Iterator[None]:
    """What the connection to the master raises means that there is none any more."""
    try:
        yield
    except (PeerError, OSError, trio.ClosedResourceError) as error:
        raise MasterLost(f"the master at {host}:{port} is gone: {error}") from error


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _reach(network: Network, host: str, port: int, rng: Random) -> Transport:
    """Workers may be started before their master."""
    backoff = Backoff(rng, RETRY_BASE_S, RETRY_CAP_S)
    give_up_at = trio.current_time() + MASTER_WAIT_S
    while True:
        why = "it does not answer"
        with trio.move_on_after(CONNECT_DEADLINE_S):
            try:
                return await network.connect(host, port)
            except OSError as error:
                why = str(error)
        if trio.current_time() >= give_up_at:
            raise MasterLost(f"there is no master at {host}:{port} ({why}): start it, or say where it is with --master-host")
        await trio.sleep(backoff.next_delay())


async def _write(channel: ToMaster) -> None:
    try:
        await channel.write()
    except (OSError, trio.ClosedResourceError):
        channel.close()


class _Run:
    """What one worker knows of its run."""

    def __init__(self, channel: ToMaster, welcome: Welcome, make_work: MakeWork, clock_us: Callable[[], int]) -> None:
        self._channel = channel
        self._welcome = welcome
        self._make_work = make_work
        self._clock_us = clock_us
        self.refusal: WorkRefused | None = None
        """Why its orders cannot be carried out."""
        self._work: Work | None = None

    async def obey(self, nursery: trio.Nursery, lost: Callable[[], AbstractContextManager[None]]) -> None:
        """Hear the master until it says quit; `nursery` owns what goes on meanwhile."""
        while True:
            message: MasterMessage | None = None
            with trio.move_on_after(MASTER_SILENT_S), lost():
                message = await self._channel.receive()
            if message is None:
                raise MasterLost(f"the master has said nothing for {MASTER_SILENT_S:g} s")
            if isinstance(message, Quit):
                return
            self._do(message, nursery)

    def _do(self, message: MasterMessage, nursery: trio.Nursery) -> None:
        match message:
            case Probe(n=n):
                self._say(Probed(n, self._clock_us()))
            case Prepare():
                nursery.start_soon(self._prepare, message, nursery)
            case Start(at_us=at_us):
                self._known_work().begin(at_us)
                nursery.start_soon(self._beat, at_us)
            case Goal():
                self._known_work().goal(message)
            case Hit():
                self._known_work().hit(message)
            case Hush():
                nursery.start_soon(self._hush, message)
            case Finish():
                nursery.start_soon(self._finish, message)

    async def _prepare(self, prepare: Prepare, nursery: trio.Nursery) -> None:
        try:
            self._work = await self._make_work(prepare, self._welcome)
        except WorkRefused as no:
            # The master ends the run, and says so.
            self.refusal = no
            self._say(Failed(str(no), no.code))
            return
        nursery.start_soon(self._work.run)
        self._say(Ready())

    async def _beat(self, start_us: int) -> None:
        """On whole seconds of the run's clock, so that all workers' beats are of the same time."""
        second = 0
        while True:
            # What was missed while the loop did not turn is one long beat.
            second = max(second + 1, (self._now_us() - start_us) // 1_000_000 + 1)
            await trio.sleep((start_us + second * 1_000_000 - self._now_us()) / 1e6)
            self._say(self._known_work().beat())

    async def _hush(self, hush: Hush) -> None:
        await self._known_work().hush(hush)
        self._say(self._known_work().beat())
        self._say(Hushed())

    async def _finish(self, finish: Finish) -> None:
        await self._known_work().finish(finish)
        self._say(self._known_work().beat())
        self._say(Ended())

    def _now_us(self) -> int:
        """On the master's clock."""
        return self._clock_us() + self._welcome.offset_us

    def _known_work(self) -> Work:
        if self._work is None:
            raise MasterLost("the master gave orders before it said what for")
        return self._work

    def _say(self, message: WorkerMessage) -> None:
        if not self._channel.send_nowait(message):
            raise MasterLost("the master takes nothing of what it is told")
