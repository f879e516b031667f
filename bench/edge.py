"""What one connection costs at the websocket edge: memory when idle, CPU for a handshake, a message, a ping.

Two servers that read messages and drop them are measured in turn, each in a process of its
own: the gateway's edge, and trio-websocket's `serve_websocket`.  The load side is this
process, on blocking sockets, and is not counted.  Messages and pings come one at a time
from each of 500 connections, as people send them: half of the cost is then trio's waking
of a task.  In a burst (20 messages in one read) that is shared and the parser remains.

    python -m bench.edge [--connections 5000] [--rounds 30] [--runs 1]
"""

import argparse
import gc
import importlib.metadata
import os
import platform
import random
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial

import structlog
import trio
import trio_websocket

from bench.procfs import cpu_seconds, pss_kib
from gateway.accept import Admission, accept_forever
from gateway.handshake import RequestHead
from gateway.inbound import InboundFrames
from gateway.upgrade import UpgradeRules, upgrade
from gateway.websocket import WebSocketReader
from loadtest.connections.greeting import masked_frame
from runtime.metrics import GatewayCounters
from runtime.sockets import SocketNetwork
from runtime.transport import Transport
from wire.client_codec import Form
from wire.frames import OPCODE_BINARY, OPCODE_PING
from wire.limits import CLIENT_FRAME_BYTES_MAX

EDGES = ("parvis", "trio-websocket")
PAYLOAD = b"x" * 128
MASK = b"\x11\x22\x33\x44"
MESSAGE = masked_frame(PAYLOAD, MASK, OPCODE_BINARY)
PING = masked_frame(b"ping", MASK, OPCODE_PING)
PONG_BYTES = 2 + 4
# What a browser sends: five lines of ours, eight of its own.
REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: parvis.example\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
    b"Upgrade: websocket\r\nOrigin: https://parvis.example\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Accept-Language: en-GB,en;q=0.9\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: parvis.v1.msgpack\r\n\r\n"
)
# Handshakes under way at once: a flash crowd, but no more than the backlog holds.
HANDSHAKES_AT_ONCE = 64
WARM_UP_CONNECTIONS = 200
TALKERS = 500
BURST_MESSAGES = 20
# Between two rounds: all of one is read before the next comes, and nobody sends more than 20 pings a second.
PAUSE_S = 0.06


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one server, in one run."""

    idle_kib: float
    handshake_us: float
    message_us: float
    burst_message_us: float
    ping_us: float


# --- the servers, each in a process of its own ----------------------------------------------------


async def _serve_parvis() -> None:
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    admission = Admission(100_000, 100_000, 100_000)
    rules = UpgradeRules(origins=("*",))

    async def handle(transport: Transport) -> None:
        try:
            upgraded = await upgrade(transport, rules)
        finally:
            admission.handshake_over()
        reader = WebSocketReader(transport, upgraded.form, upgraded.leftover, push=transport.try_send)
        while True:
            await reader.receive()

    print(listener.port, flush=True)
    async with trio.open_nursery() as nursery:
        await accept_forever(
            listener, handle, nursery,
            admission=admission, log=structlog.get_logger(), counters=GatewayCounters(), rng=random.Random(0),
        )  # fmt: skip


async def _serve_trio_websocket() -> None:
    async def handle(request: trio_websocket.WebSocketRequest) -> None:
        connection = await request.accept(subprotocol="parvis.v1.msgpack")
        try:
            while True:
                await connection.get_message()
        except trio_websocket.ConnectionClosed:
            return

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, ssl_context=None))
        print(server.port, flush=True)


def _serve(edge: str) -> None:
    # As the gateway runs: with default thresholds full collections take a quarter of the accept CPU.
    gc.set_threshold(50_000, 20, 100)
    trio.run(_serve_parvis if edge == "parvis" else _serve_trio_websocket)


@contextmanager
def _server(edge: str) -> Iterator[tuple[int, int]]:
    """Start one; its process id and port."""
    process = subprocess.Popen([sys.executable, "-m", "bench.edge", "--serve", edge], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None, "started with a pipe"
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


# --- the load ---------------------------------------------------------------------------------------


def _open(port: int, count: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    while len(opened) < count:
        batch = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(HANDSHAKES_AT_ONCE, count - len(opened)))]
        for client in batch:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(REQUEST)
        for client in batch:
            answer = client.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101 "), answer
        opened += batch
    return opened


def _ping_round(talkers: list[socket.socket]) -> None:
    for client in talkers:
        client.sendall(PING)
    for client in talkers:
        assert len(client.recv(PONG_BYTES, socket.MSG_WAITALL)) == PONG_BYTES
    time.sleep(PAUSE_S)


def _message_round(talkers: list[socket.socket], data: bytes) -> None:
    """Messages have no answer: the pause is long enough for all of them."""
    for client in talkers:
        client.sendall(data)
    time.sleep(PAUSE_S * len(data) / len(MESSAGE) / 2 + PAUSE_S)


def measure(edge: str, connections: int, rounds: int) -> Cost:
    """One run: some seconds."""
    with _server(edge) as (pid, port):
        warm = _open(port, WARM_UP_CONNECTIONS)
        before_kib = pss_kib([pid])
        began_s = cpu_seconds([pid])
        clients = _open(port, connections)
        handshake_us = (cpu_seconds([pid]) - began_s) * 1e6 / connections
        idle_kib = (pss_kib([pid]) - before_kib) / connections
        talkers = clients[:TALKERS]
        ping_us = _cpu_us(pid, partial(_ping_round, talkers), rounds) / len(talkers)
        message_us = _cpu_us(pid, partial(_message_round, talkers, MESSAGE), rounds) / len(talkers)
        burst_us = _cpu_us(pid, partial(_message_round, talkers, MESSAGE * BURST_MESSAGES), 1 + rounds // 10) / len(talkers)
        for client in (*warm, *clients):
            client.close()
    return Cost(idle_kib, handshake_us, message_us, burst_us / BURST_MESSAGES, ping_us)


def _cpu_us(pid: int, work: Callable[[], None], rounds: int) -> float:
    """The server's CPU for one round."""
    began_s = cpu_seconds([pid])
    for _ in range(rounds):
        work()
    return (cpu_seconds([pid]) - began_s) * 1e6 / rounds


