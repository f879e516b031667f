"""The readers of one class in one worker: lean ones, and every so many one that audits."""

from math import ceil
from typing import Protocol

from loadtest.people.users import Reader
from loadtest.workers.rooms import Deal


class Chairs(Protocol):
    """Where readers of one kind are put."""

    def open(self, name: str, rooms: tuple[str, ...]) -> None:
        """One more, of the class of that name."""

    def close(self, name: str) -> None:
        """One less."""

    def living(self, name: str) -> int: ...


class Audience:
    """Readers of one class.  Of each run of 1 / `audit_share` of them the first is an auditor."""

    def __init__(self, kind: type[Reader], lean: Chairs, auditors: Chairs, worker: int, workers: int) -> None:
        self.wanted = 0
        self._name = kind.__name__
        self._share = kind.audit_share
        self._lean = lean
        self._auditors = auditors
        # Auditors are dealt rooms of their own, so that they are in all rooms before they are twice in one.
        self._deal = Deal(kind.rooms, kind.rooms_each, worker, workers)
        self._auditors_deal = Deal(kind.rooms, kind.rooms_each, worker, workers)

    @property
    def living(self) -> int:
        return self._lean.living(self._name) + self._auditors.living(self._name)

    def start(self) -> None:
        self.wanted += 1
        if self._is_auditor(self.wanted):
            self._auditors.open(self._name, self._auditors_deal.next())
        else:
            self._lean.open(self._name, self._deal.next())

    def stop(self) -> None:
        (self._auditors if self._is_auditor(self.wanted) else self._lean).close(self._name)
        self.wanted -= 1

    def _is_auditor(self, number: int) -> bool:
        """Of the reader that is the `number`-th."""
        return ceil(self._share * number) > ceil(self._share * (number - 1))
