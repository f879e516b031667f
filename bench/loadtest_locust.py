"""The same crowd as locust users with websocket-client, as somebody without our load test would write it.

Told in locust's favour: a message fires no event of its own (that takes a quarter of it), only a sum once a
second does; msgpack is decoded by its C library; the offset is checked and the stamp's moment read, as ours does.

    python -m bench.loadtest_locust '{"urls": ..., ...}'

Says and answers what `bench.loadtest_readers` does.
"""

import gc
import os
import resource
import sys
import time
from typing import Any

import gevent
import gevent.monkey

gevent.monkey.patch_all()

import msgpack  # noqa: E402  # behind the patch, as everything that may use sockets
import msgspec  # noqa: E402
import websocket  # noqa: E402
from gevent.fileobject import FileObjectThread  # noqa: E402
from locust import User, constant, task  # noqa: E402
from locust.env import Environment  # noqa: E402

from bench.loadtest_words import Crowd, Gathered, Mark  # noqa: E402
from loadtest.audits.stamp import intended_us_at  # noqa: E402
from wire.client_codec import Form, encode  # noqa: E402
from wire.client_messages import PROTOCOL_VERSION, Hello, JoinRequest  # noqa: E402

CROWD = msgspec.json.decode(sys.argv[1], type=Crowd)
GATHER_DEADLINE_S = 600.0
REST_S = 1.0
SUM_S = 1.0

latencies_us: list[int] = []
connects_us: list[int] = []
totals = {"frames": 0, "receives": 0, "violations": 0, "clients": 0}


class Lurker(User):
    """Connects, says hello, reads."""

    wait_time = constant(0)

    def on_start(self) -> None:
        began = time.monotonic()
        self.socket: Any = websocket.create_connection(
            CROWD.urls[0], subprotocols=[Form.MSGPACK.value], sockopt=((6, 1, 1),), enable_multithread=False
        )
        joins = [JoinRequest(room, limit=0) for room in CROWD.rooms]
        self.socket.send_binary(encode(Hello(PROTOCOL_VERSION, client="locust", joins=joins), Form.MSGPACK))
        welcome = msgpack.unpackb(self.socket.recv())
        self.offset = welcome["joins"][0]["offset"]
        connects_us.append(int((time.monotonic() - began) * 1e6))
        totals["clients"] += 1

    @task
    def read(self) -> None:
        frames = took_us = 0
        until = time.monotonic() + SUM_S
        while time.monotonic() < until:
            data = self.socket.recv()
            now_us = time.monotonic_ns() // 1000
            message = msgpack.unpackb(data)
            if message["t"] != "event":
                continue
            if message["offset"] != self.offset + 1:
                totals["violations"] += 1
            self.offset = message["offset"]
            latency_us = now_us - intended_us_at(data, len(data))
            latencies_us.append(latency_us)
            took_us += latency_us
            frames += 1
            totals["frames"] += 1
        self.environment.events.request.fire(
            request_type="WS", name="deliver", response_time=took_us / max(1, frames) / 1000, response_length=0, exception=None,
            context={},
        )  # fmt: skip


def _percentiles_ms(values: list[int]) -> tuple[float, float]:
    values.sort()
    if not values:
        return 0.0, 0.0
    found = values[len(values) // 2] / 1000, values[min(len(values) - 1, len(values) * 99 // 100)] / 1000
    values.clear()
    return found


def _rss_kib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def _say(message: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    environment = Environment(user_classes=[Lurker], host=CROWD.urls[0])
    runner = environment.create_local_runner()
    before, began = _rss_kib(), time.monotonic()
    runner.start(CROWD.clients, spawn_rate=CROWD.connects_per_s)
    with gevent.Timeout(GATHER_DEADLINE_S):
        while totals["clients"] < CROWD.clients:
            gevent.sleep(0.02)
    seconds = time.monotonic() - began
    gevent.sleep(REST_S)
    gc.collect()
    kib = (_rss_kib() - before) / CROWD.clients
    _say(Gathered(totals["clients"], seconds, *_percentiles_ms(connects_us), kib))
    lines = FileObjectThread(sys.stdin.buffer)
    while lines.readline():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        p50, p99 = _percentiles_ms(latencies_us)
        cpu_s = usage.ru_utime + usage.ru_stime
        _say(Mark(cpu_s, totals["frames"], 0, totals["clients"], totals["violations"], p50, p99))
    os._exit(0)


if __name__ == "__main__":
    main()
