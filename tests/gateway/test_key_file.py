"""The key file: a rotation reaches a gateway by itself, and a broken file changes nothing."""

from pathlib import Path

import pytest
import structlog
import trio
from structlog.testing import LogCapture
from trio.testing import MockClock

from gateway.key_file import KeyFile
from gateway.keys import BadKeys
from tests.support.tokens import key_set_text
from wire.limits import TOKEN_KEYS_LOOK_INTERVAL_S


@pytest.fixture
def hurried_clock() -> MockClock:
    """A hundred times real time, and no jumps: a worker thread's time is real."""
    return MockClock(rate=100.0)


async def test_keys_are_rotated_by_writing_the_file_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set_text("HS256"))
    file, capture = KeyFile(path), LogCapture()
    log = structlog.wrap_logger(None, processors=[capture])
    path.write_bytes(key_set_text("HS256", "ES256"))
    await file.look(log)
    both = ["ES256", "HS256"]
    assert sorted(file.keys.by_kid) == both
    path.write_bytes(b"half of a f")
    await file.look(log)
    await file.look(log)
    assert sorted(file.keys.by_kid) == both
    path.unlink()
    await file.look(log)
    assert sorted(file.keys.by_kid) == both
    path.write_bytes(key_set_text("ES256"))
    await file.look(log)
    assert sorted(file.keys.by_kid) == ["ES256"]
    events = [entry["event"] for entry in capture.entries]
    assert events == ["token_keys_changed", "token_keys_refused", "token_keys_refused", "token_keys_changed"]


async def test_the_file_is_looked_at_again_and_again(tmp_path: Path, hurried_clock: MockClock) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set_text("HS256"))
    file = KeyFile(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(file.watch, structlog.wrap_logger(None, processors=[LogCapture()]))
        for algorithm in ("ES256", "EdDSA"):
            path.write_bytes(key_set_text(algorithm))
            while algorithm not in file.keys.by_kid:
                await trio.sleep(TOKEN_KEYS_LOOK_INTERVAL_S)
        nursery.cancel_scope.cancel()


def test_a_gateway_does_not_start_with_keys_that_it_cannot_use(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(FileNotFoundError):
        KeyFile(path)
    path.write_text("no keys")
    with pytest.raises(BadKeys):
        KeyFile(path)
