"""The Redis of a chaos run: killed, frozen, restarted, and made to forget what it had last written.

kill -9 alone loses nothing that was answered: the server has handed its log to the kernel
before it answers.  What a lost machine or a failover without WAIT would lose is cut from the
end of the log while the server is down.
"""

import os
from pathlib import Path
from typing import Final

import trio

from tests.support.redis_server import RedisServer

_OPTIONS: Final = (
    "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction",
    # A rewrite would put what is to be forgotten into another file.
    "--auto-aof-rewrite-percentage", "0",
)  # fmt: skip


class Store:
    """One server with an append-only file.  Use it from the main thread, with which the server ends."""

    def __init__(self, directory: Path, port: int) -> None:
        self.server = RedisServer(directory, *_OPTIONS, port=port)

    @property
    def pid(self) -> int:
        return self.server.pid

    async def start(self) -> None:
        """Start it on what it kept, and wait until it answers."""
        self.server.start(wait=False)
        await trio.to_thread.run_sync(self.server.wait_answering)

    async def stop(self) -> None:
        """As an operator does: everything is on disk when it has ended."""
        await trio.to_thread.run_sync(self.server.stop)

    def kill(self) -> None:
        self.server.kill()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def log_bytes(self) -> int:
        """How long the append-only file is now."""
        return self._newest().stat().st_size

    def forget(self, bytes_kept: int) -> int:
        """While it is down: cut the append-only file to `bytes_kept`; how many bytes are gone."""
        newest = self._newest()
        lost = newest.stat().st_size - bytes_kept
        assert lost >= 0, "the file only grows"
        os.truncate(newest, bytes_kept)
        return lost

    def _newest(self) -> Path:
        files = self.server.directory.glob("appendonlydir/*.incr.aof")
        return max(files, key=lambda path: int(path.name.split(".")[-3]))
