"""The emitter, its crowds and the speaker, small and whole: what is emitted is what is received."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from bench.loadtest_cases import Emitting
from bench.loadtest_emitter import RUN
from bench.loadtest_speaker import Speaker
from bench.loadtest_words import Emit, Gathered
from loadtest.audits.stamp import read_stamp
from tests.support.honest_gateway import HonestGateway


@contextmanager
def emitting(module: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emitting]:
    monkeypatch.setattr("bench.loadtest_cases._READERS", 5)
    started = Emitting(module)
    try:
        yield started
    finally:
        started.end()


@pytest.mark.parametrize("module", ["bench.loadtest_readers", "bench.loadtest_locust"])
def test_each_crowd_receives_every_frame_that_was_emitted(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with emitting(module, monkeypatch) as crowd:
        gathered = crowd.crowd.wait(Gathered, 60)
        assert gathered.clients == 5
        before = crowd.mark()
        emitted = crowd.emit(Emit(20, 100.0))
        assert (emitted.frames, emitted.blocked) == (100, 0)
        mark = crowd.mark()
        while mark.frames - before.frames < 100:
            mark = crowd.mark()
        assert (mark.frames - before.frames, mark.violations, mark.clients) == (100, 0, 5)
        assert mark.cpu_s > before.cpu_s


async def test_the_speaker_speaks_stamped_in_each_room() -> None:
    async with trio.open_nursery() as nursery:
        gateway = HonestGateway(nursery)
        url = await gateway.listen()
        port = int(url.rpartition(":")[2])

        def speak() -> int:
            speaker = Speaker(port, ["bench/a", "bench/b"])
            try:
                return speaker.speak(100.0, 0.05)
            finally:
                speaker.end()

        assert await trio.to_thread.run_sync(speak) == 5
        for name in ("bench/a", "bench/b"):
            events = gateway.rooms[name].events
            assert [event.id.startswith(f"lt-{RUN}-") and read_stamp(event.text) is not None for event in events] == [True] * 5
        nursery.cancel_scope.cancel()
