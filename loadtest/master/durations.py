"""Spans of time as people type them: ``90``, ``30s``, ``1m30s``, ``2h``, ``500ms``.  Pure."""

import re
from typing import Final

_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# Larger units first, each at most once: 1h30m is one, 30m1h is none.
_SPAN: Final = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})?" for unit in _UNITS_S))
_DURATION_S_MAX: Final = 30 * 24 * 3600.0


def duration_s(text: str) -> float:
    """Seconds; a bare number is seconds, too.  Raises `ValueError` with one plain sentence."""
    try:
        seconds = float(text)
    except ValueError:
        found = _SPAN.fullmatch(text)
        if not text or found is None:
            raise ValueError(f"{text!r} is not a span of time: write it as 30s, 1m30s, 2h or 500ms") from None
        seconds = sum(float(number) * _UNITS_S[unit] for unit, number in found.groupdict().items() if number)
    if not 0 <= seconds <= _DURATION_S_MAX:
        raise ValueError(f"{text!r} is not between 0 and 30 days")
    return seconds


def spoken(seconds: float) -> str:
    """The way back, for sentences: ``90`` becomes ``1m30s``; milliseconds only below ten seconds."""
    if 0 < seconds < 10 and seconds != int(seconds):
        return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"
    left, parts = round(seconds), []
    for unit in ("h", "m", "s"):
        count, left = divmod(left, int(_UNITS_S[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
