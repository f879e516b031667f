"""Numbers as people read them: three digits, a unit, groups of thousands.  Pure."""

from typing import Final

NOTHING: Final = "\N{EN DASH}"
"""Stands where nothing was measured."""
_THOUSAND: Final = 1000


def digits(value: float) -> str:
    """``1,234``, ``41.2``, ``0.064``: three digits or all before the point."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text


def count(value: float) -> str:
    """``1,234,567``, and from ten millions on ``15.2 M``."""
    for bound, word in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= 10 * bound or (word == "G" and abs(value) >= bound):
            return f"{digits(value / bound)} {word}"
    return digits(value)


def milliseconds(value: float) -> str:
    """``0.64 ms``, ``41.2 ms``, ``1.2 s``."""
    return f"{digits(value / _THOUSAND)} s" if value >= _THOUSAND else f"{digits(value)} ms"


def per_second(value: float) -> str:
    return f"{digits(value)}/s"


def size(count: float) -> str:
    """Bytes as ``312 B``, ``4.2 KiB``, ``24.1 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{digits(count)} {unit}"
        count /= 1024
    return f"{digits(count)} TiB"


def share(value: float) -> str:
    """A share of one as percent."""
    return f"{digits(value * 100)} %"


def duration(seconds: float) -> str:
    """``42 s``, ``1 min``, ``1 h 2 min 3 s``."""
    whole = round(seconds)
    if whole == 0:
        return f"{digits(seconds)} s"
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)
