"""What a master and its workers say to each other."""

import msgspec
import pytest

from loadtest.figures.messages import (
    Beat,
    Challenge,
    Ended,
    Failed,
    Finding,
    Finish,
    Goal,
    Health,
    Hello,
    Hit,
    Hush,
    Hushed,
    MasterMessage,
    Placed,
    Prepare,
    Probe,
    Probed,
    Quit,
    Ready,
    Rejected,
    Row,
    Start,
    Stretch,
    Welcome,
    WorkerMessage,
)  # fmt: skip

_BEAT = Beat(
    1, 10, {"Citizen": 3}, 3, {"gateway-1": 3}, [Row("WS", "deliver", 1, 5, b"x", 0, {}, 9)], {"acked": 1},
    [Finding("lost", "a/b", 3, 1, "x", "y")], [Placed("a/b", "e", [1, 2])], [], {"4007": 1}, Health(0.5, 1, 2, 3, 4),
)  # fmt: skip
_OF_WORKERS = [
    Hello(1, "0.1", "w", "h", "b", 1, 2, "s", 3, b"n", b"p"), Probed(1, 2), Ready(), _BEAT, Failed("no", 4), Hushed(), Ended(),
]  # fmt: skip
_OF_MASTERS = [
    Challenge(1, b"n"), Probe(1), Welcome(0, -5, 1), Rejected("no"), Prepare("r", 1, ["ws://h"], [], [], [], 100.0, {}),
    Start(5), Goal({"Citizen": 3}, 10.0, {"Speaker": Stretch(7, 1, 9, 20.0, 0, 2)}), Hit("slow", 3, 1.0),
    Hush(1.0), Finish({"a/b": ("e", 4)}, 5.0), Quit(),
]  # fmt: skip


@pytest.mark.parametrize("message", _OF_WORKERS, ids=lambda message: type(message).__name__)
def test_what_a_worker_says_arrives_as_it_was(message: WorkerMessage) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=WorkerMessage) == message


@pytest.mark.parametrize("message", _OF_MASTERS, ids=lambda message: type(message).__name__)
def test_what_a_master_says_arrives_as_it_was(message: MasterMessage) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=MasterMessage) == message
