"""The data directory of one machine: who uses it, and the two keys in it.

0700, with ``parvis.lock`` (held by the one `parvis up` that uses it), ``link.secret`` and
``guest.key`` (0600, made once, never overwritten) and the journal.
"""

import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

from parvis.errors import StartError
from runtime.lifecycle import ExitCode

LOCK_NAME: Final = "parvis.lock"
LINK_SECRET_NAME: Final = "link.secret"
GUEST_KEY_NAME: Final = "guest.key"
JOURNAL_NAME: Final = "journal.sqlite"
KEY_BYTES: Final = 32
# A key file is read whole; two secrets of a rotation fit many times.
_KEY_FILE_BYTES_MAX: Final = 4096


class DataDirLock:
    """The right to use the directory, held until `close`, or until the last process that inherited `fd` has ended."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        os.close(self.fd)


def make_data_dir(path: Path) -> None:
    """See that the directory is there and can be written; raises `StartError`."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StartError(f"the data directory {path} is a file", ExitCode.DATA) from error
    except OSError as error:
        raise StartError(f"the data directory {path} cannot be made: {error.strerror}", ExitCode.DATA) from error


def lock_data_dir(path: Path, *, is_shared: bool = False) -> DataDirLock:
    """Take the directory for this process; raises `StartError`, which names the process that has it.

    `is_shared`: beside others of the same kind, as shards that were started one by one are.
    """
    lock = path / LOCK_NAME
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"the data directory {path} cannot be written: {error.strerror}", ExitCode.DATA) from error
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise StartError(f"the data directory {path} is in use by the parvis with process id {holder}", ExitCode.BUSY) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return DataDirLock(fd)


def holder_of(path: Path) -> str | None:
    """The process id that has the directory, as it wrote it; None when nobody has.  Changes nothing."""
    try:
        fd = os.open(path / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(fd)
    return None


def read_or_make_key(path: Path) -> bytes:
    """The bytes of a key file; a new random key, as a line of hex, when there is no file yet."""
    if not path.exists():
        _make_key(path)
    return read_keys(path)[0]


def read_or_make_secrets(path: Path) -> tuple[bytes, ...]:
    """The secrets of links: one, or two during a rotation."""
    if not path.exists():
        _make_key(path)
    return tuple(read_keys(path))


def read_keys(path: Path) -> list[bytes]:
    """A key for each line; raises `StartError` for a file that cannot be read or holds none that is long enough."""
    try:
        text = path.read_bytes()[:_KEY_FILE_BYTES_MAX]
    except OSError as error:
        raise StartError(f"the key file {path} cannot be read: {error.strerror}", ExitCode.DATA) from error
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    short = [len(key) for key in keys if len(key) < KEY_BYTES]
    if not keys or short:
        found = f"one of {short[0]} bytes" if short else "none"
        sentence = f"the key file {path} needs keys of {KEY_BYTES} bytes or more, a line each, and has {found}"
        raise StartError(sentence, ExitCode.DATA)
    return keys


def _make_key(path: Path) -> None:
    """Written whole beside its place and then linked into it: a cut never leaves half a key, and nothing is replaced."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, secrets.token_hex(KEY_BYTES).encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(beside, path)
        except FileExistsError:
            # Another process that started together with us was first: its key is the key.
            return
        finally:
            os.unlink(beside)
    except OSError as error:
        raise StartError(f"the key file {path} cannot be made: {error.strerror}", ExitCode.DATA) from error
