"""What the process tells about itself."""

import gc
import time

import pytest
import trio

from runtime.exposition import MetricsRegistry
from runtime.lifecycle import Lifecycle
from runtime.metrics import ProcessCounters
from runtime.watch import LAG_INTERVAL_S, sample_process, watch_loop_lag, watched_collector


def test_a_scrape_shows_descriptors_memory_and_the_drain() -> None:
    registry, counters, lifecycle = MetricsRegistry(), ProcessCounters(), Lifecycle()
    registry.expose(counters)
    sample_process(counters, lifecycle, {"version": "0.1.0", "python": "3.11"})
    before = registry.render().decode()
    assert 'parvis_build_info{python="3.11",version="0.1.0"} 1.0' in before
    assert "parvis_draining 0.0" in before
    for name in ("parvis_fds_open", "parvis_fds_limit", "parvis_resident_memory_bytes", "parvis_cpu_seconds_total"):
        assert float(before.partition(f"\n{name} ")[2].partition("\n")[0]) > 0
    lifecycle.start_drain("a test")
    assert "parvis_draining 1.0" in registry.render().decode()


async def test_an_idle_loop_has_no_lag(autojump_clock: trio.testing.MockClock) -> None:
    counters = ProcessCounters()
    with trio.move_on_after(10 * LAG_INTERVAL_S + 0.01):
        await watch_loop_lag(counters)
    assert counters.loop_lag_seconds.count == 10
    assert counters.loop_lag_seconds.buckets[0] == 10


async def test_a_task_that_holds_the_loop_is_seen_as_lag(mock_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    counters = ProcessCounters()
    nursery.start_soon(watch_loop_lag, counters)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(LAG_INTERVAL_S + 0.7)
    await trio.testing.wait_all_tasks_blocked()
    assert counters.loop_lag_seconds.last == pytest.approx(0.7)


def test_collections_are_counted_and_timed_while_watched() -> None:
    counters = ProcessCounters()
    began = time.perf_counter()
    with watched_collector(counters):
        gc.collect()
    assert counters.gc_collections["2"] == 1
    assert 0 < counters.gc_pause_seconds.last < time.perf_counter() - began
    gc.collect()
    assert counters.gc_collections["2"] == 1
