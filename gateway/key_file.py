"""The file with the keys of connection tokens, read again when it changes.

A rotation is three edits of one file, in which every gateway follows within seconds: the new
key is added; tokens are signed with it; the old one is taken out when its last token has
ended.  A file that cannot be used changes nothing: the keys that were read last stay.
"""

from pathlib import Path

import trio
from structlog.typing import FilteringBoundLogger

from gateway.keys import BadKeys, KeySet, parse_keys
from wire.limits import TOKEN_KEYS_BYTES_MAX, TOKEN_KEYS_LOOK_INTERVAL_S


class KeyFile:
    """`keys` are those in force."""

    def __init__(self, path: Path) -> None:
        """Blocking.  Raises `OSError` or `BadKeys`: a gateway does not start with keys that it cannot use."""
        self._path = path
        self._text = self._read()
        self.keys: KeySet = parse_keys(self._text)
        self._told = ""
        """The problem that was said last; "" since a look without one."""

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(TOKEN_KEYS_BYTES_MAX + 1)

    async def watch(self, log: FilteringBoundLogger) -> None:
        """Look every few seconds; until cancelled."""
        while True:
            await trio.sleep(TOKEN_KEYS_LOOK_INTERVAL_S)
            await self.look(log)

    async def look(self, log: FilteringBoundLogger) -> None:
        """Read the file in a worker thread, and take its keys if they are others.  A problem is said once."""
        problem = ""
        try:
            text = await trio.to_thread.run_sync(self._read)
            if text != self._text:
                self.keys = parse_keys(text)
                self._text = text
                log.info("token_keys_changed", keys=sorted(self.keys.by_kid))
        except (OSError, BadKeys) as error:
            problem = (error.strerror or "") if isinstance(error, OSError) else str(error)
            if problem != self._told:
                log.error("token_keys_refused", file=str(self._path), problem=problem)
        self._told = problem
