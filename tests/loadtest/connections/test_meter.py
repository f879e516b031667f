"""What becomes of one client's connections, as rows and counts."""

import pytest

from client.effects import ConnectionId
from loadtest.connections.meter import ConnectionMeter
from loadtest.figures.tally import Tally
from wire.client_messages import Goaway, Joined, Ping, Publish, Refused, Welcome

ONE, TWO, THREE = ConnectionId(1), ConnectionId(2), ConnectionId(3)


def welcome(*joins: Joined | Refused, server: str = "gateway-1") -> Welcome:
    return Welcome(1, server, "s", "g", "a", "n", 25_000, list(joins))


class Rig:
    def __init__(self) -> None:
        self.now_us = 0
        self.tally = Tally()
        self.meter = ConnectionMeter(self.tally, lambda: self.now_us)

    def connect(self, connection: ConnectionId, took_us: int, *joins: Joined | Refused) -> None:
        self.meter.dialled(connection, "ws://a")
        self.meter.opened(connection)
        self.now_us += took_us
        self.meter.received(connection, welcome(*joins))

    @property
    def told(self) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
        rows, counts, _ = self.tally.take()
        return {row.name: (row.count, row.total_us) for row in rows}, counts


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_connection_counts_from_its_dial_to_its_welcome(rig: Rig) -> None:
    rig.connect(ONE, 3_000)
    rig.meter.sent(ONE, Publish(1, "a/b", "i", "t"))
    rig.meter.received(ONE, Ping())
    assert rig.told == ({"connect": (1, 3_000)}, {"connects": 1})
    assert rig.meter.server == "gateway-1"


def test_waiting_for_ones_turn_is_no_part_of_it(rig: Rig) -> None:
    rig.meter.dialled(ONE, "ws://a")
    rig.now_us += 50_000
    rig.meter.turn_came()
    rig.now_us += 2_000
    rig.meter.received(ONE, welcome())
    rig.meter.turn_came()
    assert rig.told[0] == {"connect": (1, 2_000)}


def test_a_second_welcome_is_no_second_connection(rig: Rig) -> None:
    rig.connect(ONE, 3_000)
    rig.meter.received(ONE, welcome())
    assert rig.told[1] == {"connects": 1}


def test_who_is_lost_and_comes_back_has_resumed(rig: Rig) -> None:
    rig.connect(ONE, 1_000)
    rig.meter.closed(ONE, 1006, "lost")
    assert rig.meter.server == ""
    rig.now_us += 700_000
    whole = Joined(0, "a/b", "e1", 9, 7, asked=True, recovered=True)
    broken = Joined(0, "a/c", "e2", 9, 9, asked=True, reason="epoch")
    rig.connect(TWO, 2_000, whole, broken, Joined(0, "a/d", "e1", 0, 0), Refused(0, "busy", ""))
    assert rig.told == (
        {"connect": (2, 3_000), "resume": (1, 702_000)},
        {"connects": 2, "disconnects": 1, "resumes": 1, "resumes_recovered": 1, "resumes_reset": 1},
    )
    assert rig.tally.refusals == {"1006": 1}


def test_who_is_sent_away_moves_without_a_loss(rig: Rig) -> None:
    rig.connect(ONE, 1_000)
    rig.meter.received(ONE, Goaway(5000, 100))
    rig.connect(TWO, 1_000, Joined(0, "a/b", "e1", 9, 9, asked=True, recovered=True))
    # The old gateway's last words are no reason to move again.
    rig.meter.received(ONE, Goaway(5000, 100))
    rig.meter.closed(ONE, 1000, "moved")
    assert rig.told == ({"connect": (2, 2_000)}, {"connects": 2, "moves": 1, "resumes": 1, "resumes_recovered": 1})
    assert rig.meter.server == "gateway-1"
    rig.meter.closed(TWO, 3008, "slow")
    rig.connect(THREE, 1_000)
    assert rig.told[1] == {"connects": 1, "disconnects": 1, "resumes": 1}


def test_who_is_sent_away_and_cut_off_before_the_next_welcome_has_resumed(rig: Rig) -> None:
    rig.connect(ONE, 1_000)
    rig.meter.received(ONE, Goaway(5000, 100))
    rig.meter.dialled(TWO, "ws://b")
    rig.meter.closed(ONE, 3001, "drained")
    rig.meter.received(TWO, welcome(server="gateway-2"))
    counts = rig.told[1]
    assert counts == {"connects": 2, "disconnects": 1, "resumes": 1}
    assert rig.meter.server == "gateway-2"


def test_what_came_to_nothing_is_counted_by_its_code(rig: Rig) -> None:
    rig.meter.dialled(ONE, "ws://a")
    rig.meter.failed(ONE, "the server answered 503")
    rig.meter.dialled(TWO, "ws://a")
    rig.meter.opened(TWO)
    rig.meter.broken(TWO, "nonsense")
    rig.meter.closed(TWO, 3013, "full")
    assert rig.tally.counts == {"connects_failed": 2}
    assert rig.tally.refusals == {"http 503": 1, "3013": 1}
    (row,) = rig.tally.take()[0]
    assert (row.name, row.failures, row.errors) == ("connect", 2, {"http 503": 1, "3013": 1})


def test_what_ends_by_our_wish_is_no_failure(rig: Rig) -> None:
    rig.connect(ONE, 1_000)
    rig.meter.dialled(TWO, "ws://a")
    rig.meter.dialled(THREE, "ws://a")
    rig.meter.is_leaving = True
    rig.meter.closed(ONE, 1000, "bye")
    rig.meter.failed(TWO, "given up")
    rig.meter.closed(THREE, 1000, "bye")
    assert rig.told == ({"connect": (1, 1_000)}, {"connects": 1})
    assert rig.tally.refusals == {}


def test_a_machine_that_has_no_port_left_is_to_blame_itself(rig: Rig) -> None:
    rig.meter.dialled(ONE, "ws://a")
    rig.meter.failed(ONE, "[Errno 111] Connection refused")
    assert rig.tally.stops == []
    for connection in (TWO, THREE):
        rig.meter.dialled(connection, "ws://a")
        rig.meter.failed(connection, "[Errno 99] Cannot assign requested address")
    assert rig.tally.stops == ["this machine has no port left for another connection: name more --source-ips"]
