"""`--json FILE`: a run's record, written once at its end, and read again by `compare`.

A line for each part of the record, for each moment and for each row, so that text tools and
version control can work with it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtest.figures.record import RECORD_VERSION, RunRecord


class RecordError(Exception):
    """A file that is no record of ours; the text is one sentence."""


class _Version(msgspec.Struct):
    version: int


def write_record(path: str, record: RunRecord) -> None:
    """The whole file or none of it.  Raises `OSError` when it cannot be written."""
    part = Path(f"{path}.part")
    part.write_bytes(record_bytes(record))
    os.replace(part, path)


def record_bytes(record: RunRecord) -> bytes:
    """What the file holds."""
    return b"".join(_lines(record))


def read_record(path: str) -> RunRecord:
    """Raises `RecordError`."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        version = msgspec.json.decode(data, type=_Version).version
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is no record of a run: parvis loadtest --json FILE writes one") from error
    if version != RECORD_VERSION:
        wrong = f"{path} is a record of version {version}, and this parvis reads version {RECORD_VERSION}"
        raise RecordError(f"{wrong}: compare runs of one version")
    try:
        return msgspec.json.decode(data, type=RunRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is a damaged record: {error}") from error


def _lines(record: RunRecord) -> Iterator[bytes]:
    encode = msgspec.json.encode
    before = b"{\n"
    for name in record.__struct_fields__:
        value = getattr(record, name)
        yield before + encode(name) + b": "
        if isinstance(value, list) and value and isinstance(value[0], msgspec.Struct):
            yield b"[\n" + b",\n".join(encode(each) for each in value) + b"\n]"
        else:
            yield encode(value)
        before = b",\n"
    yield b"\n}\n"
