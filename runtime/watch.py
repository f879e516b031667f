"""How the process itself is doing: event loop lag, collector pauses, descriptors, memory."""

import gc
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psutil
import trio

from runtime.lifecycle import Lifecycle
from runtime.metrics import ProcessCounters

LAG_INTERVAL_S: Final = 0.25


def sample_process(counters: ProcessCounters, lifecycle: Lifecycle, build: dict[str, str]) -> None:
    """Give `counters` what is read at each scrape; `build` are the labels of parvis_build_info."""
    process = psutil.Process()
    counters.build = build
    counters.draining = lambda: float(lifecycle.is_draining)
    counters.fds_open = process.num_fds
    counters.fds_max = lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    counters.resident_bytes = lambda: process.memory_info().rss
    counters.cpu_seconds = lambda: sum(os.times()[:2])


async def watch_loop_lag(counters: ProcessCounters) -> None:
    """Sleep again and again, and count how much too late each sleep ended; until cancelled."""
    while True:
        due = trio.current_time() + LAG_INTERVAL_S
        await trio.sleep_until(due)
        counters.loop_lag_seconds.observe(max(0.0, trio.current_time() - due))


@contextmanager
def watched_collector(counters: ProcessCounters) -> Iterator[None]:
    """Count and time garbage collections while inside; the hook is the interpreter's, so one at a time is enough."""
    began = 0.0

    def hear(phase: str, details: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            counters.gc_collections[str(details["generation"])] += 1
            counters.gc_pause_seconds.observe(time.perf_counter() - began)

    gc.callbacks.append(hear)
    try:
        yield
    finally:
        gc.callbacks.remove(hear)
