"""The wheel: everyone is asked once an interval, the silent are found, nobody else is."""

from random import Random

from gateway.client import Client
from gateway.heartbeat import Heartbeat
from tests.support.gateway_fakes import FakeGateway, make_client


def clients(count: int) -> list[Client]:
    owner = FakeGateway()
    return [make_client(owner)[0] for _ in range(count)]


def test_everyone_is_asked_once_an_interval_and_not_all_at_once() -> None:
    wheel, crowd = Heartbeat(25.0, 10.0, Random(1)), clients(1000)
    for client in crowd:
        wheel.add(client)
    asked: list[Client] = []
    largest = 0
    for _ in range(25):
        due, _ = wheel.tick()
        due = list(due)
        largest = max(largest, len(due))
        asked += due
    assert sorted(map(id, asked)) == sorted(map(id, crowd))
    assert largest < 100


def test_who_does_not_answer_in_time_is_silent_and_who_says_anything_is_not() -> None:
    wheel = Heartbeat(5.0, 2.0, Random(2))
    talker, mute = clients(2)
    for client in (talker, mute):
        wheel.add(client)
    silent: list[Client] = []
    asked_at: dict[Client, int] = {}
    for second in range(20):
        due, gone = wheel.tick()
        for client in due:
            asked_at.setdefault(client, second)
        for client in gone:
            if client not in silent:
                silent.append(client)
                assert second - asked_at[client] == 2
        talker.heard = True
    assert silent == [mute]


def test_who_left_is_not_asked() -> None:
    wheel, (client,) = Heartbeat(3.0, 1.0, Random(3)), clients(1)
    wheel.add(client)
    wheel.remove(client)
    wheel.remove(client)
    assert all(not list(wheel.tick()[0]) for _ in range(6))
