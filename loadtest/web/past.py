"""A run's whole past in a bounded number of points, kept as it goes on.  Pure.

A page that is opened in the tenth hour is told all of it.  Put together only then, 36,000
seconds would hold the master up for a second; here each second costs the same, and whoever
comes late is told at once.
"""

from collections.abc import Mapping

from loadtest.figures.record import Mark, Moment
from loadtest.reports.timeline import Timeline, drawn, together, values_of


class Past:
    """Between `points_max` and twice as many points, once the run is that long; each is of `every_s` seconds."""

    def __init__(self, points_max: int) -> None:
        self._points_max = points_max
        self._at: list[float] = []
        self._points: list[Mapping[str, float]] = []
        self._open: list[Mapping[str, float]] = []
        """Seconds of the point that is not full yet: fewer than `every_s`."""
        self._now = 0.0
        self._marks: list[Mark] = []
        self.every_s = 1

    def add(self, moment: Moment) -> None:
        """One more second."""
        self._now = moment.at_s
        self._marks += moment.marks
        self._open.append(values_of(moment))
        if len(self._open) == self.every_s:
            self._at.append(self._now)
            self._points.append(together(self._open))
            self._open.clear()
            if len(self._points) == 2 * self._points_max:
                self._halve()

    def timeline(self) -> Timeline:
        """All of it; the last point may be of fewer seconds."""
        unfinished = [together(self._open)] if self._open else []
        return drawn([*self._at, *([self._now] if self._open else [])], [*self._points, *unfinished], self.every_s, self._marks)

    def _halve(self) -> None:
        """Neighbours become one: all points are full and their number is even."""
        self._at = self._at[1::2]
        self._points = [together(self._points[place : place + 2]) for place in range(0, len(self._points), 2)]
        self.every_s *= 2
