"""Connections come in here, and no error of one gets past here.

The accept loop never dies and never spins: out of descriptors it lets one caller at a time
in through a spare descriptor, to close it at once, and backs off.  `_serve` is the named
boundary of one connection: in trio an exception that leaves a task is a lost process, so
whatever a handler raises ends that connection alone, counted and logged.
"""

import errno
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import trio
from structlog.typing import FilteringBoundLogger

from gateway.admission import Admission
from gateway.handshake import UpgradeRefusal, refusal_response
from gateway.peer import PeerClosed, PeerGone
from gateway.upgrade import UpgradeRefused
from runtime.logs import LimitedLog
from runtime.metrics import GatewayCounters
from runtime.transport import Listener, Transport
from wire.errors import PeerError

__all__ = ["Admission", "accept_forever", "accept_waiting"]

Handle = Callable[[Transport], Awaitable[None]]

# A storm of 10,000 connects is accepted in slices: 16 accepts and task starts are about 1 ms,
# then those who are in get their turn.
ACCEPTS_PER_CHECKPOINT = 16

# Out of descriptors: first pause, and the longest; each is jittered by half.
_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 1.0
_LOG_INTERVAL_S = 10.0

# The process or the machine has run out of something; it comes back when others leave.
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})

_SHED_ANSWER = refusal_response(UpgradeRefusal.BUSY, ())


@dataclass(slots=True)
class _Edge:
    """What the loop and the boundary share."""

    handle: Handle
    admission: Admission
    log: LimitedLog
    counters: GatewayCounters


async def accept_forever(
    listener: Listener,
    handle: Handle,
    connection_nursery: trio.Nursery,
    *,
    admission: Admission,
    log: FilteringBoundLogger,
    counters: GatewayCounters,
    rng: Random,
) -> None:
    """Accept until cancelled, or until the listener is closed; one task in `connection_nursery` for each.

    `handle` owns the connection until it returns or raises; the transport is closed after
    it.  It must call `admission.handshake_over()` exactly once.
    """
    edge = _Edge(handle, admission, LimitedLog(log, trio.current_time, _LOG_INTERVAL_S), counters)
    backoff_s = _BACKOFF_FIRST_S
    with _SpareDescriptor() as spare:
        while True:
            try:
                await listener.wait_acceptable()
                _accept_slice(listener, connection_nursery, edge)
                backoff_s = _BACKOFF_FIRST_S
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno == errno.EBADF:
                    return
                _report_accept_error(edge, error)
                if error.errno in _OUT_OF_DESCRIPTORS:
                    spare.shed_one(listener, counters)
                if error.errno in _OUT_OF_RESOURCES:
                    await trio.sleep(backoff_s * rng.uniform(0.5, 1.5))
                    backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)


def accept_waiting(
    listener: Listener,
    handle: Handle,
    connection_nursery: trio.Nursery,
    *,
    admission: Admission,
    log: FilteringBoundLogger,
    counters: GatewayCounters,
) -> None:
    """Accept all that wait in the kernel's queue, before the listener is closed: closing it would reset them.

    At most a backlog of them; over the budgets they are turned away as ever.
    """
    edge = _Edge(handle, admission, LimitedLog(log, trio.current_time, _LOG_INTERVAL_S), counters)
    try:
        while _accept_slice(listener, connection_nursery, edge):
            continue
    except OSError as error:
        _report_accept_error(edge, error)


def _accept_slice(listener: Listener, connection_nursery: trio.Nursery, edge: _Edge) -> bool:
    """Accept what waits, at most ACCEPTS_PER_CHECKPOINT; whether more may wait.  Raises `OSError` as accept(2) does."""
    for _ in range(ACCEPTS_PER_CHECKPOINT):
        try:
            transport = listener.try_accept()
        except BlockingIOError:
            return False
        edge.counters.accepted += 1
        if not edge.admission.admits:
            edge.counters.shed += 1
            _turn_away(transport)
            continue
        edge.admission.accepted()
        connection_nursery.start_soon(_serve, transport, edge)
    return True


def _turn_away(transport: Transport) -> None:
    """Answer 503 unread: to read the request first would be one more handshake under way."""
    try:
        transport.try_send(_SHED_ANSWER)
    except OSError:
        # It left already: there is nobody to tell.
        transport.close()
        return
    transport.close()


async def _serve(transport: Transport, edge: _Edge) -> None:
    """The boundary of one connection: nothing but a cancellation leaves it."""
    try:
        await edge.handle(transport)
    except* (PeerGone, PeerClosed, PeerError, UpgradeRefused):
        # How connections end; the handler counts what it wants counted.
        pass
    except* Exception as group:
        edge.counters.connection_errors += 1
        # No peer in the line: an address is a person's (THREATS, personal data).
        edge.log.error("connection_failed", exc_info=group)
    finally:
        transport.close()
        edge.admission.ended()


def _report_accept_error(edge: _Edge, error: OSError) -> None:
    """Count, and log at most every _LOG_INTERVAL_S.  ECONNABORTED (left while it waited) is everyday."""
    if error.errno == errno.ECONNABORTED:
        return
    edge.counters.accept_errors += 1
    edge.log.warning("accept_failed", error=os.strerror(error.errno or 0), connections=edge.admission.connections_open)


class _SpareDescriptor:
    """One descriptor kept back, so that a process with none left can still close callers.

    Without it those stay in the kernel's queue, the listener stays readable, and a loop
    that answers readability spins.
    """

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = -1

    def __enter__(self) -> "_SpareDescriptor":
        self._open()
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()

    def shed_one(self, listener: Listener, counters: GatewayCounters) -> None:
        """Accept one caller in the spare's place, and close it."""
        self._close()
        try:
            _turn_away(listener.try_accept())
            counters.shed += 1
        except OSError:
            # Gone, or still no descriptor: the back-off that follows is the answer.
            pass
        finally:
            self._open()

    def _open(self) -> None:
        try:
            self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            # Not even that one: without a spare the loop only backs off.
            self._fd = -1

    def _close(self) -> None:
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1
