"""loadtest/web/board.py: what the watchers of a run are told."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from loadtest.web.board import MOMENTS_BEHIND_MAX, POINTS_MAX, Board
from tests.support.steered_run import LOST, SteeredRun


async def next_event(stream: AsyncIterator[bytes]) -> tuple[str, Any]:
    event = (await anext(stream)).decode()
    if event.startswith(":"):
        return "alive", None
    kind, _, body = event.removeprefix("event: ").partition("\ndata: ")
    assert body.endswith("\n\n")
    assert "\n" not in body.strip(), "an event's data are one line"
    return kind, json.loads(body)


async def events_until(stream: AsyncIterator[bytes], last: str) -> list[tuple[str, Any]]:
    events = [await next_event(stream)]
    while events[-1][0] != last:
        events.append(await next_event(stream))
    return events


async def test_who_comes_in_mid_run_is_told_everything_at_once() -> None:
    run = SteeredRun()
    run.start(1000, 100.0)
    run.advance(20)
    board = Board(run)
    board.look(with_tables=True)
    async with aclosing(board.watch()) as stream:
        told = dict([await next_event(stream) for _ in range(4)])
    assert set(told) == {"past", "standing", "log", "tables"}
    assert told["past"]["at"] == list(range(1, 21))
    assert told["past"]["columns"]["users.living"][-1] == 1000
    assert told["standing"]["phase"] == "running"
    assert told["log"][0]["text"] == "2 of 2 workers are here"
    assert told["tables"]["verdict"]["word"] == "PASS"


async def test_a_long_past_is_thinned() -> None:
    run = SteeredRun()
    run.start(10, 1.0)
    run.advance(5 * POINTS_MAX)
    async with aclosing(Board(run).watch()) as stream:
        kind, past = await next_event(stream)
    assert (kind, past["every_s"], len(past["at"])) == ("past", 4, 5 * POINTS_MAX // 4)


async def test_each_second_is_told_once_to_everybody(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    run = SteeredRun()
    run.start(1000, 100.0)
    board = Board(run)
    nursery.start_soon(board.run)
    async with aclosing(board.watch()) as one, aclosing(board.watch()) as other:
        for stream in (one, other):
            await events_until(stream, "past")
        for second in range(1, 4):
            run.advance()
            for stream in (one, other):
                events = await events_until(stream, "moment")
                assert [kind for kind, _ in events].count("moment") == 1
                assert events[-1][1]["at"] == second


async def test_a_slow_watcher_is_told_of_each_second_until_it_is_told_the_whole_again() -> None:
    run = SteeredRun()
    run.start(1000, 100.0)
    board = Board(run)
    async with aclosing(board.watch()) as slow:
        await events_until(slow, "tables")
        run.advance(MOMENTS_BEHIND_MAX)
        board.look(with_tables=False)
        caught_up = [await next_event(slow) for _ in range(MOMENTS_BEHIND_MAX)]
        assert [(kind, body["at"]) for kind, body in caught_up] == [("moment", at) for at in range(1, MOMENTS_BEHIND_MAX + 1)]
        await events_until(slow, "standing")
        run.advance(MOMENTS_BEHIND_MAX + 1)
        board.look(with_tables=False)
        kind, past = await next_event(slow)
    assert (kind, past["at"][-1]) == ("past", 2 * MOMENTS_BEHIND_MAX + 1)


async def test_what_has_not_changed_is_not_repeated() -> None:
    run = SteeredRun()
    board = Board(run)
    async with aclosing(board.watch()) as stream:
        await events_until(stream, "tables")
        run.find(LOST)
        board.look(with_tables=True)
        kind, tables = await next_event(stream)
        assert kind == "tables"
        assert tables["findings"][0]["room"] == "square/main"
        run.start(10, 1.0)
        board.look(with_tables=True)
        assert (await next_event(stream))[0] == "standing"


async def test_a_silent_stream_says_that_it_is_alive(autojump_clock: MockClock) -> None:
    board = Board(SteeredRun())
    async with aclosing(board.watch()) as stream:
        await events_until(stream, "tables")
        assert (await next_event(stream))[0] == "alive"


async def test_tables_are_made_only_while_somebody_watches(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    run = SteeredRun()
    board = Board(run)
    nursery.start_soon(board.run)
    await trio.sleep(60)
    assert run.records_made == 0
    async with aclosing(board.watch()) as stream:
        await events_until(stream, "tables")
        assert board.watchers == 1
    await wait_all_tasks_blocked()
    assert board.watchers == 0
    made = run.records_made
    await trio.sleep(60)
    assert run.records_made == made > 0


async def test_the_histograms_of_rows_stay_at_home() -> None:
    run = SteeredRun()
    run.start(10, 1.0)
    run.advance()
    async with aclosing(Board(run).watch()) as stream:
        row = (await events_until(stream, "tables"))[-1][1]["rows"][0]
    assert row["name"] == "deliver"
    assert "latencies" not in row
