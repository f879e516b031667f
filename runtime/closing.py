"""Closing what was opened, when what had to follow fails: the one place that catches everything, and raises it again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Closable(Protocol):
    """A file, a socket, a connection, a client."""

    def close(self) -> object: ...


@contextmanager
def closed_on_error(opened: Closable) -> Iterator[None]:
    """Around what has to succeed before `opened` has an owner.

    Whatever leaves the block, a cancellation too, leaves this as it is, and `opened` is closed before.
    """
    try:
        yield
    except BaseException:
        opened.close()
        raise
