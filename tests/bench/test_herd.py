"""Who loses a gateway comes back by the rules of clients, from where they were, and is counted once."""

import random
import time
from pathlib import Path

from bench.herd import Herd, Member, Order
from bench.servers.started import start_parvis
from client.reconnect import Reconnect
from tests.support.fleet import HOST, free_ports

ROOMS = ["herd/a", "herd/b"]


def test_a_herd_whose_gateway_dies_is_back_and_misses_nothing(tmp_path: Path) -> None:
    server = start_parvis(tmp_path, separate=True, window_passes_per_s=0.0)
    try:
        herd = Herd(Order(HOST, [server.port], ROOMS, 12), random.Random(5))
        assert herd.gather().connections == 12
        killed_at = time.monotonic()
        for member in herd._members[:5]:
            assert member.sock is not None
            member.sock.shutdown(2)
        deadline = killed_at + 20
        while herd._open < 12 or time.monotonic() < killed_at + 0.1:
            assert time.monotonic() < deadline
            herd._turn(0.05)
        report = herd._report(killed_at)
    finally:
        server.stop()
    assert (report.lost, report.resumed, report.not_recovered) == (5, 5, 0)
    assert (report.events_lost, report.events_repeated, report.behind) == (0, 0, [0, 0])
    # Full jitter from half a second: nobody earlier, nobody much later.
    assert 0.5 <= report.p50_s <= report.longest_s < 10


def test_an_address_where_nobody_is_costs_an_attempt_and_a_second() -> None:
    (nobody,) = free_ports(1)
    herd = Herd(Order(HOST, [nobody], ROOMS, 1), random.Random(5))
    member = Member(0, Reconnect([str(nobody)], random.Random(1)))
    herd._dial(member)
    while not herd._attempts_failed:
        herd._turn(0.05)
    (due, _, waiting), *_ = [entry for entry in herd._due if entry[2].sock is None]
    assert waiting is member
    assert 0.5 < due - time.monotonic() <= 10

