"""The floor: a bare loop of non-blocking sends of one frame to many drained loopback sockets.

What no server in Python can beat with one send a delivery.  Another process drains the
sockets all the time, as the load side does; only the sending loop's own CPU counts, flat
out, same frame length as in the runs beside it.

A round of sends begins when the drain has taken the last one and sleeps, as readers do when
a message comes.  Without that the loop has two steady states and falls into either: a drain
that has fallen behind never sleeps, nobody has to be woken, and a send costs 1.1 us instead
of 2.8 (measured on one machine within a minute: 357,000 and 951,000 sends per CPU-second).
"""

import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from bench.child import ROOT

_DRAIN_BYTES = 1 << 20
# Between two rounds: twice what the drain needs to take 3,000 frames and go to sleep.
_REST_S = 0.01


@dataclass(frozen=True, slots=True)
class Floor:
    """One measurement of the loop."""

    sockets: int
    frame_bytes: int
    frames_joined: int
    sends: int
    refused: int
    """Sends that the kernel did not take: the drain was late.  Paid for, not counted."""
    cpu_s: float

    @property
    def deliveries_per_cpu_s(self) -> float:
        return self.sends * self.frames_joined / self.cpu_s


def measure_floor(sockets: int, frame_bytes: int, seconds: float, frames_joined: int = 1) -> Floor:
    """Run the loop for about `seconds` of CPU; with `frames_joined` each send carries so many frames at once."""
    drain = subprocess.Popen([sys.executable, "-m", "bench.floor", str(sockets)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert drain.stdout is not None, "started with a pipe"
        port = int(drain.stdout.readline())
        opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(sockets)]
        try:
            drain.stdout.readline()
            return _send_flat_out(opened, os.urandom(frame_bytes), seconds, frames_joined)
        finally:
            for sock in opened:
                sock.close()
    finally:
        drain.kill()
        drain.communicate()


def _send_flat_out(opened: list[socket.socket], frame: bytes, seconds: float, frames_joined: int) -> Floor:
    for sock in opened:
        sock.setblocking(False)
    sends = [sock.send for sock in opened]
    data = frame * frames_joined
    whole = len(data)
    refused = cut = rounds = 0
    cpu_s = 0.0
    while cpu_s < seconds:
        rounds += 1
        began = time.thread_time()
        for send in sends:
            try:
                if send(data) != whole:
                    cut += 1
            except BlockingIOError:
                refused += 1
        cpu_s += time.thread_time() - began
        time.sleep(_REST_S)
    return Floor(len(opened), len(frame), frames_joined, rounds * len(sends) - refused - cut, refused + cut, cpu_s)


def _drain(count: int) -> None:
    """Accept so many, throw away all they send, until killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    epoll = select.epoll()
    connections: dict[int, socket.socket] = {}
    for _ in range(count):
        sock, _ = listener.accept()
        connections[sock.fileno()] = sock
        epoll.register(sock.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    buffer = bytearray(_DRAIN_BYTES)
    while True:
        for fd, _ in epoll.poll(maxevents=count):
            if not connections[fd].recv_into(buffer):
                return


if __name__ == "__main__":
    _drain(int(sys.argv[1]))
