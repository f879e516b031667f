"""parvis/workers.py: one gateway of several processes, as its clients and its operator meet it."""

import itertools
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import psutil
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from client.client import connect
from client.updates import Reconnecting, Stopped
from parvis.workers import WorkerArguments, count_of
from runtime.lifecycle import ExitCode
from runtime.schema import GatewaySettings, Settings
from runtime.settings import load_settings
from tests.support.http import fetch
from tests.support.parvis_program import run_parvis
from tests.support.parvis_roles import Roles
from tests.support.talk import ROOM, lines_of, read_lines, say
from tests.support.tls import write_authority, write_pair

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: parvis.v1.msgpack\r\n\r\n"
)


def test_auto_is_a_worker_for_each_core_that_may_be_used() -> None:
    assert count_of("auto") == len(os.sched_getaffinity(0))
    assert count_of(3) == 3


def test_a_worker_has_the_settings_of_the_gateway_but_for_its_name_its_share_and_its_admin_port() -> None:
    gateway = GatewaySettings(id="noon", admin_port=9100, connections_max=9000, connections_soft_max=8000, accepts_per_s=900.0)
    arguments = WorkerArguments(Settings(gateway=gateway), 3, Path("a.toml"), ("gateway.connections_max=9000",))
    words = arguments.words(2, 7)
    assert words[:6] == ["gateway", "--supervised", "--listen-fd", "7", "--config", "a.toml"]
    flags = dict(word.split("=", 1) for flag, word in itertools.pairwise(words) if flag == "--set")
    worker = load_settings(flags=flags).settings.gateway
    assert (worker.id, worker.connections_max, worker.connections_soft_max, worker.accepts_per_s) == ("noon.2", 3000, 2666, 300.0)
    assert (worker.admin_host, worker.admin_port) == ("127.0.0.1", 0)


class Gateway:
    """A gateway of two workers, and a shard for it."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self.port = int(self._logged("ready"))
        self.admin_port = int(self._logged("admin_port_open"))
        self.url = f"ws://127.0.0.1:{self.port}"

    def _logged(self, event: str) -> str:
        found = re.search(rf'"event": "{event}", "node": "gateway-1", .*"port": (\d+)', self.log)
        assert found is not None
        return found[1]

    @property
    def log(self) -> str:
        return self._roles.log("gateway-1")

    def workers(self) -> dict[str, psutil.Process]:
        """Those that live, by name."""
        found = {}
        for child in psutil.Process(self._roles.processes["gateway-1"]._process.pid).children():
            # One that has just died has no command line any more.
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                names = [word.partition("=")[2] for word in child.cmdline() if word.startswith("gateway.id=")]
                if names:
                    found[names[-1]] = child
        return found

    async def figure(self, name: str) -> dict[str, float]:
        """One metric's samples by worker."""
        answer = await fetch(self.admin_port, "/metrics")
        families = text_string_to_metric_families(answer.body.decode())
        return {
            sample.labels["worker"]: sample.value for family in families for sample in family.samples if sample.name == name
        }

    async def until_figure(self, name: str, total: float) -> None:
        with trio.fail_after(30):
            while sum((await self.figure(name)).values()) != total:
                await trio.sleep(0.05)

    async def is_ready(self) -> bool:
        return (await fetch(self.admin_port, "/readyz")).status == 200

    def signal(self, number: int) -> None:
        self._roles.processes["gateway-1"].send_signal(number)

    async def exit_code(self) -> int:
        return await self._roles.processes["gateway-1"].wait()


@asynccontextmanager
async def running(directory: Path, *more: str) -> AsyncIterator[Gateway]:
    roles = Roles(directory, [])
    try:
        roles.start("broker", "shard-1")
        await roles.ready("shard-1")
        shards = f"cluster.shards=shard-1=127.0.0.1:{roles.port_of('shard-1')}"
        roles.start("gateway", "gateway-1", "--workers", "2", "--set", shards, *more)
        await roles.said("gateway-1", '"event": "ready", "node": "gateway-1",')
        gateway = Gateway(roles)
        with trio.fail_after(30):
            while not await gateway.is_ready():
                await trio.sleep(0.05)
        yield gateway
    finally:
        roles.close()


async def test_a_worker_that_is_killed_is_replaced_and_its_clients_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway, trio.open_nursery() as nursery:
        clients = []
        for number in range(10):
            manager = connect([gateway.url], name=f"p{number}", rng=Random(number), rooms=[ROOM])
            clients.append(await nursery.start(_hold, manager))
        for number, client in enumerate(clients):
            await say(client, [f"before {number}"], patient=True)
        assert sum((await gateway.figure("parvis_gateway_connections")).values()) == 10
        workers = gateway.workers()
        assert sorted(workers) == ["gateway-1.1", "gateway-1.2"]
        workers["gateway-1.1"].kill()
        await gateway.until_figure("parvis_worker_restarts_total", 1)
        await gateway.until_figure("parvis_workers_up", 2)
        for number, client in enumerate(clients):
            await say(client, [f"after {number}"], patient=True)
        for client in clients:
            seen = await read_lines(client, "after 9")
            assert [offset for offset, _ in seen] == list(range(1, 21))
        await gateway.until_figure("parvis_gateway_connections", 10)
        assert await gateway.is_ready()
        nursery.cancel_scope.cancel()


async def _hold(manager: object, *, task_status: trio.TaskStatus[object]) -> None:
    async with manager as client:  # type: ignore[attr-defined]
        task_status.started(client)
        await trio.sleep_forever()


