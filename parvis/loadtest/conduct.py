"""One run of the load test on this machine: its master, the workers it starts, its probes and its faults.

Whoever wants a run without a command line (the worker behind a locust master does) gives an
`Understood` and takes the record.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import trio

from loadtest.figures.record import RunRecord, ServerProbe
from loadtest.master.admission import Terms
from loadtest.master.collector import Closed, Collector
from loadtest.master.conductor import START_LEAD_S
from loadtest.master.master import Master, RunFailed
from loadtest.master.probes import Probes, Source
from loadtest.master.server_faults import FaultsOnDemand
from loadtest.master.steering import LogLine
from loadtest.workers.dispatch import Dispatch
from parvis import VERSION
from parvis.loadtest.reading import Understood
from parvis.loadtest.workers import LocalWorkers
from runtime.process_list import boot_id
from runtime.transport import Listener

Beside = Callable[[Master, trio.Event], Awaitable[None]]
"""Something that goes on beside a run; the event is set when the run is over, and it must end then."""


async def conduct(
    understood: Understood,
    listener: Listener,
    *,
    rng: Random,
    sources: Sequence[Source] = (),
    beside: Sequence[Beside] = (),
    on_second: Callable[[Closed, Collector], None] = lambda _closed, _run: None,
    on_log: Callable[[LogLine], None] = lambda _line: None,
) -> RunRecord:
    """From the first worker to the record; owns everything that goes on meanwhile, and closes the listener.

    Raises `loadtest.master.master.RunFailed` when there was no run.  Cancelled, it ends its workers at once.
    """
    local = understood.local_workers
    # Nobody else may come in through the door of our own workers.
    secret = understood.secret if not local else rng.randbytes(32).hex().encode()
    master = Master(
        understood.orders,
        understood.shape,
        Dispatch(understood.cast.kinds()),
        Terms(VERSION, understood.scenario.digest, boot_id(), secret),
        clock_us=monotonic_us,
        wall_clock=time.time,
        rng=rng,
        on_second=on_second,
        on_log=on_log,
    )
    words = [
        "--worker", "--supervised", "--master-port", str(listener.port), "-f", str(understood.scenario.path),
    ]  # fmt: skip
    workers = LocalWorkers(local, words, secret)
    over = trio.Event()
    record: RunRecord | None = None
    failure: RunFailed | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(workers.run, master, over)
            for each in beside:
                nursery.start_soon(each, master, over)
            async with trio.open_nursery() as run_nursery:
                if sources:
                    run_nursery.start_soon(_probe, master, sources)
                run_nursery.start_soon(_do_faults, master, understood)
                try:
                    record = await master.run(listener)
                except RunFailed as no:
                    failure = no
                run_nursery.cancel_scope.cancel()
            over.set()
    finally:
        listener.close()
    if failure is not None:
        raise failure
    assert record is not None, "a run that has not failed has a record"
    return record


def monotonic_us() -> int:
    """This machine's clock that never goes back: the same for all its processes."""
    return time.monotonic_ns() // 1000


async def _probe(master: Master, sources: Sequence[Source]) -> None:
    def told(probes: list[ServerProbe]) -> None:
        master.collector.server = probes

    await Probes(sources, told, lambda sentence: master.say("warning", sentence)).run()


async def _do_faults(master: Master, understood: Understood) -> None:
    """From the run's zero to the end of its load: a shard that is killed in the reckoning would be blamed for it."""
    await master.begun.wait()
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await master.load_ended.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(end)
        await trio.sleep(START_LEAD_S)
        await FaultsOnDemand(understood.faults, understood.target_data_dir, master.hit, master.mark).run()
        nursery.cancel_scope.cancel()
