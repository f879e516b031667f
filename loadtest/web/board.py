"""What the pages that watch a run are told, made once for all of them.

Every watcher reads at its own pace from what stands here: nothing is queued for anybody, so
a slow one costs nothing, misses nothing that still counts, and is never waited for.  It is
told in events of a stream (`text/event-stream`, which browsers reconnect by themselves):

    past      {"at": [...], "every_s": 1, "columns": {...}}   the whole run so far, thinned; replaces all
    moment    {"at": 12, "values": {...}}                     one more second
    standing  a `Standing`
    tables    rows, failures, findings, workers, thresholds, verdict: `tables_of`
    log       [{"at": ..., "level": ..., "text": ...}]        the newest lines; replaces all
"""

from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import trio

from loadtest.figures.record import RunRecord
from loadtest.master.steering import Steered
from loadtest.reports.timeline import point_of
from loadtest.web.past import Past

# How soon a change is seen: moments come once a second.
TICK_S: Final = 0.25
# Tables hold every percentile of every row: locust's console takes them every two seconds, too.
TABLES_EVERY_TICKS: Final = 8
# What a chart of a wide screen can show; a past has up to twice as many points.
POINTS_MAX: Final = 400
# Whoever missed more moments than this is told the whole past again, thinned.
MOMENTS_BEHIND_MAX: Final = 30
# So long a stream says nothing before it says that it is alive: proxies cut what is silent for a minute.
SILENCE_S: Final = 15.0

_ALIVE: Final = b": alive\n\n"


class Board:
    """Its one task is `run`; what is said of a run is never older than `TICK_S`."""

    def __init__(self, run: Steered) -> None:
        self._run = run
        self._changed = trio.Event()
        # The newest of each kind, and how often it has changed: a watcher compares.
        self._said: dict[str, bytes] = {}
        self._versions: dict[str, int] = {}
        self._past = Past(POINTS_MAX)
        self._seen = 0
        """Moments of the run that are in the past."""
        self._newest: deque[bytes] = deque(maxlen=MOMENTS_BEHIND_MAX)
        """The last of them as events."""
        self._log_end: object = None
        self.watchers = 0

    async def run(self) -> None:
        """Look at the run until cancelled."""
        ticks = 0
        while True:
            self.look(with_tables=ticks % TABLES_EVERY_TICKS == 0)
            ticks += 1
            await trio.sleep(TICK_S)

    def look(self, *, with_tables: bool) -> None:
        """Take what is new; wakes the watchers if something is."""
        is_new = self._say("standing", msgspec.json.encode(self._run.standing))
        log = self._run.log
        if log and log[-1] is not self._log_end:
            self._log_end = log[-1]
            is_new |= self._say("log", msgspec.json.encode(list(log)))
        # Nobody watches most of the time, and a record is costly to make.
        if with_tables and self.watchers:
            is_new |= self._say("tables", msgspec.json.encode(tables_of(self._run.record())))
        for moment in self._run.moments[self._seen :]:
            self._seen += 1
            self._past.add(moment)
            self._newest.append(_event("moment", msgspec.json.encode(point_of(moment))))
            is_new = True
        if is_new:
            changed, self._changed = self._changed, trio.Event()
            changed.set()

    def _say(self, kind: str, body: bytes) -> bool:
        if self._said.get(kind) == body:
            return False
        self._said[kind] = body
        self._versions[kind] = self._versions.get(kind, 0) + 1
        return True

    async def watch(self) -> AsyncIterator[bytes]:
        """The stream of one watcher, until it is closed."""
        self.watchers += 1
        try:
            self.look(with_tables=self.watchers == 1)
            told: dict[str, int] = {}
            moments_told = 0
            while True:
                changed = self._changed
                behind = self._seen - moments_told
                moments_told = self._seen
                if not told or behind > MOMENTS_BEHIND_MAX:
                    yield _event("past", msgspec.json.encode(self._past.timeline()))
                elif behind:
                    # Of a copy: while these are being read there will be newer ones.
                    for event in list(self._newest)[-behind:]:
                        yield event
                for kind, version in list(self._versions.items()):
                    if told.get(kind) != version:
                        told[kind] = version
                        yield _event(kind, self._said[kind])
                with trio.move_on_after(SILENCE_S) as silence:
                    await changed.wait()
                if silence.cancelled_caught:
                    yield _ALIVE
        finally:
            self.watchers -= 1


def _event(kind: str, body: bytes) -> bytes:
    # JSON has no line break outside its strings and none unescaped inside, so one line holds it.
    return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


def tables_of(record: RunRecord) -> dict[str, Any]:
    """Everything of a record that a page shows as a table, without what only programs read."""
    return {
        "seconds": record.seconds,
        "rows": [
            {name: getattr(row, name) for name in row.__struct_fields__ if name not in ("latencies", "total_us")}
            for row in record.rows
        ],
        "counts": record.counts,
        "refusals": record.refusals,
        "findings": record.findings,
        "exceptions": record.exceptions,
        "thresholds": record.thresholds,
        "verdict": record.verdict,
        "workers": record.moments[-1].workers if record.moments else [],
        "server": record.moments[-1].server if record.moments else [],
        "users_by_class": record.moments[-1].users_by_class if record.moments else {},
        "clock_error_ms": record.clock_error_ms,
    }
