"""The reading side against a server that does wrong on purpose, over real sockets."""

import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Request

from bench.load import LoadSide
from bench.orders import Begin, Connect, Connected, Evaluate, Failed, Measured, Settle, Settled, Speak, encode_line
from wire.client_codec import Form, decode_client_message, encode
from wire.client_messages import Event, Joined, Ping, Pong, ServerMessage, Skipped, Welcome
from wire.frames import OPCODE_BINARY, frame

ROOM = "bench/r000"
READERS = 3
START = 100.0


def event(offset: int) -> Event:
    return Event(ROOM, offset, 1_800_000_000_000, "message", "author", "name", f"0-{offset}", f"..0-{offset}")


def written(*messages: ServerMessage) -> bytes:
    return b"".join(frame(OPCODE_BINARY, encode(message, Form.MSGPACK)) for message in messages)


class PlantingServer:
    """Accepts some readers as wsproto does it, then writes to each whatever the test says."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.clients: list[tuple[socket.socket, WSConnection]] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        for _ in range(READERS):
            sock, _ = self.listener.accept()
            ws = WSConnection(ConnectionType.SERVER)
            self.clients.append((sock, ws))
            hello = None
            while hello is None:
                ws.receive_data(sock.recv(65536))
                for received in ws.events():
                    if isinstance(received, Request):
                        sock.sendall(ws.send(AcceptConnection(subprotocol=Form.MSGPACK.value)))
                    elif isinstance(received, BytesMessage):
                        hello = received
            sock.sendall(written(Welcome(1, "planting", "", "", "a", "n", 25_000, [Joined(0, ROOM, "epoch", 0, 0)])))

    def joined(self) -> None:
        self._thread.join()

    def close(self) -> None:
        self.listener.close()
        for sock, _ in self.clients:
            sock.close()


@pytest.fixture
def server() -> Iterator[PlantingServer]:
    planting = PlantingServer()
    yield planting
    planting.close()


def measured(server: PlantingServer, write: Callable[[socket.socket], None], heads: int) -> tuple[LoadSide, Measured]:
    """Connect, let the server write to the last reader (the others get 1 to 5 as they should), evaluate."""
    side = LoadSide(random.Random(1))
    order = Connect(host="127.0.0.1", port=server.port, rooms=[ROOM], each=READERS, audit_every=1)
    connected = side.carry_out(encode_line(order))
    assert isinstance(connected, Connected)
    server.joined()
    side.carry_out(encode_line(Begin()))
    for sock, _ in server.clients[:-1]:
        sock.sendall(written(*map(event, range(1, 6))))
    write(server.clients[-1][0])
    settled = side.carry_out(encode_line(Settle(heads=[heads], quiet_s=0.1, deadline_s=5.0)))
    assert isinstance(settled, Settled)
    report = side.carry_out(encode_line(Evaluate(start=START, rate=10.0, seconds=0.5, offsets=[[1, 2, 3, 4, 5]])))
    assert isinstance(report, Measured)
    return side, report


def test_a_whole_stream_is_counted_and_clean(server: PlantingServer) -> None:
    _, report = measured(server, lambda sock: sock.sendall(written(*map(event, range(1, 6)))), heads=5)
    assert (report.deliveries, report.audited, report.lost, report.repeated, report.violations) == (15, 15, 0, 0, 0)


@pytest.mark.parametrize(
    ("offsets", "lost", "repeated"),
    [([1, 2, 4, 5], 1, 0), ([1, 2, 3, 3, 4, 5], 0, 1), ([1, 3, 2, 4, 5], 2, 2)],
    ids=["lost", "repeated", "reordered"],
)
def test_a_planted_fault_is_found_by_counter_and_auditor(
    server: PlantingServer, offsets: list[int], lost: int, repeated: int
) -> None:
    def write(sock: socket.socket) -> None:
        for offset in offsets:
            sock.sendall(written(event(offset)))

    _, report = measured(server, write, heads=5)
    assert report.deliveries == 10 + len(offsets)
    assert report.violations == 1
    # Disorder that was joined in one buffer is the auditor's to see: the counter knows a buffer's last offset only.
    assert (report.lost, report.repeated) in {(lost, repeated), (0, 0)} if offsets[1] == 3 else {(lost, repeated)}


def test_an_announced_loss_is_told_apart_from_a_silent_one(server: PlantingServer) -> None:
    _, report = measured(server, lambda sock: sock.sendall(written(event(1), Skipped(ROOM, 2, 3), event(4), event(5))), heads=5)
    assert (report.deliveries, report.lost, report.unannounced, report.violations) == (13, 2, 0, 0)


def test_a_reader_that_is_closed_is_reported(server: PlantingServer) -> None:
    _, report = measured(server, lambda sock: sock.close(), heads=5)
    assert (report.closed, report.deliveries) == (1, 10)


def test_a_ping_is_answered_with_the_place_of_the_reader(server: PlantingServer) -> None:
    measured(server, lambda sock: sock.sendall(written(*map(event, range(1, 6)), Ping())), heads=5)
    sock, ws = server.clients[-1]
    ws.receive_data(sock.recv(65536))
    [answer] = ws.events()
    assert isinstance(answer, BytesMessage)
    assert decode_client_message(bytes(answer.data), Form.MSGPACK) == Pong(seen={ROOM: 5})


def test_an_order_for_a_speaker_is_refused() -> None:


    report = LoadSide(random.Random(1)).carry_out(
        encode_line(Speak(start=0, rate=1, seconds=1, payload_bytes=128, answer_wait_s=1))
    )
    assert isinstance(report, Failed)
