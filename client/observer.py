"""Somebody who watches a client's connections as they are, before the client makes one conversation of them."""

from typing import Protocol

from client.connection import Hooks
from client.effects import ConnectionId
from client.updates import HistoryPage
from wire.client_messages import AnyServerMessage, ClientMessage


class Observer(Protocol):
    """Told of everything on each connection in the order of the wire: repeats, holes and what does not count as well.

    Called within the connection's own task before the session is; returns at once, and does not raise.
    `failed` or `closed` is the last call of a connection.
    """

    def dialled(self, connection: ConnectionId, url: str) -> None: ...
    def opened(self, connection: ConnectionId) -> None: ...
    def sent(self, connection: ConnectionId, message: ClientMessage) -> None: ...
    def received(self, connection: ConnectionId, message: AnyServerMessage | HistoryPage) -> None: ...
    def broken(self, connection: ConnectionId, reason: str) -> None:
        """A message was none of ours."""

    def failed(self, connection: ConnectionId, reason: str) -> None: ...
    def closed(self, connection: ConnectionId, code: int, reason: str) -> None: ...


class ObservedHooks:
    """Tells the observer first, then whom the connection would tell."""

    def __init__(self, connection: ConnectionId, observer: Observer, hooks: Hooks) -> None:
        self._connection = connection
        self._observer = observer
        self._hooks = hooks

    def opened(self) -> None:
        self._observer.opened(self._connection)
        self._hooks.opened()

    def received(self, message: AnyServerMessage | HistoryPage) -> None:
        self._observer.received(self._connection, message)
        self._hooks.received(message)

    def broken(self, reason: str) -> None:
        self._observer.broken(self._connection, reason)
        self._hooks.broken(reason)

    def failed(self, reason: str, retry_after_s: float) -> None:
        self._observer.failed(self._connection, reason)
        self._hooks.failed(reason, retry_after_s)

    def closed(self, code: int, reason: str) -> None:
        self._observer.closed(self._connection, code, reason)
        self._hooks.closed(code, reason)
