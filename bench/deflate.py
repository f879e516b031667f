"""What compression saves and what it costs: one event, one message of a client, one pass.  No sockets.

    python -m bench.deflate [--runs 5]

The figures of docs/decisions/shared-deflate.md: CPU time of this process, the best of `runs`.
What a delivery itself costs (the system call) is `bench.run`'s to measure; a pass is walked here over
members whose kernel takes everything at once, so what remains is what Python adds.
"""

import argparse
import platform
import time
import zlib
from collections.abc import Callable
from random import Random

from gateway.deflate import Deflated, EventForm, deflate
from gateway.fanout import Pass
from gateway.feed import Feed
from gateway.inbound import InboundFrames
from gateway.plain_frames import take_plain_messages
from loadtest.connections.greeting import masked_frame
from runtime.metrics import GatewayCounters
from tests.support.deflating import deflated
from tests.support.gateway_fakes import ROOM, FakeGateway, attached, batch, make_client
from wire.client_codec import Form, encode, recode_event
from wire.client_messages import Event, Publish
from wire.errors import PeerError
from wire.frames import DEFLATED_BIT, OPCODE_BINARY
from wire.limits import CLIENT_FRAME_BYTES_MAX, OUTBOX_BEHIND_BYTES_MAX

MASK = b"\x11\x22\x33\x44"
SENTENCES = (
    "Guten Abend zusammen, die ersten Zahlen kommen gleich.", "Bei uns im Dorf war die Schlange bis auf die Strasse.",
    "Je ne suis pas d'accord, et je l'ai déjà dit hier soir.", "Can somebody explain what the second question was about?",
    "Wir haben seit vierzig Jahren dieselbe Brücke und dieselbe Debatte.", "Merci pour la réponse, c'est plus clair maintenant.",
    "Nobody under thirty can afford a flat in that part of town.", "Das stimmt so nicht: gezählt wird in jedem Kreis einzeln.",
)  # fmt: skip
LETTERS = (20, 60, 150, 400)
MEMBERS = 5000


def event(rng: Random, letters: int) -> bytes:
    """One message in a room, with ids as random as real ones."""
    text = " ".join(rng.sample(SENTENCES, len(SENTENCES)))[:letters]
    author, message_id = (f"{rng.getrandbits(64):016x}" for _ in range(2))
    offset, at = rng.randrange(10_000), 1_790_000_000_000 + rng.randrange(10**9)
    return encode(Event("election/candidate-7", offset, at, "message", f"g-{author}", "Amélie", message_id, text), Form.MSGPACK)


def best_us(work: Callable[[], object], rounds: int, runs: int) -> float:
    """CPU microseconds of one `work`."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        for _ in range(rounds):
            work()
        best = min(best, (time.process_time() - began) * 1e6 / rounds)
    return best


def saving(events: list[bytes], runs: int) -> tuple[float, float, float]:
    """Bytes of an event as it is and as it is sent deflated, and the microseconds of making it so."""
    plain = sum(map(len, events)) / len(events)
    short = sum(len(deflate(each) or each) for each in events) / len(events)
    return plain, short, best_us(lambda: [deflate(each) for each in events], 5, runs) / len(events)


def pass_ns(forms: list[EventForm], runs: int) -> float:
    """Nanoseconds that a pass adds for one member, over MEMBERS of them, as many of each form."""
    owner = FakeGateway()
    feed = Feed(ROOM, owner, time.monotonic)
    feed.on_attached(attached(1, 3))
    for place in range(MEMBERS):
        client, transport = make_client(owner, forms[place % len(forms)])
        transport.try_send = len
        feed.add(client, feed.boundary, OUTBOX_BEHIND_BYTES_MAX)
        client.flush()
    counters = GatewayCounters()

    def one_pass() -> None:
        head = feed.ring.head_offset
        feed.on_batch(batch(head + 1, head + 1, SENTENCES[0] * 3))
        walk = Pass(feed, 0.0)
        while not walk.visit(time.monotonic, counters):
            continue

    return best_us(one_pass, 40, runs) * 1000 / MEMBERS


def received_us(data: bytes, deflates: bool, runs: int) -> float:
    """One frame of a client through the parser that is made for it."""

    def receive() -> None:
        frames = InboundFrames(Form.MSGPACK, CLIENT_FRAME_BYTES_MAX, deflates=deflates)
        frames.feed(data)
        try:
            frames.next_event()
        except PeerError:
            return

    return best_us(receive, 500, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description="What compression saves and costs.")
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    rng = Random(1)
    versions = f"Python {platform.python_version()}, zlib {zlib.ZLIB_RUNTIME_VERSION}"
    print(f"{platform.machine()}, Linux {platform.release()}, {versions}")
    print(f"python -m bench.deflate --runs {runs}")
    print("| letters | msgpack bytes | deflated | saved | us | JSON bytes | deflated | saved | us |")
    print("|---|---|---|---|---|---|---|---|---|")
    for letters in LETTERS:
        events = [event(rng, letters) for _ in range(100)]
        cells = [str(letters)]
        for form in (events, [recode_event(each) for each in events]):
            plain, short, spent_us = saving(form, runs)
            cells += [f"{plain:.0f}", f"{short:.0f}", f"{1 - short / plain:.0%}", f"{spent_us:.0f}"]
        print(f"| {' | '.join(cells)} |")
    readers: dict[str, list[EventForm]] = {"msgpack": [Form.MSGPACK], "half deflated": [Form.MSGPACK, Deflated.MSGPACK]}
    for name, forms in readers.items():
        print(f"a pass over {MEMBERS}, {name}: {pass_ns(forms, runs):.0f} ns a member beside the system call")
    publish = encode(Publish(7, "election/candidate-7", f"{rng.getrandbits(64):016x}", SENTENCES[4]), Form.MSGPACK)
    plain = masked_frame(publish, MASK, OPCODE_BINARY)
    short = masked_frame(deflated(publish), MASK, OPCODE_BINARY | DEFLATED_BIT)
    bomb = masked_frame(deflated(bytes(32 * 2**20)), MASK, OPCODE_BINARY | DEFLATED_BIT)
    by_hand_us = best_us(lambda: take_plain_messages(plain, Form.MSGPACK, CLIENT_FRAME_BYTES_MAX), 2000, runs)
    print(f"a publish: {by_hand_us:.1f} us plain, {received_us(plain, False, runs):.1f} through wsproto")
    print(f"deflated: {received_us(short, True, runs):.1f} us")
    print(f"a bomb of {len(bomb)} bytes: {received_us(bomb, True, runs):.0f} us")


if __name__ == "__main__":
    main()