def parsing_us() -> tuple[float, float]:
    """What of it is parsing, without any I/O: one handshake, one message after an idle time."""
    count = 5000

    def timed(work: Callable[[], object]) -> float:
        began = time.process_time()
        for _ in range(count):
            work()
        return (time.process_time() - began) * 1e6 / count

    def handshake() -> None:
        head = RequestHead()
        head.feed(REQUEST)
        head.judge(("*",), (Form.MSGPACK, Form.JSON))

    def message() -> None:
        frames = InboundFrames(Form.MSGPACK, CLIENT_FRAME_BYTES_MAX)
        frames.feed(MESSAGE)
        frames.next_event()
        frames.next_event()

    return timed(handshake), timed(message)


# --- the table ----------------------------------------------------------------------------------------


def _machine() -> str:
    packages = ("trio", "httptools", "wsproto", "trio-websocket")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    return f"{machine}, Python {platform.python_version()}, {versions}"


def _cell(values: list[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:.1f}" if len(values) == 1 else f"{middle:.1f} ({min(values):.1f}-{max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="What one connection costs at the websocket edge.")
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--serve", choices=EDGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.serve:
        _serve(options.serve)
        return
    costs = {edge: [measure(edge, options.connections, options.rounds) for _ in range(options.runs)] for edge in EDGES}
    handshake_us, message_us = parsing_us()
    print(_machine())
    print(f"python -m bench.edge --connections {options.connections} --rounds {options.rounds} --runs {options.runs}")
    print("| edge | KiB per idle connection | CPU us per handshake | per message | per message in a burst | per ping and pong |")
    print("|---|---|---|---|---|---|")
    for edge, runs in costs.items():
        cells = [_cell([getattr(cost, field.name) for cost in runs]) for field in fields(Cost)]
        print(f"| {edge} | {' | '.join(cells)} |")
    print(f"Of parvis' figures parsing is {handshake_us:.1f} us a handshake, {message_us:.1f} us a message.")


if __name__ == "__main__":
    main()
