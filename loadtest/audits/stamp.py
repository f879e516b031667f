"""What a published text carries for its readers: when it was meant to be sent, by whom, where, a check of itself.  Pure.

Each text of a run ends with a stamp of STAMP_CHARS ASCII characters, so a reader needs no other channel, and no
memory, to know a message's latency and whether it is what was published:

    good evening {~AAAAAO3K1ZAAAwAAAWe9s2mA4bQvcJxM~}

Between the markers stand 24 bytes in base64: the intended moment, the worker's index, its number of the message,
the CRC-32 of the room's name, that of the text before the stamp, and 16 bits of one over the bytes so far.
Markers and check together are 48 bits: nothing that people write passes for a stamp.  In a message's frame the
text is the last field, so in msgpack its last bytes are the stamp's: `stamp_at` reads them without decoding the frame.
"""

from binascii import Error, a2b_base64, b2a_base64, crc32
from bisect import bisect_left
from struct import Struct
from typing import Final, NamedTuple

from wire.codes import Refusal
from wire.limits import TEXT_BYTES_MAX, TEXT_GRAPHEMES_MAX
from wire.text import clean_text, count_graphemes

_FIELDS: Final = Struct(">QHIII")
_CHECKED: Final = Struct(">QHIIIH")
_OPENING: Final = "{~"
_CLOSING: Final = "~}"
_OPENING_BYTES: Final = _OPENING.encode()
_CLOSING_BYTES: Final = _CLOSING.encode()
_BASE64_CHARS: Final = _CHECKED.size * 4 // 3
STAMP_CHARS: Final = len(_OPENING) + _BASE64_CHARS + len(_CLOSING)
# What is left for words, with the space between them and the stamp.
WORDS_GRAPHEMES_MAX: Final = TEXT_GRAPHEMES_MAX - STAMP_CHARS - 1
WORDS_BYTES_MAX: Final = TEXT_BYTES_MAX - STAMP_CHARS - 1

WORKERS_MAX: Final = 1 << 16
SEQUENCE_MAX: Final = (1 << 32) - 1


class Stamp(NamedTuple):
    """A stamp as it was read; `crc` of the room's name and of the text before the stamp are compared by the reader."""

    intended_us: int
    """On the master's monotonic clock."""
    worker: int
    sequence: int
    """Of that worker's messages; with `worker` it names one message of the run."""
    room_crc: int
    words_crc: int


def stamp_text(words: str, room: str, intended_us: int, worker: int, sequence: int) -> str:
    """`words` as the service will keep them, with a stamp behind them.

    Words that leave no room for the stamp lose their end.  A text that the service would refuse is returned as it
    is, so that it is refused.
    """
    cleaned = clean_text(words)
    if isinstance(cleaned, Refusal):
        return words
    kept = _shortened(cleaned)
    body = f"{kept} " if kept else ""
    room_crc, words_crc = crc32(room.encode()), crc32(body.encode())
    fields = _FIELDS.pack(intended_us, worker, sequence, room_crc, words_crc)
    checked = fields + (crc32(fields) & 0xFFFF).to_bytes(2, "big")
    return f"{body}{_OPENING}{b2a_base64(checked, newline=False).decode()}{_CLOSING}"


def read_stamp(text: str) -> Stamp | None:
    """The stamp at the end of `text`; None if there is none, or one that is damaged."""
    if not text.endswith(_CLOSING):
        return None
    data = text[-STAMP_CHARS:].encode()
    return stamp_at(data, len(data))


def stamp_at(data: bytes | bytearray, end: int) -> Stamp | None:
    """The stamp whose last byte is before ``data[end]``, as `read_stamp`.

    For a message's frame in msgpack `end` is the frame's; not so for edits, whose text is followed by their target.
    """
    # Slices and not `startswith(..., at)`: an `at` below zero would count from the other end.
    if end < STAMP_CHARS or data[end - len(_CLOSING) : end] != _CLOSING_BYTES:
        return None
    start = end - STAMP_CHARS
    if data[start : start + len(_OPENING)] != _OPENING_BYTES:
        return None
    try:
        checked = a2b_base64(data[start + len(_OPENING) : end - len(_CLOSING)], strict_mode=True)
    except Error:
        return None
    if len(checked) != _CHECKED.size:
        return None
    *fields, check = _CHECKED.unpack(checked)
    return Stamp(*fields) if crc32(checked[:-2]) & 0xFFFF == check else None


def intended_us_at(data: bytes | bytearray, end: int) -> int:
    """The intended moment of the stamp before ``data[end]``, or -1: for readers of very many frames.

    A third of the time of `stamp_at`, which is what it costs to look at the markers and not at the checks.
    """
    start = end - STAMP_CHARS
    if start < 0 or data[end - 2 : end] != _CLOSING_BYTES or data[start : start + 2] != _OPENING_BYTES:
        return -1
    try:
        # 12 characters are 9 bytes, of which the first eight are the moment.
        return int.from_bytes(a2b_base64(data[start + 2 : start + 14], strict_mode=True)[:8], "big")
    except Error:
        return -1


def room_crc(room: str) -> int:
    """What a stamp of this room has as its `room_crc`; kept by readers that compare many."""
    return crc32(room.encode())


def are_words_whole(text: str, stamp: Stamp) -> bool:
    """Whether what stands before the stamp is what was published; `stamp` was read from `text`."""
    return crc32(text[:-STAMP_CHARS].encode()) == stamp.words_crc


def message_id(run: str, worker: int, sequence: int) -> str:
    """The id of a message of the run named `run`: its stamp names the same worker and sequence number."""
    return f"{id_prefix(run)}{worker}-{sequence}"


def id_prefix(run: str) -> str:
    """What the ids of all messages of a run begin with, and no others."""
    return f"lt-{run}-"


def _shortened(cleaned: str) -> str:
    """As much of the beginning as leaves room for the stamp, clean again; nothing if that would show nothing."""
    if len(cleaned) <= WORDS_GRAPHEMES_MAX and len(cleaned) * 4 <= WORDS_BYTES_MAX:
        return cleaned
    kept = clean_text(cleaned[: bisect_left(range(len(cleaned)), True, key=lambda last: _is_too_long(cleaned[: last + 1]))])
    return kept if isinstance(kept, str) else ""


def _is_too_long(words: str) -> bool:
    return len(words.encode()) > WORDS_BYTES_MAX or count_graphemes(words) > WORDS_GRAPHEMES_MAX
