"""Publishing straight over links: the load side of a shard, without websockets and gateways.

It introduces itself as gateways do, with the cluster's secret, and keeps a window of
commands unanswered on each link: what a gateway of many people looks like to a shard.
Commands are packed before they are due, and answers are decoded whole: both cost this
process, which is not counted.

    python -m bench.linkload '{"address": ..., ...}'       (an Order; answers with one Report)
"""

import resource
import sys
import time
from pathlib import Path
from random import SystemRandom

import msgspec
import trio
from msgspec import Struct

from bench.latency import LatencyHistogram
from runtime.link import Link, open_client_link
from runtime.sockets import SocketNetwork
from wire.node_messages import AnyNodeMessage, CommandRefused, Committed, OutcomeUnknown, PublishCommand, encode_node_message

# What one link has sent and not been answered for is sent in pieces: a wake-up for each answer would cost more than the answer.
BURST_MIN = 32


class Order(Struct, frozen=True):
    """What to publish, and where.  `window` is per link; `rate` 0 means as fast as the window allows."""

    host: str
    port: int
    secret_file: str
    rooms: list[str]
    links: int
    window: int
    warm_s: float
    seconds: float
    payload_bytes: int
    run: str
    rate: float = 0.0


class Report(Struct, frozen=True):
    """What came back within the measured seconds."""

    committed: int
    refused: int
    unknown: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float

    @property
    def committed_per_s(self) -> float:
        return self.committed / self.seconds


class Speaker:
    """One link: its window, its place among the rooms."""

    def __init__(self, link: Link, number: int, order: Order) -> None:
        self._link = link
        self._order = order
        self._author = f"author-{number:02d}"
        self._number = number
        self._text = "." * (order.payload_bytes - 16)
        self._sent = 0
        self._answered = 0
        self._sent_at: dict[int, float] = {}
        self.latencies = LatencyHistogram()
        self.counts = {Committed: 0, CommandRefused: 0, OutcomeUnknown: 0}
        self.is_measuring = False
        self.is_over = False
        self._answers_came = trio.Event()

    def on_message(self, message: AnyNodeMessage) -> None:
        kind = type(message)
        if kind not in self.counts:
            return
        self._answered += 1
        began = self._sent_at.pop(message.request)  # type: ignore[union-attr]
        if self.is_measuring:
            self.counts[kind] += 1
            self.latencies.record(int((time.monotonic() - began) * 1e6))
        if self._sent - self._answered <= self._order.window - BURST_MIN:
            self._answers_came.set()

    async def speak(self) -> None:
        """Keep the window full until told that it is over; by the clock if there is a rate."""
        order = self._order
        began = trio.current_time()
        while not self.is_over:
            if order.rate:
                due = int((trio.current_time() - began) * order.rate / order.links)
                count = min(due - self._sent, order.window - (self._sent - self._answered))
            else:
                count = order.window - (self._sent - self._answered)
            for _ in range(count):
                if not self._send():
                    break
            if order.rate:
                await trio.sleep(0.001)
            else:
                self._answers_came = trio.Event()
                with trio.move_on_after(0.05):
                    await self._answers_came.wait()

    def _send(self) -> bool:
        order, number = self._order, self._sent
        room = order.rooms[(number * order.links + self._number) % len(order.rooms)]
        message_id = f"{order.run}-{self._number}-{number}"
        command = PublishCommand(number + 1, room, "message", self._author, "Somebody", message_id, self._text + message_id[-16:])
        if not self._link.send_encoded_nowait(encode_node_message(command)):
            return False
        self._sent_at[number + 1] = time.monotonic()
        self._sent += 1
        return True


async def publish(order: Order, secrets: tuple[bytes, ...]) -> Report:
    """Open the links, publish, measure."""
    network, rng = SocketNetwork(), SystemRandom()
    speakers: list[Speaker] = []
    async with trio.open_nursery() as nursery:
        for number in range(order.links):
            transport = await network.connect(order.host, order.port)
            node = f"bench-{order.run}-{number}"
            link = await open_client_link(transport, secrets=secrets, role="gateway", node=node, rng=rng)
            speaker = Speaker(link, number, order)
            speakers.append(speaker)
            nursery.start_soon(link.run, speaker.on_message)
            nursery.start_soon(speaker.speak)
        await trio.sleep(order.warm_s)
        began, cpu = time.monotonic(), _cpu_s()
        for speaker in speakers:
            speaker.is_measuring = True
        await trio.sleep(order.seconds)
        for speaker in speakers:
            speaker.is_measuring = False
            speaker.is_over = True
        seconds, cpu_s = time.monotonic() - began, _cpu_s() - cpu
        nursery.cancel_scope.cancel()
    took = LatencyHistogram()
    for speaker in speakers:
        took.merge(speaker.latencies)

    def count(kind: type) -> int:
        return sum(speaker.counts[kind] for speaker in speakers)

    return Report(
        count(Committed), count(CommandRefused), count(OutcomeUnknown), seconds,
        took.percentile_us(50) / 1e3, took.percentile_us(99) / 1e3, cpu_s,
    )  # fmt: skip


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    secrets = tuple(line.strip() for line in Path(order.secret_file).read_bytes().splitlines() if line.strip())
    report = trio.run(publish, order, secrets)
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")


if __name__ == "__main__":
    main()
