"""Structured logs: lines with ids and never texts, which nobody outside can forge or flood.

A logger is made once at the edge of the process and passed in; nothing is configured
globally, so two roles in one process, or two tests, never share one.  Names of events are
stable words (``link_lost``); what varies is in fields.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

from runtime.schema import LogSettings

Fields = MutableMapping[str, Any]
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_TRACEBACK: Final = "exception"


def make_logger(
    settings: LogSettings, *, stream: TextIO | None = None, wall_clock: Callable[[], float] = time.time, **fields: object
) -> FilteringBoundLogger:
    """A logger to `stream` (None: stderr) that puts `fields` (role, node) on every line."""
    to = stream if stream is not None else sys.stderr
    is_console = settings.form == "console" or (settings.form == "auto" and to.isatty())
    logger = structlog.wrap_logger(
        structlog.WriteLogger(to),
        processors=[
            structlog.processors.add_log_level,
            _Stamp(wall_clock),
            structlog.processors.format_exc_info,
            _escape_fields,
            structlog.dev.ConsoleRenderer(colors=to.isatty(), timestamp_key="ts") if is_console else _as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        context_class=dict,
    )
    return cast(FilteringBoundLogger, logger.bind(**fields))


class _Stamp:
    """Puts the time of day on a line: UTC, milliseconds, ISO 8601."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock

    def __call__(self, logger: object, method: str, fields: Fields) -> Fields:
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        fields["ts"] = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return fields


def escaped(text: str) -> str:
    """`text` without anything that a terminal obeys or that ends a line: ``\\x1b``, ``\\u202e``, ``\\n``.

    What Python calls printable is neither a control nor a format character (bidi overrides,
    zero-width joiners), a surrogate, a separator other than the space, or unassigned.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _escape_fields(logger: object, method: str, fields: Fields) -> Fields:
    """Numbers stay, everything else becomes harmless text; a traceback keeps its line breaks."""
    for key, value in fields.items():
        if key == _TRACEBACK:
            fields[key] = "\n".join(escaped(line) for line in str(value).split("\n"))
        elif value is not None and not isinstance(value, bool | int | float):
            fields[key] = escaped(value if isinstance(value, str) else str(value))
    return fields


def _as_json(logger: object, method: str, fields: Fields) -> str:
    """One line: time, level and event first, then the fields as they were given."""
    first = {key: fields.pop(key) for key in ("ts", "level", "event")}
    return json.dumps({**first, **fields})


class LimitedLog:
    """At most one line per key and interval, which then tells how many were held back.

    For what strangers can cause as often as they like.  Keys come from the code, never from
    a peer; the count of a burst that just ended is told by the next line of its key, or by
    `flush`.
    """

    def __init__(self, log: FilteringBoundLogger, clock: Callable[[], float], interval_s: float = 1.0) -> None:
        """`clock` is seconds on any clock that does not go back: `trio.current_time`."""
        self._log = log
        self._clock = clock
        self._interval_s = interval_s
        self._next_at: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def warning(self, event: str, *, key: str = "", **fields: object) -> None:
        """Write or hold back; `key` is the event's name unless it is told apart further."""
        self._write(logging.WARNING, event, key or event, fields)

    def error(self, event: str, *, key: str = "", **fields: object) -> None:
        """Likewise, for a fault of ours."""
        self._write(logging.ERROR, event, key or event, fields)

    def _write(self, level: int, event: str, key: str, fields: dict[str, object]) -> None:
        now = self._clock()
        if now < self._next_at.get(key, now):
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return
        self._next_at[key] = now + self._interval_s
        held_back = self._held_back.pop(key, 0)
        if held_back:
            fields["held_back"] = held_back
        self._log.log(level, event, **fields)

    def flush(self) -> None:
        """Tell what is still held back: before the process ends."""
        for key, held_back in self._held_back.items():
            self._log.warning("log_lines_held_back", key=key, held_back=held_back)
        self._held_back.clear()