async def test_who_waits_in_the_queue_of_a_killed_worker_is_served_by_its_successor(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        victim = gateway.workers()["gateway-1.2"]
        victim.suspend()
        # The kernel deals them out by a hash: that none of 24 lies with the one that is stopped happens once in 16 million runs.
        streams = [await trio.open_tcp_stream("127.0.0.1", gateway.port) for _ in range(24)]
        for stream in streams:
            await stream.send_all(UPGRADE)
        victim.kill()
        with trio.fail_after(30):
            answers = [await stream.receive_some(4096) for stream in streams]
        assert all(answer.startswith(b"HTTP/1.1 101 ") for answer in answers)
        await gateway.until_figure("parvis_gateway_connections_opened_total", 24)
        opened = await gateway.figure("parvis_gateway_connections_opened_total")
        assert opened["2"] > 0, "the successor has counted from 0"
        for stream in streams:
            await stream.aclose()


@pytest.mark.parametrize("whom", ["the parent", "everybody"])
async def test_a_drain_is_not_ready_first_then_sends_everyone_away_and_ends_with_0(tmp_path: Path, whom: str) -> None:
    """A supervisor may signal the parent alone, or, as systemd does, all processes of the service."""
    # Long enough that a busy machine sees both halves of a drain, each of which the test waits for.
    patience = ["--set", "gateway.drain_notice_s=4", "--set", "gateway.drain_deadline_s=2"]
    async with running(tmp_path, *patience) as gateway, trio.open_nursery() as nursery:
        ends: list[object] = []
        outcomes: set[str] = set()

        async def client(number: int, *, task_status: trio.TaskStatus[None]) -> None:
            async with connect([gateway.url], name=f"p{number}", rng=Random(number), rooms=[ROOM]) as it:
                await say(it, [f"hello {number}"], patient=True)
                task_status.started()
                async for update in it.events():
                    if isinstance(update, Reconnecting | Stopped):
                        ends.append(update)
                        return

        async def knock() -> None:
            while True:
                outcomes.add(await _knock(gateway.port))
                await trio.sleep(0.02)

        for number in range(6):
            await nursery.start(client, number)
        nursery.start_soon(knock)
        workers = gateway.workers().values()
        gateway.signal(signal.SIGTERM)
        if whom == "everybody":
            for worker in workers:
                worker.terminate()
        with trio.fail_after(10):
            while await gateway.is_ready():
                await trio.sleep(0.01)
        assert await _knock(gateway.port) == "served", "a balancer may not have looked yet"
        assert await gateway.exit_code() == 0
        with trio.fail_after(10):
            while len(ends) < 6:
                await trio.sleep(0.01)
        assert {getattr(end, "code", 0) for end in ends} <= {3000, 3001}, "told to come back elsewhere"
        nursery.cancel_scope.cancel()
    assert outcomes == {"served", "refused"}, "no attempt is reset"


async def _knock(port: int) -> str:
    """What becomes of one attempt to connect."""
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return "refused"
    async with stream:
        try:
            await stream.send_all(UPGRADE)
            with trio.fail_after(20):
                return "served" if await stream.receive_some(4096) else "closed"
        except trio.BrokenResourceError:
            return "reset"


async def test_when_the_parent_is_killed_the_workers_leave(tmp_path: Path) -> None:
    async with running(tmp_path, "--set", "gateway.drain_notice_s=0") as gateway:
        workers = gateway.workers().values()
        gateway.signal(signal.SIGKILL)
        await gateway.exit_code()
        with trio.fail_after(30):
            while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in workers):
                await trio.sleep(0.05)


@pytest.mark.parametrize("kind", ["a stranger's", "one of workers"])
async def test_a_port_that_is_taken_is_told(tmp_path: Path, kind: str) -> None:
    """With SO_REUSEPORT alone, a second gateway would silently get half of the first one's clients."""
    with socket.socket() as taken:
        if kind == "one of workers":
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = ["--workers", "2", "--data-dir", str(tmp_path), "--set", f"gateway.port={taken.getsockname()[1]}"]
        ended = await run_parvis("gateway", *words)
    assert ended.code == ExitCode.UNAVAILABLE
    assert "cannot listen on 127.0.0.1" in ended.err


async def test_a_gateways_name_that_leaves_no_room_for_the_workers_is_told(tmp_path: Path) -> None:
    ended = await run_parvis("gateway", "--workers", "2", "--data-dir", str(tmp_path), "--set", f"gateway.id={'g' * 63}")
    assert ended.code == ExitCode.CONFIG
    assert "gateway.id" in ended.err


@pytest.mark.parametrize("workers", ["0", "-1", "1000", "many"])
async def test_a_number_of_workers_that_cannot_be_is_a_mistake_of_the_command_line(tmp_path: Path, workers: str) -> None:
    ended = await run_parvis("gateway", "--workers", workers, "--data-dir", str(tmp_path))
    assert ended.code == ExitCode.USAGE


async def test_workers_speak_tls_and_take_up_a_new_certificate_when_their_parent_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_pair(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(write_authority(tmp_path)))
    tls = ["--set", f"gateway.tls_certificate={files.certificate}", "--set", f"gateway.tls_key={files.key}"]
    async with running(tmp_path, *tls) as gateway, connect([_wss(gateway)], name="Ada", rng=Random(1), rooms=[ROOM]) as ada:
        await say(ada, ["before"], patient=True)
        write_pair(tmp_path)
        gateway.signal(signal.SIGHUP)
        with trio.fail_after(30):
            while gateway.log.count('"event": "tls_certificate_changed"') < 2:
                await trio.sleep(0.05)
        await say(ada, ["after"], patient=True)
        assert await lines_of([_wss(gateway)], "after") == [(1, "before"), (2, "after")]
        assert all(left > 0 for left in (await gateway.figure("parvis_gateway_tls_certificate_expiry_seconds")).values())


def _wss(gateway: Gateway) -> str:
    return gateway.url.replace("ws:", "wss:")
