"""Readers of a class, and which of them audit."""

from collections import Counter

import pytest

from loadtest import Reader
from loadtest.workers.audience import Audience


class _Chairs:
    def __init__(self) -> None:
        self.rooms: list[tuple[str, ...]] = []

    def open(self, name: str, rooms: tuple[str, ...]) -> None:
        assert name == "Passer"
        self.rooms.append(rooms)

    def close(self, name: str) -> None:
        self.rooms.pop()

    def living(self, name: str) -> int:
        return len(self.rooms)


def _audience(share: float) -> tuple[Audience, _Chairs, _Chairs]:
    class Passer(Reader):
        rooms = ("qna/a", "qna/b", "qna/c")
        rooms_each = 1
        audit_share = share

    lean, auditors = _Chairs(), _Chairs()
    return Audience(Passer, lean, auditors, 0, 1), lean, auditors


@pytest.mark.parametrize(
    ("share", "readers", "audit"), [(0.02, 1, 1), (0.02, 50, 1), (0.02, 51, 2), (0.3, 10, 3), (0, 10, 0), (1, 10, 10)]
)
def test_a_share_audits_and_the_first_one_always(share: float, readers: int, audit: int) -> None:
    audience, lean, auditors = _audience(share)
    for _ in range(readers):
        audience.start()
    assert (len(auditors.rooms), len(lean.rooms)) == (audit, readers - audit)
    assert (audience.wanted, audience.living) == (readers, readers)


def test_who_came_last_leaves_first() -> None:
    audience, lean, auditors = _audience(0.25)
    sizes = [(0, 0)]
    for _ in range(20):
        audience.start()
        sizes.append((len(lean.rooms), len(auditors.rooms)))
    for size in sizes[-2::-1]:
        audience.stop()
        assert (len(lean.rooms), len(auditors.rooms)) == size


def test_auditors_are_in_all_rooms_before_they_are_twice_in_one() -> None:
    audience, lean, auditors = _audience(0.1)
    for _ in range(60):
        audience.start()
    assert Counter(auditors.rooms) == {("qna/a",): 2, ("qna/b",): 2, ("qna/c",): 2}
    assert set(Counter(lean.rooms).values()) == {18}
