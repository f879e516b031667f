"""parvis/one_process.py: all roles in one event loop, and the order in which they end."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
import trio

from client.client import connect
from parvis.errors import explain
from parvis.one_process import run_in_one_process
from parvis.parts import Host
from runtime.http_server import listen
from runtime.lifecycle import ExitCode, Lifecycle
from runtime.logs import make_logger
from runtime.schema import GatewaySettings, LogSettings, Settings
from runtime.transport import Listener
from tests.support.http import fetch
from tests.support.talk import ROOM, lines_of, say


def host_for(data_dir: Path, gateway_port: int = 0) -> Host:
    gateway = GatewaySettings(port=gateway_port, drain_deadline_s=0.5, drain_notice_s=0.0)
    return Host(Settings(data_dir=str(data_dir), gateway=gateway), Lifecycle(), make_logger(LogSettings(level="error")))


async def test_it_serves_and_ends_with_every_line_on_disk(tmp_path: Path) -> None:
    for n in (1, 2):
        host = host_for(tmp_path)
        sock = listen("127.0.0.1", 0)
        page_port = sock.getsockname()[1]
        ports: list[int] = []
        is_up = trio.Event()

        def announce(gateways: Sequence[int], admin: Listener, ports: list[int] = ports, is_up: trio.Event = is_up) -> None:
            ports.extend(gateways)
            is_up.set()

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_in_one_process, host, sock, announce)
                await is_up.wait()
                urls = [f"ws://127.0.0.1:{port}" for port in ports]
                assert (await fetch(page_port, "/config.json")).body.decode() == f'{{"websocket_urls":["{urls[0]}/"]}}'
                async with connect(urls, name="Ada", rng=Random(n), rooms=[ROOM]) as ada:
                    assert await say(ada, [f"start {n}"]) == {f"start {n}": n}
                assert await lines_of(urls, f"start {n}") == [(k, f"start {k}") for k in range(1, n + 1)]
                host.lifecycle.start_drain("the test is over")
    # Closed in order: SQLite has put its write-ahead log away.
    assert "journal.sqlite-wal" not in {path.name for path in tmp_path.iterdir()}


async def test_a_gateway_that_cannot_listen_ends_everything_that_was_started(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken, listen("127.0.0.1", 0) as page:
        host = host_for(tmp_path, taken.getsockname()[1])
        with pytest.raises(ExceptionGroup) as raised:
            await run_in_one_process(host, page, lambda _ports, _admin: pytest.fail("it is not up"))
    told = explain(raised.value)
    assert told is not None
    assert told.code == ExitCode.UNAVAILABLE
