"""Making a file's new name as durable as its content."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make a new name in `directory` outlive a power cut: a file's own fsync does not (fsync(2)).  Raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
