"""A worker's work put together, out of a scenario and a master's orders."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

import trio

from loadtest.connections.dialing import Dialer, find_targets, missing_source_ip
from loadtest.figures.messages import Hit, Prepare, Welcome
from loadtest.figures.tally import Tally
from loadtest.people.environment import Environment
from loadtest.people.scenario import Scenario, ScenarioError
from loadtest.readers.pool import ReaderPool
from loadtest.readers.reader import Reader
from loadtest.verdicts.verdict import Exit
from loadtest.workers.runner import Runner
from loadtest.workers.worker import WorkRefused

# How often it is looked whether readers have what they are waited for, and whether all have left.
_LOOK_S: Final = 0.05
# For goodbyes: a server that answers none does not keep a run from ending.
LEAVE_S: Final = 5.0


async def make_work(scenario: Scenario, prepare: Prepare, welcome: Welcome, clock_us: Callable[[], int]) -> Runner:
    """The users and readers of one worker; `clock_us` is this process's monotonic clock.  Raises `WorkRefused`."""
    missing = missing_source_ip(prepare.source_ips)
    if missing is not None:
        raise WorkRefused(missing, Exit.USAGE)
    try:
        options = scenario.option_values(prepare.options)
        cast = scenario.choose(prepare.tags, prepare.exclude_tags)
    except ScenarioError as error:
        raise WorkRefused(str(error), Exit.USAGE) from error
    try:
        targets = await find_targets(prepare.hosts)
    except ValueError as error:
        raise WorkRefused(str(error), Exit.UNREACHABLE) from error
    dialer = Dialer(targets, prepare.source_ips, prepare.connects_per_s_max)
    tally = Tally()
    rng = Random(f"{prepare.seed}/{welcome.index}/readers")
    pool = ReaderPool(dialer, tally, run=prepare.run, offset_us=welcome.offset_us, rng=rng)
    environment = Environment(
        scenario.events,
        prepare.hosts,
        options=options,
        tags=prepare.tags,
        exclude_tags=prepare.exclude_tags,
        run=prepare.run,
        seed=prepare.seed,
        worker_index=welcome.index,
        workers=prepare.workers,
    )
    return Runner(cast, environment, dialer, ReadersByClass(pool), tally, lambda: clock_us() + welcome.offset_us)


class ReadersByClass:
    """The pool as the runner sees it (`loadtest.workers.runner.Readers`): the last reader of a class that came leaves first."""

    def __init__(self, pool: ReaderPool) -> None:
        self._pool = pool
        self._readers: defaultdict[str, list[Reader]] = defaultdict(list)

    def open(self, name: str, rooms: tuple[str, ...]) -> None:
        self._readers[name].append(self._pool.open(rooms, name))

    def close(self, name: str) -> None:
        self._pool.close(self._readers[name].pop())

    def living(self, name: str) -> int:
        return len(self._readers[name])

    def servers(self) -> Counter[str]:
        return Counter(self._pool.servers)

    def hit(self, hit: Hit) -> None:
        self._pool.fault(hit.kind, hit.count, hit.seconds)

    async def run(self) -> None:
        await self._pool.run()

    async def finish(self, heads: Mapping[str, tuple[str, int]], settle_s: float) -> None:
        """Wait until all have what was acknowledged, or the time is over; then what is missing is lost, and all leave."""
        await _until(lambda: not self._pool.behind(heads), settle_s)
        self._pool.conclude(heads)
        for name in list(self._readers):
            while self._readers[name]:
                self.close(name)
        await _until(lambda: not self._pool.sockets, LEAVE_S)


async def _until(is_so: Callable[[], bool], seconds: float) -> None:
    """Look again and again, for so long."""
    give_up_at = trio.current_time() + seconds
    while not is_so() and trio.current_time() < give_up_at:  # noqa: ASYNC110  # no event is made of a million readers
        await trio.sleep(_LOOK_S)
